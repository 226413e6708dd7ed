"""Connections to the database file: the one that writes, and those that only read.

SQLite 3.7 to 3.51 can corrupt a file when one connection resets the log while
another writes (the "WAL-reset bug"), so exactly one connection writes and
checkpoints. Readers open `mode=ro`: such a one never checkpoints, not even
when it is the last to close.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from icecore.server.errors import ShuttingDown, StorageCorrupt, StorageFull
from icecore.server.storage.sqlite.upkeep import WAIT_MS
from sqlalchemy import Connection, Engine, NullPool, QueuePool, create_engine
from sqlalchemy.exc import DBAPIError

_PAGE_BYTES = 4096
_CHECKPOINT_PAGES = 4000
_KEPT_LOG_BYTES = 64 * 1024 * 1024

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
        raw.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        raw.execute("PRAGMA auto_vacuum = INCREMENTAL")
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute("PRAGMA synchronous = FULL")
        raw.execute("PRAGMA foreign_keys = ON")
        raw.execute("PRAGMA secure_delete = ON")
        raw.execute(f"PRAGMA busy_timeout = {WAIT_MS}")
        raw.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        raw.execute(f"PRAGMA journal_size_limit = {_KEPT_LOG_BYTES}")
        return raw

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
    with told():
        return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


def in_transaction(connection: Connection) -> bool:
    """Whether SQLite is in a transaction; it ends one by itself on some errors."""
    raw: sqlite3.Connection = connection.connection.dbapi_connection  # type: ignore[assignment]
    return raw.in_transaction


class Readers:
    """A pool of read-only connections, each used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        uri = f"{path.as_uri()}?mode=ro"

        def connect() -> sqlite3.Connection:
            raw = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
            raw.execute(f"PRAGMA busy_timeout = {WAIT_MS}")
            return raw

        self._engine: Engine | None = create_engine(
            "sqlite://",
            creator=connect,
            poolclass=QueuePool,
            pool_size=_READERS,
            max_overflow=-1,
            isolation_level="AUTOCOMMIT",
        )

    @contextlib.contextmanager
    def moment(self) -> Iterator[Connection]:
        """Give a connection that sees the data of one moment.

        Raises:
            ShuttingDown: the pool is closed.
        """
        engine = self._engine
        if engine is None:
            raise ShuttingDown("the store is closed: the server is shutting down")
        with told(), engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            try:
                yield connection
            finally:
                connection.exec_driver_sql("ROLLBACK")

    def close(self) -> None:
        """Close the idle connections; those in use close when they are done."""
        if self._engine is not None:
            engine, self._engine = self._engine, None
            engine.dispose()


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
                "there is no room on the server's disk: nothing was changed; delete something "
                "or make room there"
            ) from error
        if code is not None and code & 0xFF in _CORRUPT:
            raise StorageCorrupt("the database file is damaged") from error
        raise
