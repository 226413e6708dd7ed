"""A file of frames: some JSON and some bytes each, whole or not there, for one process at a time.

A frame is a length and the CRC-32 of what follows (two 32-bit numbers, little-endian), the
length of a JSON text, that text, bytes. One that is torn or damaged is none. So are zeros,
which a power cut leaves where something was not on the disk yet.
"""

import fcntl
import json
import os
import struct
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icecore.cli.mistakes import Mistake

SYNC_EVERY_S = 5.0
"""What a power cut may lose; each time the disk is waited for."""

_FRAME = struct.Struct("<II")
_TEXT = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a frame's bytes start, and where it ends."""

    text: dict[str, Any]
    start: int
    end: int


class FrameFile:
    """Frames from some place on are read one after another, and others put behind them."""

    def __init__(self, path: Path) -> None:
        """Open or make it, and keep others away.

        Raises:
            Mistake: another process has it.
            OSError: it cannot be made.
        """
        self.path = path
        self._file = _locked(path)
        self._end = 0
        self._synced_at = float("-inf")

    def close(self) -> None:
        os.close(self._file)

    def read(self, start: int, n: int) -> bytes:
        """Return `n` bytes, or fewer where the file ends."""
        return os.pread(self._file, n, start)

    def begin(self, magic: bytes) -> None:
        """Begin anew, with these bytes in front."""
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, magic, 0)
        self._end = len(magic)

    def frame(self, at: int) -> Frame | None:
        """Return what begins there; None if it is not whole."""
        head = self.read(at, _FRAME.size)
        if len(head) != _FRAME.size:
            return None
        length, crc = _FRAME.unpack(head)
        start = at + _FRAME.size
        if length < _TEXT.size or start + length > os.fstat(self._file).st_size:
            return None
        body = self.read(start, length)
        if zlib.crc32(body) != crc:
            return None
        (n_text,) = _TEXT.unpack_from(body)
        text = json.loads(body[_TEXT.size : _TEXT.size + n_text])
        return Frame(text, start + _TEXT.size + n_text, start + length)

    def end_at(self, end: int) -> None:
        """Cut off what comes after; the next frame goes there."""
        os.ftruncate(self._file, end)
        self._end = end
        self._sync()

    def append(self, text: Mapping[str, Any], parts: Sequence[bytes] = ()) -> int:
        """Put a frame at the end and return where its bytes start.

        It may be on the disk only a while later, but all frames are there in their order.
        """
        told = json.dumps(text).encode()
        body = b"".join([_TEXT.pack(len(told)), told, *parts])
        frame = _FRAME.pack(len(body), zlib.crc32(body)) + body
        done = 0
        while done < len(frame):
            done += os.pwrite(self._file, frame[done:], self._end + done)
        start = self._end + _FRAME.size + _TEXT.size + len(told)
        self._end += len(frame)
        if time.monotonic() - self._synced_at >= SYNC_EVERY_S:
            self._sync()
        return start

    def _sync(self) -> None:
        os.fsync(self._file)
        self._synced_at = time.monotonic()


def sync_folder(folder: Path) -> None:
    """Wait until the names in the folder are on the disk."""
    there = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(there)
    finally:
        os.close(there)


def _locked(path: Path) -> int:
    """Open the file for this process alone."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            raise Mistake(f"another command is at work on {str(path)!r}") from None
        if os.fstat(file).st_nlink:
            return file
        os.close(file)  # who had it before was just done with it
