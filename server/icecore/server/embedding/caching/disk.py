"""Codes kept on disk beyond a restart. It is no truth: what is damaged or lost is a miss.

Thread-safe. What is put is written a while later; only `put` does not wait for the disk.
"""

import sqlite3
from collections.abc import Sequence
from logging import WARNING
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np
import numpy.typing as npt

from icecore.server import telemetry
from icecore.server.embedding.caching.code_rows import CodeRows, remove_rows

FloatArray = npt.NDArray[np.float32]

_WRITE_AT: Final = 256
"""Entries written at once: one by one each would be a transaction."""

_MOST_UNWRITTEN_BYTES: Final = 16 << 20

_LONGEST_READ_WAIT_S: Final = 0.1
"""Some writes. To delete a tenant's gigabytes takes longer: then running an image is sooner done
than waiting, and the threads that wait would be missing elsewhere."""

_WRITE_AT_BYTES: Final = _MOST_UNWRITTEN_BYTES // 4
"""Large codes, such as maps, are written before there are so many."""


class DiskCache:
    """At most about `max_bytes` of codes in the file `path`.

    A file that fails while it is used is made anew; where that fails too, on a full disk
    for example, nothing is kept any more.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        """Raises OSError or sqlite3.DatabaseError where there can be no such file."""
        self._path = path
        self._max_bytes = max_bytes
        # Never held while the disk is at work, since the event loop waits for it.
        self._lock = Lock()
        self._unwritten: dict[tuple[str, bytes], FloatArray] = {}
        self._unwritten_bytes = 0
        self._at_file = Lock()
        self._rows: CodeRows | None = CodeRows(path)

    @property
    def n_bytes(self) -> int:
        """Bytes of the codes kept, those not yet written too."""
        rows = self._rows
        return self._unwritten_bytes + (0 if rows is None else rows.n_bytes)

    def get(self, tenant_id: str, keys: Sequence[bytes]) -> dict[bytes, FloatArray]:
        """Return those of the codes that are there and whole, read-only.

        A disk that is at work for long has none.
        """
        found: dict[bytes, FloatArray] = {}
        with self._lock:
            for key in keys:
                if (codes := self._unwritten.get((tenant_id, key))) is not None:
                    found[key] = codes
        absent = [key for key in keys if key not in found]
        if absent and self._at_file.acquire(timeout=_LONGEST_READ_WAIT_S):
            try:
                found.update(self._read(tenant_id, absent))
            finally:
                self._at_file.release()
        return found

    def put(self, tenant_id: str, key: bytes, codes: FloatArray) -> bool:
        """Take codes to be written; return whether it is time to `write`. Does not block.

        What comes faster than it can be written is let go.
        """
        if self._rows is None:
            return False
        with self._lock:
            place = tenant_id, key
            is_room = self._unwritten_bytes + codes.nbytes <= _MOST_UNWRITTEN_BYTES
            if is_room and place not in self._unwritten:
                self._unwritten[place] = codes
                self._unwritten_bytes += codes.nbytes
            is_many = len(self._unwritten) >= _WRITE_AT
            return is_many or self._unwritten_bytes >= _WRITE_AT_BYTES

    def write(self) -> None:
        """Write what was put, in one transaction, and drop what was used longest ago."""
        with self._at_file:
            with self._lock:
                entries, self._unwritten = self._unwritten, {}
                self._unwritten_bytes = 0
            if self._rows is None:
                return
            try:
                self._rows.write(entries, self._max_bytes)
            except sqlite3.DatabaseError as error:
                self._make_anew(error)

    def forget(self, tenant_id: str) -> None:
        """Delete and overwrite all of a tenant.

        Raises:
            OSError: there is a file that can be neither written nor removed.
        """
        with self._at_file:
            with self._lock:
                for one in [one for one in self._unwritten if one[0] == tenant_id]:
                    self._unwritten_bytes -= self._unwritten.pop(one).nbytes
            try:
                if self._rows is not None:
                    self._rows.forget(tenant_id)
            except sqlite3.DatabaseError as error:
                self._make_anew(error)
            if self._rows is None:
                remove_rows(self._path)

    def close(self) -> None:
        """Write what was put; from then on nothing is kept. Idempotent."""
        self.write()
        with self._at_file:
            if self._rows is not None:
                self._rows.close()
                self._rows = None

    def _read(self, tenant_id: str, keys: Sequence[bytes]) -> dict[bytes, FloatArray]:
        if self._rows is None:
            return {}
        try:
            return self._rows.read(tenant_id, keys)
        except sqlite3.DatabaseError as error:
            self._make_anew(error)
            return {}

    def _make_anew(self, error: sqlite3.DatabaseError) -> None:
        """Begin an empty file in place of one that fails; without one if that fails too."""
        telemetry.log("code cache made anew", level=WARNING, cause=str(error))
        if self._rows is not None:
            self._rows.close()
            self._rows = None
        try:
            remove_rows(self._path)
            self._rows = CodeRows(self._path)
        except (sqlite3.DatabaseError, OSError) as again:
            telemetry.log("code cache off", level=WARNING, cause=str(again))
