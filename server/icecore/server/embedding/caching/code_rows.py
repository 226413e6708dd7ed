"""The file of the disk cache: a database with one row a code, that may be lost at any time.

Nothing is synced. It blocks, and is for one thread at a time.
"""

import os
import sqlite3
from collections.abc import Mapping, Sequence
from logging import WARNING
from pathlib import Path
from time import time
from typing import Final
from zlib import crc32

import numpy as np
import numpy.typing as npt

from icecore.server import telemetry

FloatArray = npt.NDArray[np.float32]

_FORMAT: Final = 2

_DROPPED_AT_ONCE: Final = 32

_MOST_USED: Final = 4096
"""Rows read whose time of use is not written yet."""

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS codes (tenant TEXT NOT NULL, key BLOB NOT NULL, "
    "used INTEGER NOT NULL, n_bytes INTEGER NOT NULL, shape TEXT NOT NULL, crc INTEGER NOT NULL, "
    "data BLOB NOT NULL, UNIQUE (tenant, key))",
    "CREATE INDEX IF NOT EXISTS codes_used ON codes (used, n_bytes)",
)
_PUT: Final = "INSERT INTO codes VALUES (?, ?, ?, ?, ?, ?, ?)"
_GET: Final = "SELECT shape, crc, data FROM codes WHERE tenant = ? AND key = ?"
_TOUCH: Final = "UPDATE codes SET used = ? WHERE tenant = ? AND key = ?"
_DELETE: Final = "DELETE FROM codes WHERE tenant = ? AND key = ? RETURNING n_bytes"
_FORGET: Final = "DELETE FROM codes WHERE tenant = ?"
_DROP: Final = (
    "DELETE FROM codes WHERE rowid IN (SELECT rowid FROM codes ORDER BY used, rowid LIMIT ?) "
    "RETURNING n_bytes"
)


class CodeRows:
    """Rows in the file `path`; what is there and cannot be read is made anew.

    All methods raise sqlite3.DatabaseError where the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        """Raises OSError where there is no such folder, or no right to it."""
        self._database = _opened(path)
        self._used: set[tuple[str, bytes]] = set()
        self.n_bytes = _sum(self._database)
        """Bytes of all codes; counted as they come and go, since adding up takes a while."""

    def read(self, tenant_id: str, keys: Sequence[bytes]) -> dict[bytes, FloatArray]:
        """Return those of the codes that are there and whole, read-only."""
        found: dict[bytes, FloatArray] = {}
        for key in keys:
            row = self._database.execute(_GET, (tenant_id, key)).fetchone()
            if row is None:
                continue
            shape, crc, data = row
            if _crc(tenant_id, key, shape, data) == crc:
                found[key] = np.frombuffer(data, "<f4").reshape(*map(int, shape.split()))
                self._used.add((tenant_id, key))
        if len(self._used) >= _MOST_USED:
            with self._database:
                self._touch(int(time()))
        return found

    def write(self, entries: Mapping[tuple[str, bytes], FloatArray], max_bytes: int) -> None:
        """Write codes in one transaction, then drop what was used longest ago."""
        now = int(time())
        with self._database:
            for (tenant, key), codes in entries.items():
                data = codes.astype("<f4", copy=False).tobytes()
                shape = " ".join(map(str, codes.shape))
                crc = _crc(tenant, key, shape, data)
                self._count_out(_DELETE, tenant, key)
                self._database.execute(_PUT, (tenant, key, now, len(data), shape, crc, data))
                self.n_bytes += len(data)
            self._touch(now)
            while self.n_bytes > max_bytes and self._count_out(_DROP, _DROPPED_AT_ONCE):
                pass

    def forget(self, tenant_id: str) -> None:
        """Delete and overwrite all of a tenant."""
        self._used = {one for one in self._used if one[0] != tenant_id}
        with self._database:
            self._database.execute(_FORGET, (tenant_id,))
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.n_bytes = _sum(self._database)

    def close(self) -> None:
        self._database.close()

    def _touch(self, now: int) -> None:
        self._database.executemany(_TOUCH, [(now, *one) for one in self._used])
        self._used.clear()

    def _count_out(self, statement: str, *values: object) -> int:
        """Delete rows, and return how many there were."""
        deleted = self._database.execute(statement, values).fetchall()
        self.n_bytes -= sum(n_bytes for (n_bytes,) in deleted)
        return len(deleted)


def remove_rows(path: Path) -> None:
    """Remove the file and what SQLite keeps beside it, if they are there."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _opened(path: Path) -> sqlite3.Connection:
    try:
        return _database(path)
    except sqlite3.DatabaseError as error:
        telemetry.log("code cache made anew", level=WARNING, cause=str(error))
        remove_rows(path)
        return _database(path)


def _database(path: Path) -> sqlite3.Connection:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.close(descriptor)
    database = sqlite3.connect(path, check_same_thread=False)
    try:
        if database.execute("PRAGMA user_version").fetchone()[0] not in (0, _FORMAT):
            raise sqlite3.DatabaseError("the file is of another format")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA secure_delete = ON")
        database.execute(f"PRAGMA user_version = {_FORMAT}")
        with database:
            for statement in _SCHEMA:
                database.execute(statement)
        _sum(database)
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database


def _sum(database: sqlite3.Connection) -> int:
    """Bytes of all codes; the index `codes_used` holds their sizes, so no codes are read."""
    (total,) = database.execute("SELECT total(n_bytes) FROM codes INDEXED BY codes_used").fetchone()
    return int(total)


def _crc(tenant_id: str, key: bytes, shape: str, data: bytes) -> int:
    """Over whose and what they are too: a damaged index may lead to another row that is whole."""
    return crc32(data, crc32(repr((tenant_id, key, shape)).encode()))
