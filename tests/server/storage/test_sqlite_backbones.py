"""Backbones in SQLite: killed at any step, deleted from the bytes, and never in others' way."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import Connection

import storing
from icecore.server import errors
from icecore.server.storage.change import Change
from icecore.server.storage.opening import open_sqlite
from icecore.server.storage.records import BackboneRecord
from icecore.server.storage.rows import backbones
from icecore.server.storage.sqlite import backbone_keeping, burying
from icecore.server.storage.sqlite.store import SqliteStore
from storing import DIGEST, add, bytes_on_disk, make_collection, put_backbone, request

SECOND = "cd" * 32
SECRET = b"zebra" * 400_000
"""A graph of 2 MB, more than the log keeps in one place."""

CHILD = """
import sys
from pathlib import Path
from icecore.server.storage.opening import open_sqlite
from icecore.server.storage.sqlite import backbone_keeping
from storing import put_backbone, request

backbone_keeping.PART_BYTES = 5000
folder, round_ = Path(sys.argv[1]), sys.argv[2]
store = open_sqlite(folder)
for i in range(100_000):
    digest = f"{round_}{i:06}".ljust(64, "a")
    put_backbone(
        store,
        name="moving",
        digest=digest,
        graph=digest.encode() * 300,
        mutation=request(digest),
    )
    print("+", digest, flush=True)
    if i % 3 == 2:
        store.remove_backbone("moving")
        print("-", digest, flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


def numbers(folder: Path, query: str) -> list[int]:
    with sqlite3.connect(folder / "icecore.db") as raw:
        rows = raw.execute(query).fetchall()
    raw.close()
    return [row[0] for row in rows]


def test_killed_at_any_moment_a_backbone_is_there_whole_or_not_at_all(folder: Path) -> None:
    open_sqlite(folder).close()
    chance = random.Random(5)
    for round_ in range(3):
        said = killed_after(folder, round_, n_lines=chance.randrange(1, 12))
        store = open_sqlite(folder)
        there = {one.name: one.digest for one in store.backbones()}
        assert len(there) <= 1
        digests = store.backbone_digests()
        assert set(digests) == set(there.values()), "what was replaced is there still"
        sign, last = said[-1].split() if said else ("-", "")
        if sign == "+":
            # The next one may have taken its place, or it was removed: not acknowledged yet.
            assert not digests or digests[0] >= last
        for digest in digests:
            assert store.backbone_graph(digest) == digest.encode() * 300
            assert store.backbone_added_before(request(digest)) == store.backbone(digest)
        store.close()
        assert numbers(folder, "SELECT count(*) FROM backbones") == [len(digests)]
        n_parts = [300 * 64 // 5000 + 1] if digests else []
        of_each = "SELECT count(*) FROM backbone_parts GROUP BY backbone_pk"
        assert numbers(folder, of_each) == n_parts


def killed_after(folder: Path, round_: int, *, n_lines: int) -> list[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), str(round_)],
        stdout=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(
                [str(Path(storing.__file__).parent), os.environ.get("PYTHONPATH", "")]
            ),
        },
    )
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(n_lines)]
    child.send_signal(signal.SIGKILL)
    lines += child.stdout.readlines()
    child.stdout.close()
    child.wait()
    return [line for line in lines if line.endswith("\n")]


@pytest.mark.parametrize("how", ["removed", "replaced", "unpinned"])
def test_a_backbone_that_is_gone_leaves_nothing(folder: Path, how: str) -> None:
    store = open_sqlite(folder)
    put_backbone(
        store,
        name="secret",
        digest=SECOND,
        graph=SECRET,
        card={"source": "giraffe"},
        facts={"added_by": "elephant"},
        mutation=request("make"),
    )
    assert b"zebra" in bytes_on_disk(folder)
    tenant = store.tenant("default")
    if how == "unpinned":
        make_collection(tenant, digest=SECOND)
        put_backbone(store, name="secret", mutation=request("replace"))
        assert b"zebra" in bytes_on_disk(folder)
        tenant.delete_collection("ants")
    elif how == "replaced":
        put_backbone(store, name="secret", mutation=request("replace"))
    else:
        store.remove_backbone("secret", mutation=request("remove"))
    found = bytes_on_disk(folder)
    store.close()
    for word in (b"zebra", b"giraffe", b"elephant", SECOND.encode()):
        for files in (found, bytes_on_disk(folder)):
            assert word not in files


def test_what_was_begun_by_a_killed_server_leaves_nothing(folder: Path) -> None:
    store = open_sqlite(folder)
    record = put_backbone(store)
    store._writer.write(lambda change: _begin(change, record))
    assert store.backbone_digests() == [DIGEST]
    assert [one.name for one in store.backbones()] == ["toy"]
    store.close()
    assert b"zebra" in bytes_on_disk(folder)
    open_sqlite(folder).close()
    assert b"zebra" not in bytes_on_disk(folder)
    assert numbers(folder, "SELECT count(*) FROM backbones") == [1]


def _begin(change: Change, record: BackboneRecord) -> None:
    number = backbones.begin(change, record, "sha")
    backbones.add_part(change, number, 0, memoryview(SECRET))


def test_a_removal_that_was_interrupted_is_ended_at_the_next_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_sqlite(folder)
    put_backbone(store, name="secret", digest=SECOND, graph=SECRET * 20)
    monkeypatch.setattr(burying, "dig_all", lambda _: None)  # as if it were killed here
    store.remove_backbone("secret")
    put_backbone(store, name="again", digest=SECOND, graph=b"other")  # the digest is free at once
    store.close()
    assert b"zebra" in bytes_on_disk(folder)
    monkeypatch.undo()
    store = open_sqlite(folder)
    assert b"zebra" not in bytes_on_disk(folder)
    assert store.backbone_graph(SECOND) == b"other"
    store.close()


def test_a_collection_that_is_still_being_overwritten_pins_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_sqlite(folder)
    put_backbone(store)
    tenant = make_collection(store.tenant("default"))
    for name in ("a", "b", "c"):
        add(tenant, [name])
    put_backbone(store, digest=SECOND)
    monkeypatch.setattr(burying, "ROWS_AT_ONCE", 1)
    monkeypatch.setattr(burying, "dig_all", lambda _: None)  # as if it took long
    tenant.delete_collection("ants")
    assert numbers(folder, "SELECT count(*) FROM batches") != [0], "all is overwritten already"
    assert store.backbone_digests() == [SECOND]
    store.close()


def test_a_put_that_fails_half_way_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_sqlite(folder)
    put_backbone(store)
    monkeypatch.setattr(backbone_keeping, "PART_BYTES", 500_000)
    really = backbones.add_part

    def add_part(change: Change, number: int, place: int, part: memoryview) -> None:
        if place == 2:
            raise errors.StorageFull("there is no room")
        really(change, number, place, part)

    monkeypatch.setattr(backbones, "add_part", add_part)
    for _ in range(2):
        with pytest.raises(errors.StorageFull):
            put_backbone(store, digest=SECOND, graph=SECRET, mutation=request("r"))
        assert store.backbones()[0].digest == DIGEST
        assert b"zebra" not in bytes_on_disk(folder)
    monkeypatch.setattr(backbones, "add_part", really)
    put_backbone(store, digest=SECOND, graph=SECRET, mutation=request("r"))
    assert store.backbone_graph(SECOND) == SECRET
    store.close()


def test_no_change_writes_more_than_some_parts(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So others who write wait for some megabytes, whatever the graph's size."""
    store = open_sqlite(folder)
    monkeypatch.setattr(backbone_keeping, "PART_BYTES", 1000)
    added, deleted = most_rows(store, monkeypatch)
    put_backbone(store, name="big", digest=SECOND, graph=bytes(50_000))
    store.remove_backbone("big")
    store.close()
    assert sum(added) == sum(deleted) == 50
    assert max(added) == 1
    assert max(deleted) == burying.PARTS_AT_ONCE


def most_rows(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], list[int]]:
    """How many parts each change adds, and takes away."""
    added: list[int] = []
    deleted: list[int] = []
    really = store._writer.write

    def count(connection: Connection) -> int:
        return int(connection.exec_driver_sql("SELECT count(*) FROM backbone_parts").scalar_one())

    def counted(work):  # type: ignore[no-untyped-def]
        def both(change: Change) -> object:
            before = count(change.connection)
            answer = work(change)
            n = count(change.connection) - before
            (added if n > 0 else deleted).append(abs(n))
            return answer

        return really(both)

    monkeypatch.setattr(store._writer, "write", counted)
    return added, deleted
