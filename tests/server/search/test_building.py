"""Indexes that a process of its own builds are the ones that would be built here."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from beside import children
from icecore.server.errors import CollectionNotFound, Internal, ShuttingDown
from icecore.server.giving_way import LATER
from icecore.server.search.building import COMMAND, Building
from icecore.server.search.exact_index import ExactIndex
from icecore.server.search.indexed import StoredCodes
from icecore.server.search.metrics import Metric
from icecore.server.search.searcher import Searcher
from icecore.server.storage.opening import open_sqlite
from icecore.server.storage.promise import Store, TenantStore
from icecore.server.storage.records import (
    CodeArray,
    ExampleRecord,
    NewBatch,
    NewExample,
    OnDuplicate,
    Snapshot,
)
from icecore.wire.taps import TapId
from storing import LAYERS, make_collection, put_backbone

LAYER = "two"
DIMS = LAYERS[LAYER]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_sqlite(tmp_path / "data")
    put_backbone(store)
    yield store
    store.close()


@pytest_asyncio.fixture
async def building() -> AsyncIterator[Building]:
    building = Building()
    yield building
    building.close()


def filled(store: Store, n: int = 300, *, largest: float = 1.0) -> TenantStore:
    tenant = make_collection(store.tenant("default"))
    random = np.random.default_rng(7)
    names = [f"{i:04d} ü\U0001f41d" for i in range(n)]
    core: dict[str, CodeArray] = {}
    for name, dims in LAYERS.items():
        codes = largest * random.standard_normal((n, dims))
        core[name] = codes.astype(np.float16) if largest < 1e4 else codes.astype(np.float32)
    if n:
        examples = tuple(
            NewExample(name, "ant" if i % 2 else "", {"i": i, "x": 0.5, "b": True}, "00" * 32, b"x")
            for i, name in enumerate(names)
        )
        tenant.add_examples("ants", NewBatch(examples, core), on_duplicate=OnDuplicate.REFUSE)
    return tenant


def stored(tenant: TenantStore, number: int | None = None) -> StoredCodes:
    made = tenant.collection("ants").number if number is None else number
    return StoredCodes(tenant.elsewhere(), "ants", made, LAYER, n_values=DIMS, n_bytes=1)


def snapshot_of(tenant: TenantStore) -> Snapshot:
    return tenant.snapshot("ants", [LAYER])


@pytest.mark.parametrize("largest", [1.0, 1e5, 1e30], ids=["float16", "float32", "scaled"])
async def test_hits_are_the_same_to_the_bit(
    store: Store, building: Building, largest: float
) -> None:
    tenant = filled(store, largest=largest)
    expected = snapshot_of(tenant)
    codes = expected.codes[LAYER]
    queries = np.random.default_rng(1).standard_normal((5, DIMS)).astype(np.float32)
    for metric in Metric:
        is_cosine = metric is Metric.COSINE
        here = ExactIndex(codes, is_cosine=is_cosine)
        read = await building.from_store(stored(tenant), is_cosine=is_cosine)
        given = await building.from_codes(codes, is_cosine=is_cosine)
        assert read.sequence == expected.sequence
        for k in (1, 20, 300):
            hits = here.nearest(queries, metric=metric, k=k)
            assert read.index.nearest(queries, metric=metric, k=k) == hits
            assert given.nearest(queries, metric=metric, k=k) == hits
        assert np.array_equal(read.index.rows([3, 1]), here.rows([3, 1]))


async def test_examples_are_the_same_one_by_one_and_all_together(
    store: Store, building: Building
) -> None:
    tenant = filled(store)
    expected = snapshot_of(tenant).examples
    read = (await building.from_store(stored(tenant), is_cosine=True)).examples
    assert len(read) == len(expected)
    assert read[0] == expected[0]
    assert read[-1] == expected[-1]
    assert read[5:8] == list(expected[5:8])
    assert [read[place] for place in range(len(read))] == list(expected)
    assert tuple(read) == tuple(expected)
    with pytest.raises(IndexError):
        read[len(expected)]


async def test_an_empty_collection_has_an_index_of_nothing(
    store: Store, building: Building
) -> None:
    indexed = await building.from_store(stored(filled(store, 0)), is_cosine=False)
    assert list(indexed.examples) == []
    assert indexed.index.n_dims == DIMS


async def test_what_the_store_refuses_is_refused_and_the_process_goes_on(
    store: Store, building: Building
) -> None:
    tenant = filled(store, 3)
    with pytest.raises(CollectionNotFound, match="made anew"):
        await building.from_store(stored(tenant, number=99), is_cosine=True)
    (before,) = _builders()
    assert len((await building.from_store(stored(tenant), is_cosine=True)).examples) == 3
    assert _builders() == [before]


async def test_a_process_that_is_killed_fails_its_index_and_no_other(
    store: Store, building: Building
) -> None:
    tenant = filled(store, 3)
    await building.from_store(stored(tenant), is_cosine=True)
    (pid,) = _builders()
    assert os.getpriority(os.PRIO_PROCESS, pid) == LATER
    os.kill(pid, 19)  # stopped, so that it is in the middle of it when it is killed
    failing = asyncio.create_task(building.from_store(stored(tenant), is_cosine=True))
    while not building._talking.locked():  # noqa: ASYNC110 - a thread
        await asyncio.sleep(0.001)
    os.kill(pid, 9)
    with pytest.raises(Internal, match="-9"):
        await failing
    indexed = await building.from_store(stored(tenant), is_cosine=True)
    assert len(indexed.examples) == 3
    assert pid not in _builders()


async def test_nobody_is_left_when_it_is_closed(store: Store) -> None:
    tenant = filled(store, 3)
    building = Building()
    await building.from_store(stored(tenant), is_cosine=True)
    building.close()
    assert _builders() == []
    with pytest.raises(ShuttingDown):
        await building.from_store(stored(tenant), is_cosine=True)


async def test_the_process_ends_when_there_is_nothing_to_build(store: Store) -> None:
    tenant = filled(store, 3)
    building = Building(idle_s=0.0)
    for _ in range(2):
        await building.from_store(stored(tenant), is_cosine=True)
        while _builders():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)
    building.close()


def test_the_process_ends_with_the_server(tmp_path: Path) -> None:
    """Also with one that is killed: nobody holds the other end of its socket."""
    program = f"""
import os, socket, subprocess
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
child = subprocess.Popen({list(COMMAND)!r}, stdin=theirs.fileno(), stdout=2)
theirs.close()
print(child.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    pid = int(done.stdout)
    while Path(f"/proc/{pid}/cmdline").exists() and _is_builder(pid):
        pass


async def test_a_searcher_has_large_indexes_built_apart(store: Store) -> None:
    tenant = filled(store)
    collection = tenant.collection("ants")
    tap = TapId(collection.digest, LAYER)
    query = np.ones((1, DIMS), np.float32)
    snapshot = snapshot_of(tenant)

    async def load() -> tuple[int, Sequence[ExampleRecord], CodeArray]:
        return snapshot.sequence, snapshot.examples, snapshot.codes[LAYER]

    async def never() -> tuple[int, Sequence[ExampleRecord], CodeArray]:
        raise AssertionError("it was read here")

    ways = []
    for load_it, where, apart_bytes in (
        (load, None, 1 << 30),
        (load, None, 0),
        (never, stored(tenant), 0),
    ):
        searcher = Searcher(max_bytes=1 << 30, apart_bytes=apart_bytes)
        try:
            ways.append(
                await searcher.search(
                    "default",
                    collection,
                    tap,
                    load_it,
                    query,
                    k=5,
                    stored=where,
                    filter='label = "ant" OR label = ""',
                )
            )
        finally:
            searcher.close()
    assert ways[0] == ways[1] == ways[2]
    assert len(ways[0][0]) == 5


def _builders() -> list[int]:
    return [pid for pid in children(os.getpid()) if _is_builder(pid)]


def _is_builder(pid: int) -> bool:
    try:
        return b"icecore.server.search.build_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
