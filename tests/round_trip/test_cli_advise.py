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


def test_who_interrupts_an_advice_is_told_what_is_left_and_how_to_go_on(tmp_path: Path) -> None:
    over = threading.Event()

    def stuck(_: pb.AdviseTransferRequest) -> Iterator[pb.AdviseTransferResponse]:
        while not over.wait(0.1):
            yield pb.AdviseTransferResponse(stage="codes", progress=0.1)

    with FakeServer(tmp_path, {"GetCollection": collection, "AdviseTransfer": stuck}) as server:
        process = child(
            *("--server", server.address, "advise", "--collection", "cells"),
            stderr=subprocess.PIPE,
        )
        # While gRPC begins a call, Ctrl-C can leave it waiting for a thread not yet started.
        assert process.stderr is not None
        assert process.stderr.readline().startswith("judging collection 'cells': 10%")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        over.set()
    assert process.returncode == -signal.SIGINT, "which a shell calls 130"
    assert said.splitlines()[-1] == (
        "icecore: interrupted; nothing of the advice was stored, and what is in collection "
        "'cells' stays: the same command begins anew, and with --max-images N it judges fewer "
        "images and is done sooner"
    )
