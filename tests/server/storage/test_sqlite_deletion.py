"""Deleted is gone from the files: every byte of database and log is looked through."""

import hashlib
import random
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from icecore.server.errors import StorageFull
from icecore.server.storage.change import Change
from icecore.server.storage.opening import open_sqlite
from icecore.server.storage.records import NewBatch, NewExample, OnDuplicate
from icecore.server.storage.sqlite import burying, upkeep
from icecore.server.storage.sqlite.connections import Readers, open_writer
from icecore.server.storage.sqlite.store import SqliteStore
from storing import (
    DIGEST,
    add,
    batch_of,
    bytes_on_disk,
    codes_of,
    make_collection,
    put_backbone,
    request,
)

SECRET = "zebra"
"""Begins every text of what is deleted; nothing else on the disk has it."""

CODE = np.float16(27.109375)
SECRET_CODES = np.full(4, CODE).tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def store(folder: Path) -> Iterator[SqliteStore]:
    opened = open_sqlite(folder)
    put_backbone(opened)
    yield opened
    opened.close()


def batch(names: list[str], *, is_secret: bool, image_bytes: int = 5000) -> NewBatch:
    word = SECRET if is_secret else "horse"
    image = (word * image_bytes).encode()[:image_bytes]
    core = codes_of(names, {"one": 4, "wide": 300})
    if is_secret:
        core = {layer: np.full_like(array, CODE) for layer, array in core.items()}
    examples = [
        NewExample(f"{word}/{name}", f"{word}-label", {f"{word}-key": word}, f"{word}-sha", image)
        for name in names
    ]
    return NewBatch(examples, core)


def fill(store: SqliteStore, collection_id: str, *, is_secret: bool, n: int = 60) -> None:
    tenant = store.tenant("default")
    tenant.create_collection(
        collection_id,
        backbone="toy",
        digest=DIGEST,
        keep_images=True,
        mutation=request(f"make {is_secret}"),
    )
    sizes = random.Random(1)
    names = [f"{i:04}" for i in range(n)]
    while names:
        size = sizes.choice([1, 1, 1, 7])
        tenant.add_examples(
            collection_id,
            batch(names[:size], is_secret=is_secret, image_bytes=sizes.choice([40, 900, 9000])),
            on_duplicate=OnDuplicate.REFUSE,
        )
        names = names[size:]


def assert_gone(folder: Path, *patterns: bytes) -> None:
    found = bytes_on_disk(folder)
    for pattern in patterns:
        at = found.find(pattern)
        assert at < 0, f"{pattern!r} is still there: {found[max(0, at - 60) : at + 60]!r}"


def test_a_deleted_collection_leaves_nothing(store: SqliteStore, folder: Path) -> None:
    fill(store, "horses", is_secret=False)
    fill(store, f"{SECRET}s", is_secret=True)
    assert SECRET.encode() in bytes_on_disk(folder), "the test's own secret is never stored"
    assert SECRET_CODES in bytes_on_disk(folder)
    store.tenant("default").delete_collection(f"{SECRET}s", mutation=request("delete"))
    assert_gone(folder, SECRET.encode(), SECRET_CODES)
    assert store.tenant("default").collection("horses").n_examples == 60


def test_deleted_examples_leave_nothing_wherever_pages_were_split(
    store: SqliteStore, folder: Path
) -> None:
    """Random ids and sizes make SQLite split pages, and splits leave copies.

    Seed 14 is the first of which one is left where the database is not vacuumed.
    """
    tenant = make_collection(store.tenant("default"))
    chance = random.Random(14)
    names = [hashlib.md5(f"14{i}".encode(), usedforsecurity=False).hexdigest() for i in range(600)]
    live: list[str] = []
    while names:
        new = [names.pop() for _ in range(min(len(names), chance.choice([1, 1, 3, 20])))]
        examples = [
            NewExample(
                name,
                "l" + name,
                {"k": "m" + name + "x" * chance.choice([0, 100, 2000])},
                "s" + name,
                name.encode() * chance.choice([1, 30, 300]),
            )
            for name in new
        ]
        tenant.add_examples(
            "ants", NewBatch(examples, codes_of(new)), on_duplicate=OnDuplicate.REFUSE
        )
        live += new
        if chance.random() < 0.2:
            chance.shuffle(live)
            gone = [live.pop() for _ in range(min(len(live), chance.choice([1, 2, 10])))]
            tenant.delete_examples("ants", gone)
            assert_gone(folder, *[name.encode() for name in gone])
    assert tenant.collection("ants").n_examples == len(live)


def test_replaced_examples_leave_nothing(store: SqliteStore, folder: Path) -> None:
    tenant = make_collection(store.tenant("default"))
    add(tenant, ["a", "b", "c"], label=f"{SECRET}-label", salt=SECRET)
    old = codes_of(["b"], salt=SECRET)["two"].tobytes()
    assert old in bytes_on_disk(folder)
    add(tenant, ["a", "b", "c"], on_duplicate=OnDuplicate.REPLACE)
    assert_gone(folder, SECRET.encode(), old)


def test_deleted_probes_and_versions_leave_nothing(store: SqliteStore, folder: Path) -> None:
    tenant = make_collection(store.tenant("default"))

    def train(probe_id: str, word: str) -> None:
        version = tenant.start_training(
            probe_id,
            kind="svm",
            collection_id="ants",
            request={"asked": word},
            mutation=request(f"train {probe_id == 'p'} {len(word)}"),
        )
        tenant.finish_training(
            probe_id,
            version.version,
            create_time=version.create_time,
            result={"found": word},
            file=word.encode() * 2000,
            held_out=word.encode() * 2000,
            seconds=1.0,
            promote=False,
        )

    train("p", "giraffe")
    train("p", "horse")
    train(f"{SECRET}-probe", SECRET)
    tenant.promote_version(f"{SECRET}-probe", 1, mutation=request("promote"))
    tenant.promote_version("p", 2, mutation=request("promote p"))
    tenant.delete_version("p", 1)
    assert_gone(folder, b"giraffe")
    tenant.delete_probe(f"{SECRET}-probe")
    assert_gone(folder, SECRET.encode())
    assert tenant.probe_file("p", 2) == tenant.held_out_answers("p", 2) == b"horse" * 2000


def test_a_deleted_tenant_leaves_nothing(store: SqliteStore, folder: Path) -> None:
    store.create_tenant(SECRET, mutation=request("make"))
    store.create_key("id", SECRET.encode(), tenant_id=SECRET, label=SECRET)
    tenant = store.tenant(SECRET)
    tenant.create_collection(
        SECRET, backbone="toy", digest=DIGEST, keep_images=True, mutation=request("make")
    )
    tenant.add_examples(SECRET, batch(["a"], is_secret=True), on_duplicate=OnDuplicate.REFUSE)
    tenant.start_training(SECRET, kind=SECRET, collection_id=SECRET, request={SECRET: SECRET})
    store.delete_tenant(SECRET)
    assert_gone(folder, SECRET.encode(), SECRET_CODES)


def test_a_reader_in_the_way_only_delays_it(store: SqliteStore, folder: Path) -> None:
    """The log cannot be cut while somebody reads it: it is cut once they have read."""
    fill(store, SECRET, is_secret=True, n=3)
    readers = Readers(folder / "icecore.db")
    with ThreadPoolExecutor() as threads:
        with readers.moment() as moment:
            moment.exec_driver_sql("SELECT count(*) FROM examples").all()
            deleting = threads.submit(store.tenant("default").delete_collection, SECRET)
            with pytest.raises(TimeoutError):
                deleting.result(0.3)
        deleting.result(20)
    readers.close()
    assert_gone(folder, SECRET.encode(), SECRET_CODES)


def test_what_a_killed_server_deleted_is_gone_after_the_next_start(
    store: SqliteStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, SECRET, is_secret=True, n=3)
    monkeypatch.setattr(upkeep, "erase", lambda *_, **__: True)
    store.tenant("default").delete_collection(SECRET)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert SECRET.encode() in bytes_on_disk(copy), "the log holds it no more: test what, then?"
    monkeypatch.undo()
    open_sqlite(copy).close()
    assert_gone(copy, SECRET.encode(), SECRET_CODES)


def test_a_large_collection_goes_in_parts_between_which_others_write(
    store: SqliteStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, SECRET, is_secret=True)
    tenant = store.tenant("default")
    make_collection(tenant)
    monkeypatch.setattr(burying, "ROWS_AT_ONCE", 8)
    dig_really = burying.dig
    said: list[str] = []

    def dig(change: Change) -> bool:
        if len(said) == 2:
            adding = threads.submit(add, tenant, ["a"])
            adding.add_done_callback(lambda _: said.append("added"))
            while not store._writer.n_waiting and not adding.done():  # until it is in the queue
                pass
        is_more = dig_really(change)
        said.append("more" if is_more else "done")
        return is_more

    monkeypatch.setattr(burying, "dig", dig)
    with ThreadPoolExecutor() as threads:
        tenant.delete_collection(SECRET)
    assert said.index("added") < said.index("done")
    assert_gone(folder, SECRET.encode(), SECRET_CODES)
    assert [one.example_id for one in tenant.list_examples("ants")] == ["a"]


def test_a_deletion_that_finds_the_disk_full_half_way_says_what_is_done_and_goes_on(
    store: SqliteStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, SECRET, is_secret=True)
    tenant = store.tenant("default")
    monkeypatch.setattr(burying, "ROWS_AT_ONCE", 8)
    dig_really = burying.dig
    n_dug = 0

    def dig(change: Change) -> bool:
        nonlocal n_dug
        n_dug += 1
        if n_dug in (3, 4, 5):  # the writer tries thrice by itself
            raise StorageFull("there is no room")
        return dig_really(change)

    monkeypatch.setattr(burying, "dig", dig)
    with pytest.raises(StorageFull, match="it is deleted, but there was no room"):
        tenant.delete_collection(SECRET, mutation=request("delete"))
    assert tenant.collections() == ()
    tenant.delete_collection(SECRET, mutation=request("delete"))
    assert_gone(folder, SECRET.encode(), SECRET_CODES)


@pytest.mark.parametrize("what", ["collection", "tenant"])
def test_a_deletion_that_was_interrupted_is_ended_at_the_next_start(
    store: SqliteStore, folder: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    tenant = store.tenant("default")
    fill(store, SECRET, is_secret=True)
    monkeypatch.setattr(burying, "ROWS_AT_ONCE", 8)
    monkeypatch.setattr(burying, "dig_all", lambda _: None)  # as if it were killed here
    if what == "tenant":
        store.delete_tenant("default")
        tenant = store.tenant("default")
    else:
        tenant.delete_collection(SECRET)
    assert tenant.collections() == ()
    assert [one.tenant_id for one in store.tenants()] == ["default"]
    make_collection(tenant, SECRET)  # the id is free at once
    tenant.delete_collection(SECRET)
    store.close()
    assert SECRET_CODES in bytes_on_disk(folder), "nothing was left to do: test what, then?"
    monkeypatch.undo()
    open_sqlite(folder).close()
    assert_gone(folder, SECRET.encode(), SECRET_CODES)


def test_space_is_given_back_to_the_disk(store: SqliteStore, folder: Path) -> None:
    tenant = make_collection(store.tenant("default"))
    names = [str(i) for i in range(100)]
    large = {"l": np.zeros((100, 100_000), np.float16)}
    batch = NewBatch(batch_of(names).examples, large)
    tenant.add_examples("ants", batch, on_duplicate=OnDuplicate.REFUSE)
    store.close()
    connection = open_writer(folder / "icecore.db")
    connection.exec_driver_sql("DELETE FROM collections")
    while upkeep.release_pages(connection):
        pass
    connection.close()
    assert (folder / "icecore.db").stat().st_size < 10_000_000, "20 MB were deleted"


def test_deleting_one_of_many_writes_little(
    store: SqliteStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = make_collection(store.tenant("default"))
    names = [f"{i:03}" for i in range(200)]
    wide = {"wide": np.ones((200, 10_000), np.float16)}
    batch = NewBatch(batch_of(names).examples, wide)
    tenant.add_examples("ants", batch, on_duplicate=OnDuplicate.REFUSE)
    store.close()
    again = open_sqlite(folder)
    monkeypatch.setattr(upkeep, "erase", lambda *_, **__: True)
    again.tenant("default").delete_examples("ants", ["050"])
    written = (folder / "icecore.db-wal").stat().st_size
    again.close()
    assert written < 400_000, "its 20 KB of codes are in a blob of 4 MB"
