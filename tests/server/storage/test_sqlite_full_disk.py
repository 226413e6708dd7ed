"""A full disk is said so, changes nothing, and is overcome by making room."""

import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from icecore.server import errors
from icecore.server.storage.opening import open_sqlite
from icecore.server.storage.records import NewBatch, OnDuplicate
from icecore.server.storage.sqlite.connections import Readers, open_writer
from icecore.server.storage.sqlite.store import SqliteStore
from icecore.server.storage.sqlite.writer import Writer
from storing import add, batch_of, make_collection, put_backbone, request


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = open_sqlite(tmp_path)
    put_backbone(store)
    make_collection(store.tenant("default"))
    add(store.tenant("default"), ["old"])
    store.close()
    return tmp_path


@contextmanager
def store_of_pages(folder: Path, n_more: int) -> Iterator[SqliteStore]:
    """The folder's store, whose database may grow by so many pages: then the disk is full."""
    connection = open_writer(folder / "icecore.db")
    n = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    connection.exec_driver_sql(f"PRAGMA max_page_count = {n + n_more}")
    store = SqliteStore(Readers(folder / "icecore.db"), Writer(connection), to_unlock=None)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def files_up_to(n_bytes: int) -> Iterator[None]:
    """No file of this process may grow past so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def large(names: list[str]) -> NewBatch:
    """40 KB an example."""
    small = batch_of(names)
    filler = np.ones((len(names), 6), np.float16)
    examples = [
        type(one)(one.example_id, one.label, one.metadata, one.image_sha256, b"x" * 40_000)
        for one in small.examples
    ]
    return NewBatch(examples, {**small.core, "two": filler})


def test_a_full_database_changes_nothing_and_works_again_with_room(folder: Path) -> None:
    with store_of_pages(folder, 60) as store:
        tenant = store.tenant("default")
        before = tenant.collection("ants")
        with pytest.raises(errors.StorageFull, match="no room"):
            tenant.add_examples(
                "ants",
                large([f"{i}" for i in range(100)]),
                on_duplicate=OnDuplicate.REFUSE,
                mutation=request("r"),
            )
        assert tenant.collection("ants") == before
        assert tenant.added_before(request("r")) is None
        add(tenant, ["small"])
        assert [one.example_id for one in tenant.list_examples("ants")] == ["old", "small"]
        while True:
            try:
                n = tenant.collection("ants").n_examples
                tenant.add_examples("ants", large([f"{n}"]), on_duplicate=OnDuplicate.REFUSE)
            except errors.StorageFull:
                break
        tenant.delete_examples("ants", ["2"])
        tenant.add_examples("ants", large(["again"]), on_duplicate=OnDuplicate.REFUSE)
    store = open_sqlite(folder)
    found = store.tenant("default").snapshot("ants", ["one"]).examples
    assert {"old", "small", "again"} <= {one.example_id for one in found}
    store.close()


def test_a_change_that_does_not_fit_takes_nothing_of_its_neighbours(folder: Path) -> None:
    """Those of one commit: SQLite may undo all of it when one statement finds the disk full."""
    with store_of_pages(folder, 100) as store:
        tenant = store.tenant("default")

        def try_to_add(i: int) -> str:
            batch = large([f"{i}/{n}" for n in range(50)]) if i % 5 == 0 else batch_of([f"{i}"])
            try:
                tenant.add_examples("ants", batch, on_duplicate=OnDuplicate.REFUSE)
            except errors.StorageFull:
                return "full"
            return "added"

        with ThreadPoolExecutor(10) as threads:
            said = list(threads.map(try_to_add, range(30)))
        assert said == ["added" if i % 5 else "full" for i in range(30)]
        there = {one.example_id for one in tenant.list_examples("ants")}
        assert there == {"old"} | {f"{i}" for i in range(30) if i % 5}


def test_a_file_that_may_not_grow_is_a_full_disk_too(folder: Path) -> None:
    store = open_sqlite(folder)
    tenant = store.tenant("default")
    before = tenant.collection("ants")
    with files_up_to(1_000_000):
        with pytest.raises(errors.StorageFull):
            tenant.add_examples(
                "ants", large([f"{i}" for i in range(100)]), on_duplicate=OnDuplicate.REFUSE
            )
        assert tenant.collection("ants") == before
        assert len(tenant.snapshot("ants", ["one"]).examples) == 1
    tenant.add_examples(
        "ants", large([f"{i}" for i in range(100)]), on_duplicate=OnDuplicate.REFUSE
    )
    store.close()
    again = open_sqlite(folder)
    assert again.tenant("default").collection("ants").n_examples == 101
    again.close()


def test_a_store_is_not_made_by_half_where_there_is_no_room(tmp_path: Path) -> None:
    with files_up_to(20_000), pytest.raises(errors.StorageFull):
        open_sqlite(tmp_path)
    store = open_sqlite(tmp_path)
    assert [tenant.tenant_id for tenant in store.tenants()] == ["default"]
    store.close()
