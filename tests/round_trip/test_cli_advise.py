"""`icecore advise` as a process: what is said to who interrupts it."""

import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from cli_runs import child
from fake_server import FakeServer
from icecore.v1 import collection_pb2
from icecore.v1 import probe_pb2 as pb


def collection(_: collection_pb2.GetCollectionRequest) -> collection_pb2.GetCollectionResponse:
    found = collection_pb2.Collection(collection_id="cells", backbone="toy", digest="0" * 64)
    found.create_time.FromSeconds(1_700_000_000)
    return collection_pb2.GetCollectionResponse(collection=found)


def interrupted(process: "subprocess.Popen[str]") -> str:
    """Press Ctrl-C, and again where nothing comes of it: it may meet a lock that gRPC is taking."""
    for patience in (10, 10, 40):
        process.send_signal(signal.SIGINT)
        try:
            return process.communicate(timeout=patience)[1]
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError("it does not end")


def test_who_interrupts_an_advice_is_told_what_is_left_and_how_to_go_on(tmp_path: Path) -> None:
    asked, over = threading.Event(), threading.Event()

    def stuck(_: pb.AdviseTransferRequest) -> Iterator[pb.AdviseTransferResponse]:
        yield pb.AdviseTransferResponse(stage="codes", progress=0.1)
        asked.set()
        over.wait(60)

    with FakeServer(tmp_path, {"GetCollection": collection, "AdviseTransfer": stuck}) as server:
        process = child(
            *("--server", server.address, "advise", "--collection", "cells"),
            stderr=subprocess.PIPE,
        )
        assert asked.wait(60)
        said = interrupted(process)
        over.set()
    assert process.returncode == -signal.SIGINT, "which a shell calls 130"
    assert said.splitlines()[-1] == (
        "icecore: interrupted; nothing of the advice was stored, and what is in collection "
        "'cells' stays: the same command begins anew, and with --max-images N it judges fewer "
        "images and is done sooner"
    )
