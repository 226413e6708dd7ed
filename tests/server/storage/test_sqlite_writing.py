"""Many callers at once: one commit for many, each whole, in an order that all agree on."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Connection

from icecore.server import errors
from icecore.server.storage.change import Change
from icecore.server.storage.opening import open_sqlite
from icecore.server.storage.promise import TenantStore
from icecore.server.storage.records import OnDuplicate
from icecore.server.storage.sqlite.connections import open_writer
from icecore.server.storage.sqlite.store import SqliteStore
from icecore.server.storage.sqlite.writer import Writer
from storing import LAYERS, add, batch_of, codes_of, make_collection, put_backbone


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = open_sqlite(tmp_path)
    put_backbone(opened)
    yield opened
    opened.close()


@pytest.fixture
def statements() -> list[str]:
    """What the writer of `numbers` told SQLite."""
    return []


@pytest.fixture
def numbers(tmp_path: Path, statements: list[str]) -> Iterator[tuple[Writer, Path]]:
    """A writer on a database of one table of numbers."""
    connection = open_writer(tmp_path / "numbers.db")
    connection.exec_driver_sql("CREATE TABLE numbers (n INTEGER PRIMARY KEY)")
    raw = connection.connection.dbapi_connection
    assert raw is not None
    raw.set_trace_callback(statements.append)
    writer = Writer(connection)
    yield writer, tmp_path / "numbers.db"
    writer.close()


def put(n: int) -> Callable[[Change], int]:
    def work(change: Change) -> int:
        change.connection.exec_driver_sql("INSERT INTO numbers VALUES (?)", (n,))
        return n

    return work


def all_numbers(connection: Connection) -> list[int]:
    return [row[0] for row in connection.exec_driver_sql("SELECT n FROM numbers ORDER BY n")]


def test_changes_that_gather_are_committed_together_and_a_failing_one_alone_fails(
    numbers: tuple[Writer, Path], statements: list[str]
) -> None:
    writer, path = numbers
    begun, gathered = threading.Event(), threading.Event()

    def first(change: Change) -> None:
        begun.set()
        assert gathered.wait(20)

    def failing(change: Change) -> None:
        put(99)(change)
        raise errors.CollectionNotFound("no")

    with ThreadPoolExecutor(20) as threads:
        head = threads.submit(writer.write, first)
        assert begun.wait(20)
        waiting = [threads.submit(writer.write, put(n)) for n in range(10)]
        wrong = threads.submit(writer.write, failing)
        same = threads.submit(writer.write, put(100))
        while writer.n_waiting < 12:  # they are on their way into the queue
            pass
        assert not any(one.done() for one in waiting)
        gathered.set()
        head.result(20)
        assert [one.result(20) for one in waiting] == list(range(10))
        assert same.result(20) == 100
        with pytest.raises(errors.CollectionNotFound, match="no"):
            wrong.result(20)
    assert statements.count("COMMIT") == 1, "each had a commit of its own"
    connection = open_writer(path)
    assert all_numbers(connection) == [*range(10), 100]
    connection.close()


def test_an_answer_comes_after_the_commit(
    numbers: tuple[Writer, Path], statements: list[str]
) -> None:
    writer, path = numbers
    reader = open_writer(path)
    for n in range(20):
        assert writer.write(put(n)) == n
        assert statements[-1] == "COMMIT"
        assert all_numbers(reader) == list(range(n + 1)), "answered before it was there"
    reader.close()


def test_when_sqlite_undoes_the_transaction_the_neighbours_are_written_again(
    numbers: tuple[Writer, Path],
) -> None:
    writer, path = numbers
    begun, gathered = threading.Event(), threading.Event()

    def first(change: Change) -> str:
        begun.set()
        assert gathered.wait(20)
        put(1)(change)
        return "first"

    def breaking(change: Change) -> None:
        change.connection.exec_driver_sql("ROLLBACK")
        raise errors.StorageFull("as SQLite does by itself on some errors")

    with ThreadPoolExecutor(4) as threads:
        head = threads.submit(writer.write, first)
        assert begun.wait(20)
        broken = threads.submit(writer.write, breaking)
        while writer.n_waiting < 1:
            pass
        last = threads.submit(writer.write, put(2))
        while writer.n_waiting < 2:
            pass
        gathered.set()
        assert (head.result(20), last.result(20)) == ("first", 2)
        with pytest.raises(errors.StorageFull):
            broken.result(20)
    connection = open_writer(path)
    assert all_numbers(connection) == [1, 2]
    connection.close()


def test_closing_finishes_what_was_accepted_and_refuses_the_rest(
    numbers: tuple[Writer, Path],
) -> None:
    writer, path = numbers
    begun, go = threading.Event(), threading.Event()

    def slow(change: Change) -> None:
        begun.set()
        assert go.wait(20)

    with ThreadPoolExecutor(4) as threads:
        head = threads.submit(writer.write, slow)
        assert begun.wait(20)
        accepted = threads.submit(writer.write, put(1))
        while writer.n_waiting < 1:
            pass
        closing = threads.submit(writer.close)
        go.set()
        head.result(20)
        assert accepted.result(20) == 1
        closing.result(20)
    with pytest.raises(errors.ShuttingDown):
        writer.write(put(2))
    assert not path.with_name("numbers.db-wal").exists(), "the log was not moved in"


def test_many_threads_of_many_tenants_each_get_their_own(store: SqliteStore) -> None:
    """Random changes of 8 threads in 4 tenants, against what each thread alone expects."""
    tenants: list[TenantStore] = []
    for i in range(4):
        store.create_tenant(f"t{i}")
        tenants.append(make_collection(store.tenant(f"t{i}")))

    def work(thread: int) -> dict[str, str]:
        chance, tenant = random.Random(thread), tenants[thread % 4]
        mine: dict[str, str] = {}
        for step in range(25):
            what = chance.random()
            if mine and what < 0.25:
                gone = chance.sample(sorted(mine), min(len(mine), 3))
                assert tenant.delete_examples("ants", gone) == len(gone)
                for name in gone:
                    del mine[name]
            elif what < 0.35:
                snapshot = tenant.snapshot("ants", ["two"])
                names = [one.example_id for one in snapshot.examples]
                assert names == sorted(names)
                assert len(snapshot.codes["two"]) == len(names)
                assert set(mine) <= set(names), "what was acknowledged is not seen"
            else:
                names = [f"{thread}/{chance.randrange(40)}" for _ in range(chance.choice([1, 5]))]
                salt = str(step)
                tenant.add_examples(
                    "ants",
                    batch_of(set(names), salt=salt),
                    on_duplicate=OnDuplicate.REPLACE,
                )
                mine.update(dict.fromkeys(names, salt))
        return mine

    with ThreadPoolExecutor(8) as threads:
        done = list(threads.map(work, range(8)))
    for i, tenant in enumerate(tenants):
        wanted = {**done[i], **done[i + 4]}
        snapshot = tenant.snapshot("ants", list(LAYERS))
        assert [one.example_id for one in snapshot.examples] == sorted(wanted)
        for at, name in enumerate(sorted(wanted)):
            for layer, codes in codes_of([name], salt=wanted[name]).items():
                np.testing.assert_array_equal(snapshot.codes[layer][at], codes[0])


def test_a_snapshot_is_of_one_moment(store: SqliteStore) -> None:
    """While another thread replaces all at once, every snapshot is all old or all new."""
    tenant = make_collection(store.tenant("default"))
    names = [f"{i:02}" for i in range(40)]
    add(tenant, names, salt="0")
    rounds = 15
    wanted = [codes_of(names, salt=str(i))["three"] for i in range(rounds)]

    def replace() -> None:
        for i in range(1, rounds):
            add(tenant, names, salt=str(i), on_duplicate=OnDuplicate.REPLACE)

    with ThreadPoolExecutor(1) as threads:
        replacing = threads.submit(replace)
        seen = set()
        while not replacing.done():
            snapshot = tenant.snapshot("ants", ["three"])
            salt = snapshot.examples[0].image_sha256.removeprefix("sha of 00")
            assert {one.image_sha256 for one in snapshot.examples} == {
                f"sha of {name}{salt}" for name in names
            }
            np.testing.assert_array_equal(snapshot.codes["three"], wanted[int(salt)])
            seen.add((snapshot.sequence, salt))
        replacing.result(20)
    assert len({sequence for sequence, _ in seen}) == len(seen)


@pytest.mark.parametrize("sizes", [[1] * 600, [40] * 20, [1, 300] * 4])
def test_small_batches_never_gather(store: SqliteStore, tmp_path: Path, sizes: list[int]) -> None:
    tenant = make_collection(store.tenant("default"))
    names = [f"{i:04}" for i in range(sum(sizes))]
    left = list(names)
    for size in sizes:
        add(tenant, left[:size])
        left = left[size:]
    connection = open_writer(tmp_path / "icecore.db")
    found = [row[0] for row in connection.exec_driver_sql("SELECT n_live FROM batches")]
    connection.close()
    assert sum(found) == len(names)
    assert max(found) <= 256
    assert sum(size < 128 for size in found) <= 30
    codes = tenant.snapshot("ants", ["one"]).codes["one"]
    np.testing.assert_array_equal(codes, codes_of(names)["one"])
