"""A file on its way in: kept on disk until it is whole, so that slow senders hold no memory."""

import contextlib
import errno
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from icecore.server.errors import GraphTooLarge, StorageFull

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Spool:
    """An unnamed file in `folder`, which ends with the object or with the process, however it does.

    Blocking. Raises GraphTooLarge as soon as more than `max_bytes` came, and StorageFull.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        with _told():
            # Without a buffer, whose last bytes would find the disk full when it is closed.
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - __exit__
        self._max_bytes = max_bytes
        self._sha256 = hashlib.sha256()
        self._n_bytes = 0

    def write(self, chunk: bytes) -> None:
        self._n_bytes += len(chunk)
        if self._n_bytes > self._max_bytes:
            raise GraphTooLarge(f"the file has more than {self._max_bytes:,} bytes, the most taken")
        self._sha256.update(chunk)
        left = memoryview(chunk)
        with _told():
            while left:
                left = left[self._file.write(left) :]

    def read(self) -> bytes:
        """Return the whole of it."""
        self._file.seek(0)
        return self._file.read()

    @property
    def sha256(self) -> str:
        """Of all that was written, hexadecimal."""
        return self._sha256.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Raise StorageFull where the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise StorageFull(
            "there is no room on the server's disk for the file: nothing was changed; make "
            "room on that disk and call again"
        ) from error
