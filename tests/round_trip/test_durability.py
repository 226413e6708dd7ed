"""What was acknowledged stays: a server killed with signal 9, and one whose disk is full."""

import contextlib
import resource
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from adding import TOY_RECIPE, add_toy, messages, remove_backbone
from callers import Caller, calling, pixels, refusal
from icecore.server.backbones.lite0 import efficientnet_lite0
from icecore.server.storage.opening import open_sqlite
from icecore.v1 import backbone_pb2 as bpb
from icecore.v1 import codes_pb2 as epb
from icecore.v1 import collection_pb2 as cpb
from icecore.v1 import probe_pb2 as ppb
from icecore.wire.messages import codes_from_message
from servers import process
from toy_store import put_toy_backbone
from toys import toy_graph

CLIENTS = 3
IN_BATCH = 4
ENOUGH = 8
"""Batches that each client has heard of before the kill."""

LAYERS = ("one", "two", "three")
PROBES = ("first", "second", "third")

LEFT_BY_A_KILLED_SERVER = {
    "admin.key",
    "icecore.db",
    "icecore.db-shm",
    "icecore.db-wal",
    "lock",
    "server.json",
    "server.sock",
}


def batch_of(name: str, *, size: int = 8) -> cpb.AddExamplesRequest:
    """Examples whose images and labels follow from the name of their batch."""
    request = cpb.AddExamplesRequest(collection_id="c", request_id=name)
    for place in range(IN_BATCH):
        example = cpb.Example(example_id=f"{name}/{place}", label=f"label {place % 2}")
        seed = int.from_bytes(f"{name}/{place}".encode(), "big")
        request.examples.add(example=example, image=pixels(seed, size=size))
    return request


def create(caller: Caller) -> None:
    caller.collections.CreateCollection(
        cpb.CreateCollectionRequest(collection_id="c", backbone="toy")
    )


def add(caller: Caller, request: cpb.AddExamplesRequest) -> int:
    (answer,) = caller.collections.AddExamples(iter([request]))
    return int(answer.n_added)


def listed(caller: Caller) -> dict[str, str]:
    """Labels by id."""
    page = caller.collections.ListExamples(
        cpb.ListExamplesRequest(collection_id="c", page_size=10_000)
    )
    assert not page.next_page_token
    return {one.example.example_id: one.example.label for one in page.examples}


def states(data: Path) -> set[str]:
    """Those of all versions, as the killed server left them."""
    connection = sqlite3.connect(f"{(data / 'icecore.db').as_uri()}?mode=ro", uri=True)
    with contextlib.closing(connection):
        return {state for (state,) in connection.execute("SELECT state FROM versions")}


def embedded(caller: Caller, name: str) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float16]]]:
    """What Embed gives for a batch, rounded to float16: an array a layer."""
    request = epb.EmbedRequest(backbone="toy", layers=["*"])
    request.images.extend(one.image for one in batch_of(name).examples)
    return [
        np.asarray(codes_from_message(codes).values, np.float32).astype(np.float16)
        for codes in caller.codes.Embed(request).codes
    ]


class Feeder:
    """A client that adds batches on one stream, a few ahead, until its server is gone."""

    def __init__(self, number: int) -> None:
        self.name = f"client-{number}"
        self.n_sent = 0
        self.acknowledged: list[str] = []
        self.end: Any = None
        self.may_send = threading.Semaphore(3)
        self.has_enough = threading.Event()

    def feed(self, address: str) -> None:
        with calling(address) as caller:
            try:
                for answer in caller.collections.AddExamples(self._batches()):
                    assert answer.n_added == IN_BATCH
                    self.acknowledged.append(answer.request_id)
                    self.may_send.release()
                    if len(self.acknowledged) >= ENOUGH:
                        self.has_enough.set()
            except grpc.RpcError as error:
                self.end = error
            finally:
                self.has_enough.set()
                self.may_send.release()

    def _batches(self) -> Iterator[cpb.AddExamplesRequest]:
        while self.may_send.acquire() and self.end is None:
            self.n_sent += 1
            yield batch_of(f"{self.name}-{self.n_sent}")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder that holds the toy backbone, also in the place of the default, which is large."""
    folder = tmp_path / "data"
    store = open_sqlite(folder)
    for name in ("toy", efficientnet_lite0.NAME):
        put_toy_backbone(store, name=name)
    store.close()
    return folder


def test_a_killed_server_has_all_it_acknowledged_and_nothing_by_half(data: Path) -> None:
    feeders = [Feeder(number) for number in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as threads:
        with process(data) as server, calling(server.address) as caller:
            create(caller)
            add(caller, batch_of("before"))
            fed = [threads.submit(feeder.feed, server.address) for feeder in feeders]
            for feeder in feeders:
                assert feeder.has_enough.wait(60)
            for probe_id in PROBES:  # one worker: the others wait for it
                caller.probes.TrainProbe(
                    ppb.TrainProbeRequest(probe_id=probe_id, collection_id="c", layers=["-1"])
                )
            assert server.child is not None
            server.child.kill()
        for future in fed:
            future.result()
    assert {feeder.end.code() for feeder in feeders} == {grpc.StatusCode.UNAVAILABLE}
    acknowledged = {name for feeder in feeders for name in feeder.acknowledged}
    assert len(acknowledged) >= CLIENTS * ENOUGH

    assert "training" in states(data), "no training was interrupted"

    with process(data) as server, calling(server.address) as caller:
        there = listed(caller)
        batches = {example_id.split("/")[0] for example_id in there}
        assert acknowledged <= batches, "acknowledged examples are lost"
        sent = {f"{feeder.name}-{n + 1}" for feeder in feeders for n in range(feeder.n_sent)}
        assert batches <= sent | {"before"}
        assert there == {
            f"{name}/{place}": f"label {place % 2}" for name in batches for place in range(IN_BATCH)
        }, "half a batch is there, or a label is wrong"
        for name in sorted(sent):
            assert add(caller, batch_of(name)) == IN_BATCH, "a retry gets the first answer"
        assert len(listed(caller)) == IN_BATCH * len(sent | {"before"}), "a retry added it twice"
        for probe_id in PROBES:
            *_, last = caller.probes.WatchProbe(ppb.WatchProbeRequest(probe_id=probe_id, version=1))
            assert last.version.state == ppb.VERSION_STATE_READY, last.version.failure_message
        wanted = {name: embedded(caller, name) for name in sent | {"before"}}

    store = open_sqlite(data)
    snapshot = store.tenant("default").snapshot("c", LAYERS)
    store.close()
    for row, example in enumerate(snapshot.examples):
        name, place = example.example_id.split("/")
        for layer, codes in zip(LAYERS, wanted[name], strict=True):
            assert snapshot.codes[layer].dtype == np.float16
            np.testing.assert_array_equal(snapshot.codes[layer][row], codes[int(place)])


def test_a_server_killed_while_a_backbone_comes_has_all_others_and_nothing_of_it(
    data: Path,
) -> None:
    acknowledged = {}
    with process(data) as server, calling(server.address, server.admin_key) as admin:
        for number in range(2):
            name = f"n{number}"
            acknowledged[name] = add_toy(admin, name, number + 1, request_id=name)
        remove_backbone(admin, "n0")
        halfway, go_on = threading.Event(), threading.Event()

        def coming() -> Iterator[bpb.AddBackboneRequest]:
            fields = {"recipe": TOY_RECIPE, "request_id": "half"}
            for message in messages("half", toy_graph(7), chunk_bytes=1500, **fields):
                yield message
                if message.chunk:
                    halfway.set()
                    go_on.wait(60)

        call = admin.backbones.AddBackbone.future(coming())
        assert halfway.wait(60)
        looked_at = admin.backbones.AddBackbone.future(
            messages("late", toy_graph(8), recipe=TOY_RECIPE, request_id="late")
        )
        assert server.child is not None
        server.child.kill()
        go_on.set()
        assert call.exception().code() is grpc.StatusCode.UNAVAILABLE
        was_told = looked_at.exception() is None
    before = {path.name for path in data.iterdir()}
    assert before <= LEFT_BY_A_KILLED_SERVER
    with process(data) as server, calling(server.address, server.admin_key) as admin:
        there = {
            one.name: one
            for one in admin.backbones.ListBackbones(bpb.ListBackbonesRequest()).backbones
        }
        assert there["n1"] == acknowledged["n1"]
        assert "n0" not in there, "an acknowledged removal is undone"
        assert "half" not in there
        assert "late" in there or not was_told
        assert add_toy(admin, "n1", 2, request_id="n1") == acknowledged["n1"]
        add_toy(admin, "half", 7, request_id="half")
        late = add_toy(admin, "late", 8, request_id="late")
        if was_told:
            assert late == looked_at.result().backbone
    with process(data) as server, calling(server.address) as caller:
        for name in ("n1", "half", "late"):
            request = epb.EmbedRequest(backbone=name, layers=["*"], images=[pixels(0)])
            assert len(caller.codes.Embed(request).codes) == len(LAYERS)


def test_a_server_with_a_full_disk_says_so_keeps_what_it_has_and_goes_on(data: Path) -> None:
    """No file of its process may grow past a megabyte; later, any may."""
    with process(data) as server, calling(server.address) as caller:
        assert server.child is not None
        limits = resource.prlimit(server.child.pid, resource.RLIMIT_FSIZE)
        create(caller)
        acknowledged = []
        resource.prlimit(server.child.pid, resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
        refused = None
        for number in range(100):
            request = batch_of(f"b{number}", size=150)  # about 70 KB an image
            try:
                add(caller, request)
            except grpc.RpcError:
                refused = request
                break
            acknowledged.append(request.request_id)
        assert refused is not None
        assert acknowledged, "some fitted"
        said = refusal(lambda: add(caller, refused))
        assert (said.code, said.reason) == ("RESOURCE_EXHAUSTED", "STORAGE_FULL")
        assert "no room on the server's disk: nothing was changed" in said.message

        ids = {f"{name}/{place}" for name in acknowledged for place in range(IN_BATCH)}
        assert listed(caller).keys() == ids
        by_id = cpb.SearchRequest(collection_id="c", k=1)
        by_id.example_ids.example_ids.extend(sorted(ids))
        found = caller.collections.Search(by_id).results
        assert [one.hits[0].example.example_id for one in found] == sorted(ids)
        assert len(embedded(caller, "b0")) == len(LAYERS)

        resource.prlimit(server.child.pid, resource.RLIMIT_FSIZE, limits)
        assert add(caller, refused) == IN_BATCH
        ids |= {example.example.example_id for example in refused.examples}
        assert listed(caller).keys() == ids
    with process(data) as server, calling(server.address) as caller:
        assert listed(caller).keys() == ids
