"""Codes kept on disk beyond a restart: a database of its own that may be lost at any time.

It is no truth: nothing is synced, what is damaged is a miss, and a file that cannot be
read is made anew. Thread-safe and blocking; what is put is written a while later.
"""

import os
import sqlite3
from collections.abc import Sequence
from logging import WARNING
from pathlib import Path
from threading import Lock
from time import time
from typing import Final
from zlib import crc32

import numpy as np
import numpy.typing as npt

from icecore.server import telemetry

FloatArray = npt.NDArray[np.float32]

_FORMAT: Final = 1
_WRITE_AT: Final = 256
"""Entries written at once: one by one each would be a transaction."""

_DROPPED_AT_ONCE: Final = 32

_MOST_UNWRITTEN_BYTES: Final = 16 << 20

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS codes (tenant TEXT NOT NULL, key BLOB NOT NULL, "
    "used INTEGER NOT NULL, n_bytes INTEGER NOT NULL, shape TEXT NOT NULL, crc INTEGER NOT NULL, "
    "data BLOB NOT NULL, UNIQUE (tenant, key))",
    "CREATE INDEX IF NOT EXISTS codes_used ON codes (used, n_bytes)",
)
_PUT: Final = "INSERT OR REPLACE INTO codes VALUES (?, ?, ?, ?, ?, ?, ?)"
_GET: Final = "SELECT shape, crc, data FROM codes WHERE tenant = ? AND key = ?"
_TOUCH: Final = "UPDATE codes SET used = ? WHERE tenant = ? AND key = ?"
_DROP: Final = (
    "DELETE FROM codes WHERE rowid IN (SELECT rowid FROM codes ORDER BY used, rowid LIMIT ?)"
)


class DiskCache:
    """At most about `max_bytes` of codes in the file `path`."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._lock = Lock()
        self._unwritten: dict[tuple[str, bytes], FloatArray] = {}
        self._unwritten_bytes = 0
        self._used: set[tuple[str, bytes]] = set()
        self._database = _opened(path)
        self._n_bytes = _sum(self._database)

    @property
    def n_bytes(self) -> int:
        """Bytes of the codes kept, those not yet written too."""
        return self._n_bytes + self._unwritten_bytes

    def get(self, tenant_id: str, keys: Sequence[bytes]) -> dict[bytes, FloatArray]:
        """Return those of the codes that are there and whole, read-only."""
        found: dict[bytes, FloatArray] = {}
        with self._lock:
            for key in keys:
                codes = self._unwritten.get((tenant_id, key))
                if codes is None and (codes := self._read(tenant_id, key)) is not None:
                    self._used.add((tenant_id, key))
                if codes is not None:
                    found[key] = codes
        return found

    def put(self, tenant_id: str, key: bytes, codes: FloatArray) -> bool:
        """Take codes to be written; return whether it is time to `write`.

        What comes faster than it can be written is let go.
        """
        with self._lock:
            if self._unwritten_bytes + codes.nbytes <= _MOST_UNWRITTEN_BYTES:
                self._unwritten[tenant_id, key] = codes
                self._unwritten_bytes += codes.nbytes
            return len(self._unwritten) >= _WRITE_AT

    def write(self) -> None:
        """Write what was put, in one transaction, and drop what was used longest ago."""
        with self._lock:
            now = int(time())
            rows = [
                (tenant, key, now, len(data), _shape(codes), crc32(data), data)
                for (tenant, key), codes in self._unwritten.items()
                for data in [codes.astype("<f4", copy=False).tobytes()]
            ]
            used = [(now, tenant, key) for tenant, key in self._used]
            self._unwritten.clear()
            self._unwritten_bytes = 0
            self._used.clear()
            try:
                with self._database:
                    self._database.executemany(_PUT, rows)
                    self._database.executemany(_TOUCH, used)
                    self._n_bytes = _sum(self._database)
                    self._drop_oldest()
            except sqlite3.DatabaseError as error:
                self._anew(error)

    def forget(self, tenant_id: str) -> None:
        """Delete and overwrite all of a tenant."""
        with self._lock:
            for one in [one for one in self._unwritten if one[0] == tenant_id]:
                self._unwritten_bytes -= self._unwritten.pop(one).nbytes
            self._used = {one for one in self._used if one[0] != tenant_id}
            try:
                with self._database:
                    self._database.execute("DELETE FROM codes WHERE tenant = ?", (tenant_id,))
                self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                self._n_bytes = _sum(self._database)
            except sqlite3.DatabaseError as error:
                self._anew(error)

    def close(self) -> None:
        self.write()
        self._database.close()

    def _read(self, tenant_id: str, key: bytes) -> FloatArray | None:
        try:
            row = self._database.execute(_GET, (tenant_id, key)).fetchone()
        except sqlite3.DatabaseError as error:
            self._anew(error)
            return None
        if row is None or crc32(row[2]) != row[1]:
            return None
        shape, _, data = row
        return np.frombuffer(data, "<f4").reshape([int(side) for side in shape.split()])

    def _drop_oldest(self) -> None:
        while self._n_bytes > self._max_bytes:
            self._database.execute(_DROP, (_DROPPED_AT_ONCE,))
            self._n_bytes = _sum(self._database)

    def _anew(self, error: sqlite3.DatabaseError) -> None:
        """Begin an empty file in place of one that cannot be read."""
        telemetry.log("code cache made anew", level=WARNING, cause=str(error))
        self._database.close()
        remove_disk_cache(self._path)
        self._database = _opened(self._path)
        self._n_bytes = 0


def remove_disk_cache(path: Path) -> None:
    """Remove the file and what SQLite keeps beside it, if they are there."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _opened(path: Path) -> sqlite3.Connection:
    try:
        return _database(path)
    except sqlite3.DatabaseError as error:
        telemetry.log("code cache made anew", level=WARNING, cause=str(error))
        remove_disk_cache(path)
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


def _shape(codes: FloatArray) -> str:
    return " ".join(map(str, codes.shape))
