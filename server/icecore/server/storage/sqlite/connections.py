"""Connections to the database file: the one that writes, and those that only read.

SQLite 3.7 to 3.51 can corrupt a file when one connection resets the log while
another writes (the "WAL-reset bug"), so exactly one connection writes and
checkpoints. Readers open `mode=ro`: such a one never checkpoints, not even
when it is the last to close.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, NullPool, QueuePool, create_engine
from sqlalchemy.exc import DBAPIError

from icecore.server.errors import ShuttingDown, StorageCorrupt, StorageFull
from icecore.server.storage.sqlite.upkeep import WAIT_MS

_WRITER_SETTINGS = (
    "page_size = 4096",
    "auto_vacuum = INCREMENTAL",
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "secure_delete = ON",
    "temp_store = MEMORY",  # no copies of rows in temporary files
    "cache_size = -32768",  # KB; changes of more are written to the log twice
    f"busy_timeout = {WAIT_MS}",
    "wal_autocheckpoint = 4000",  # pages: 16 MB
    f"journal_size_limit = {64 * 1024 * 1024}",
)
"""The first two have to come before the rest makes the file."""

_READERS = 8

_FULL = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR_WRITE,  # over a quota or a limit on a file's size
    sqlite3.SQLITE_IOERR_SHMSIZE,
}
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def open_writer(path: Path) -> Connection:
    """Return the connection that writes; the file is made, readable by its owner alone.

    It begins and ends no transaction by itself.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def connect() -> sqlite3.Connection:
        raw = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            for setting in _WRITER_SETTINGS:
                raw.execute(f"PRAGMA {setting}")
        except BaseException:
            raw.close()
            raise
        return raw

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True)
    with told():
        return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


class Readers:
    """A pool of read-only connections, each used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        uri = f"{path.as_uri()}?mode=ro"

        def connect() -> sqlite3.Connection:
            raw = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
            raw.execute(f"PRAGMA busy_timeout = {WAIT_MS}")
            return raw

        self._engine = create_engine(
            "sqlite://",
            creator=connect,
            poolclass=QueuePool,
            pool_size=_READERS,
            max_overflow=-1,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,  # a fault's traceback is logged; labels and metadata never are
        )
        self._changed = threading.Condition()
        self._n_reading = 0
        self._is_closed = False

    @contextlib.contextmanager
    def moment(self) -> Iterator[Connection]:
        """Give a connection that sees the data of one moment.

        Raises:
            ShuttingDown: the pool is closed.
        """
        with self._changed:
            if self._is_closed:
                raise ShuttingDown("the store is closed: the server is shutting down")
            self._n_reading += 1
        try:
            with told(), self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN")
                try:
                    yield connection
                finally:
                    connection.exec_driver_sql("ROLLBACK")
        finally:
            with self._changed:
                self._n_reading -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Let those that read finish, admit no others, and close. Idempotent."""
        with self._changed:
            self._is_closed = True
            self._changed.wait_for(lambda: self._n_reading == 0)
        self._engine.dispose()


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Raise what the database's errors mean.

    Raises:
        StorageFull: there was no room to write.
        StorageCorrupt: the file is damaged.
    """
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        raw = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(raw, "sqlite_errorcode", None)
        if code in _FULL:
            raise StorageFull(
                "there is no room on the server's disk: nothing was changed; make room on that "
                "disk and call again"
            ) from error
        if code is not None and code & 0xFF in _CORRUPT:
            raise StorageCorrupt("the database file is damaged") from error
        raise
