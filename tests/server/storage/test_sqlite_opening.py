"""Opening: from nothing, again, by two, and what a newer icecore wrote."""

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from icecore.server import errors
from icecore.server.storage import schema
from icecore.server.storage.folder import DataFolder
from icecore.server.storage.opening import open_sqlite
from icecore.server.storage.sqlite.connections import Readers, open_writer
from storing import add, make_collection, put_backbone


def pragma(connection: Connection, name: str) -> object:
    return connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()


def dump(path: Path) -> list[str]:
    with sqlite3.connect(path) as raw:
        lines = list(raw.iterdump())
    raw.close()
    return lines


def test_migrations_make_the_schema_that_the_code_uses(tmp_path: Path) -> None:
    open_sqlite(tmp_path).close()
    connection = open_writer(tmp_path / "icecore.db")
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    assert compare_metadata(context, schema.metadata) == []
    assert context.get_current_heads() == ("0005",)
    connection.close()


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path)
    put_backbone(store)
    add(make_collection(store.tenant("default")), ["a"])
    store.close()
    before = dump(tmp_path / "icecore.db")
    open_sqlite(tmp_path).close()
    assert dump(tmp_path / "icecore.db") == before


def test_a_newer_schema_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    open_sqlite(tmp_path).close()
    with sqlite3.connect(tmp_path / "icecore.db") as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    before = dump(tmp_path / "icecore.db")
    with pytest.raises(errors.StorageTooNew, match=r"'9999'.*'0005'"):
        open_sqlite(tmp_path)
    assert dump(tmp_path / "icecore.db") == before
    with pytest.raises(errors.StorageTooNew):
        open_sqlite(tmp_path)  # it is not locked by the first refusal


def test_the_writer_is_as_durable_and_thorough_as_it_says(tmp_path: Path) -> None:
    open_sqlite(tmp_path).close()
    connection = open_writer(tmp_path / "icecore.db")
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "foreign_keys": 1,
        "secure_delete": 1,
        "temp_store": 2,  # MEMORY
        "auto_vacuum": 2,  # INCREMENTAL
    }
    assert {name: pragma(connection, name) for name in wanted} == wanted
    connection.close()


def test_readers_cannot_write_nor_move_the_log(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path)
    put_backbone(store)
    readers = Readers(tmp_path / "icecore.db")
    with (
        pytest.raises(OperationalError, match="readonly"),
        readers.moment() as connection,
    ):
        connection.exec_driver_sql("DELETE FROM backbones")
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("icecore.db", "icecore.db-wal"):
        shutil.copy(tmp_path / name, copy / name)
    log = (copy / "icecore.db-wal").read_bytes()
    assert log, "there is nothing to move: the test shows nothing"
    lonely = Readers(copy / "icecore.db")
    with lonely.moment() as connection:
        assert pragma(connection, "journal_mode") == "wal"
        connection.exec_driver_sql("SELECT count(*) FROM backbones").scalar_one()
    lonely.close()
    assert (copy / "icecore.db-wal").read_bytes() == log, "the last reader moved the log"
    readers.close()
    store.close()


def test_a_second_store_on_the_folder_is_refused(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path)
    with pytest.raises(errors.FolderInUse, match="in use"):
        open_sqlite(tmp_path)
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from icecore.server.errors import FolderInUse\n"
        "from icecore.server.storage.opening import open_sqlite\n"
        "try:\n"
        "    open_sqlite(Path(sys.argv[1]))\n"
        "except FolderInUse as error:\n"
        "    print(error.details['pid'])\n"
    )
    other = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    holder = (tmp_path / "lock").read_text()
    assert other.stdout == holder, "the other process does not name this one"
    store.close()
    open_sqlite(tmp_path).close()


def test_a_folder_that_the_caller_locked_stays_locked(tmp_path: Path) -> None:
    with DataFolder(tmp_path) as folder:
        open_sqlite(folder).close()
        assert folder.is_locked
        with pytest.raises(errors.FolderInUse):
            open_sqlite(tmp_path)
    open_sqlite(tmp_path).close()


def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "data")
    put_backbone(store)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "data").iterdir()}
    assert set(modes.values()) == {0o600}, modes
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    store.close()


@pytest.mark.parametrize("name", ["with space", "50%d", "a?b#c", "ünïcode"])
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    store = open_sqlite(tmp_path / name)
    assert len(store.tenants()) == 1
    store.close()
