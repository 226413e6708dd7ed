"""Indexes that a process of its own builds are the ones that would be built here."""

import asyncio
import errno
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from beside import children
from icecore.server.errors import CollectionNotFound, Internal, ShuttingDown, StorageCorrupt
from icecore.server.giving_way import LATER
from icecore.server.search.building import COMMAND, Building
from icecore.server.search.building_messages import receive
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
        read = await building.from_store(stored(tenant), is_cosine=is_cosine, tenant_id="default")
        given = await building.from_codes(codes, is_cosine=is_cosine, tenant_id="default")
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
    read = (await building.from_store(stored(tenant), is_cosine=True, tenant_id="default")).examples
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
    indexed = await building.from_store(
        stored(filled(store, 0)), is_cosine=False, tenant_id="default"
    )
    assert list(indexed.examples) == []
    assert indexed.index.n_dims == DIMS


async def test_what_the_store_refuses_is_refused_and_the_process_goes_on(
    store: Store, building: Building
) -> None:
    tenant = filled(store, 3)
    with pytest.raises(CollectionNotFound, match="made anew"):
        await building.from_store(stored(tenant, number=99), is_cosine=True, tenant_id="default")
    (before,) = _builders()
    assert (
        len(
            (
                await building.from_store(stored(tenant), is_cosine=True, tenant_id="default")
            ).examples
        )
        == 3
    )
    assert _builders() == [before]


async def test_a_process_that_is_killed_fails_its_index_and_no_other(
    store: Store, building: Building
) -> None:
    tenant = filled(store, 3)
    await building.from_store(stored(tenant), is_cosine=True, tenant_id="default")
    (pid,) = _builders()
    assert os.getpriority(os.PRIO_PROCESS, pid) == LATER
    os.kill(pid, 19)  # stopped, so that it is in the middle of it when it is killed
    failing = asyncio.create_task(
        building.from_store(stored(tenant), is_cosine=True, tenant_id="default")
    )
    while not building._talking.locked():  # noqa: ASYNC110 - a thread
        await asyncio.sleep(0.001)
    os.kill(pid, 9)
    with pytest.raises(Internal, match="-9"):
        await failing
    indexed = await building.from_store(stored(tenant), is_cosine=True, tenant_id="default")
    assert len(indexed.examples) == 3
    assert pid not in _builders()


async def test_nobody_is_left_when_it_is_closed(store: Store) -> None:
    tenant = filled(store, 3)
    building = Building()
    await building.from_store(stored(tenant), is_cosine=True, tenant_id="default")
    building.close()
    assert _builders() == []
    with pytest.raises(ShuttingDown):
        await building.from_store(stored(tenant), is_cosine=True, tenant_id="default")


class FakeChild:
    """Answers that the codes are corrupt, once it may. `made` are all there were."""

    made: list["FakeChild"]
    may_be_made: threading.Event
    may_answer: threading.Event

    def __init__(self, command: Sequence[str]) -> None:
        self.is_alive, self.n_asked = True, 0
        self.was_asked = threading.Event()
        type(self).made.append(self)
        type(self).may_be_made.wait()

    def asked(self, request: object, given: object) -> tuple[dict[str, str], None]:
        self.n_asked += 1
        self.was_asked.set()
        type(self).may_answer.wait()
        if not self.is_alive:
            raise EOFError
        return {"error": "StorageCorrupt", "message": "as foreseen"}, None

    def kill(self) -> int:
        self.is_alive = False
        type(self).may_answer.set()
        return -9


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeChild]]:
    FakeChild.made = []
    FakeChild.may_be_made, FakeChild.may_answer = threading.Event(), threading.Event()
    FakeChild.may_be_made.set()
    monkeypatch.setattr("icecore.server.search.building.Child", FakeChild)
    yield FakeChild
    FakeChild.may_be_made.set()
    FakeChild.may_answer.set()


async def asked(building: Building) -> "asyncio.Task[ExactIndex]":
    """Return an index that is being made, by its thread."""
    begun = asyncio.Event()
    codes = np.ones((3, 2), np.float32)
    task = asyncio.create_task(
        building.from_codes(codes, is_cosine=True, tenant_id="t", when_begun=begun.set)
    )
    await begun.wait()
    return task


async def test_callers_who_leave_take_no_threads_and_leave_nothing_to_build(
    fake: type[FakeChild],
) -> None:
    building = Building()
    codes = np.ones((3, 2), np.float32)
    first = await asked(building)
    waiting = [
        asyncio.create_task(building.from_codes(codes, is_cosine=True, tenant_id="t"))
        for _ in range(40)
    ]
    await asyncio.sleep(0)
    for task in (first, *waiting[:-1]):
        task.cancel()
    assert len([one for one in threading.enumerate() if one.name.startswith("build")]) == 1
    fake.may_answer.set()
    with pytest.raises(StorageCorrupt, match="as foreseen"):
        await waiting[-1]
    assert [child.n_asked for child in fake.made] == [2]
    building.close()


async def test_no_process_is_started_once_it_is_closed(fake: type[FakeChild]) -> None:
    """Neither for who waited, nor where the caller before had left."""
    building = Building()
    first = await asked(building)
    waiting = asyncio.create_task(
        building.from_codes(np.ones((3, 2), np.float32), is_cosine=True, tenant_id="t")
    )
    while not fake.made:  # noqa: ASYNC110 - a thread
        await asyncio.sleep(0)
    await asyncio.to_thread(fake.made[0].was_asked.wait)
    first.cancel()
    await asyncio.sleep(0)
    building.close()
    with pytest.raises(ShuttingDown):
        await waiting
    assert [child.is_alive for child in fake.made] == [False]


async def test_no_process_is_started_for_codes_that_were_copied_when_it_was_closed(
    fake: type[FakeChild], monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go, real = threading.Event(), os.posix_fallocate

    def slow(*arguments: int) -> None:
        may_go.wait()
        real(*arguments)

    monkeypatch.setattr(os, "posix_fallocate", slow)
    building = Building()
    first = await asked(building)
    building.close()
    may_go.set()
    with pytest.raises(ShuttingDown):
        await first
    assert fake.made == []


async def test_a_process_that_was_being_made_when_it_was_closed_is_ended(
    fake: type[FakeChild],
) -> None:
    fake.may_be_made.clear()
    building = Building()
    first = await asked(building)
    while not fake.made:  # noqa: ASYNC110 - a thread
        await asyncio.sleep(0)
    building.close()
    fake.may_answer.set()
    fake.may_be_made.set()
    with pytest.raises(ShuttingDown):
        await first
    assert [(child.is_alive, child.n_asked) for child in fake.made] == [(False, 0)]


async def test_without_memory_the_process_is_not_to_blame(
    building: Building, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = np.ones((3, 2), np.float32)
    await building.from_codes(codes, is_cosine=True, tenant_id="t")
    before = _builders()

    def no_memory(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", no_memory)
        with pytest.raises(Internal, match="there is no memory for the 64 bytes of an index"):
            await building.from_codes(codes, is_cosine=True, tenant_id="t")
    assert _builders() == before
    await building.from_codes(codes, is_cosine=True, tenant_id="t")


@pytest.mark.parametrize("error", [MemoryError, GeneratorExit])
async def test_an_answer_that_nobody_took_is_not_the_next_ones(
    building: Building, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """Whatever came between a request and its answer: the next caller may be another tenant."""

    def interrupted(_: socket.socket) -> None:
        raise error

    ones, twos = np.ones((3, 2), np.float32), np.full((5, 4), 2, np.float32)
    await building.from_codes(ones, is_cosine=False, tenant_id="a")
    (before,) = _builders()
    with monkeypatch.context() as patched:
        patched.setattr("icecore.server.search.building_child.receive", interrupted)
        with pytest.raises(error):
            await building.from_codes(ones, is_cosine=False, tenant_id="a")
    assert before not in _builders()
    index = await building.from_codes(twos, is_cosine=False, tenant_id="b")
    assert np.array_equal(index.rows([4]), twos[4:])


def test_a_message_that_cannot_be_read_leaves_no_descriptor() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, Path("/dev/null").open() as file:
        before = len([*Path("/proc/self/fd").iterdir()])
        socket.send_fds(theirs, [b"no JSON"], [file.fileno()])
        with pytest.raises(ValueError, match="Expecting value"):
            receive(ours)
        assert len([*Path("/proc/self/fd").iterdir()]) == before


async def test_a_process_that_cannot_be_started_leaves_no_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs: list[socket.socket] = []
    real = socket.socketpair

    def kept(*kinds: int) -> tuple[socket.socket, socket.socket]:
        pairs.extend(pair := real(*kinds))
        return pair

    monkeypatch.setattr("icecore.server.search.building_child.socket.socketpair", kept)
    building = Building(command=("/no/such/program",))
    with pytest.raises(Internal, match="did not start"):
        await building.from_codes(np.ones((3, 2), np.float32), is_cosine=True, tenant_id="t")
    made = [one for one in pairs if one.type == socket.SOCK_SEQPACKET]
    assert [one.fileno() for one in made] == [-1, -1]
    building.close()


async def test_the_process_ends_when_there_is_nothing_to_build(store: Store) -> None:
    tenant = filled(store, 3)
    building = Building(idle_s=0.0)
    for _ in range(2):
        await building.from_store(stored(tenant), is_cosine=True, tenant_id="default")
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
