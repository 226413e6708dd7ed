"""Codes as they come, in a file beside the one to be, so that no kill loses them.

    "icecore codes, part 1\\n", then frames: length and CRC-32 of what follows (two
    32-bit numbers, little-endian), the length of a JSON text, that text, codes.

The first frame says what was asked, the second what the codes are, and each one
after it holds some files (path, bytes, time of change) and for each column their
codes. A frame that is torn or damaged ends the file: what follows is done again.
"""

import fcntl
import json
import os
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from icecore.cli.codes_files.columns import Column, columns_of, distinct
from icecore.cli.mistakes import Mistake
from icecore.client import Codes

MAGIC = b"icecore codes, part 1\n"
_FRAME = struct.Struct("<II")
_TEXT = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class FileState:
    """A file as it was when it was looked at; another state is another image."""

    path: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """Raises OSError where there is none."""
        status = path.stat()
        return cls(str(path.absolute()), status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the codes of a file lie: after `start`, row `row` of `n` in each column."""

    file: FileState
    start: int
    row: int
    n: int


class PartFile:
    """Open for one process; `columns` is empty until the first codes."""

    def __init__(self, path: Path, request: Mapping[str, Any], *, restart: bool = False) -> None:
        """Open or make it, for what is asked.

        Raises:
            Mistake: it is of another request, or in use by another process.
            OSError: it cannot be made.
        """
        self.path = path
        self.columns: tuple[Column, ...] = ()
        self._places: dict[str, _Place] = {}
        self._file = _locked(path)
        try:
            if restart:
                os.ftruncate(self._file, 0)
            self._end = self._read(dict(request))
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._file)

    def __contains__(self, file: FileState) -> bool:
        """Whether the codes of the file are here, as it is now."""
        place = self._places.get(file.path)
        return place is not None and place.file == file

    def __len__(self) -> int:
        return len(self._places)

    def append(self, files: Sequence[FileState], codes: Sequence[Codes]) -> None:
        """Keep the codes of some files, row i of each being of `files[i]`.

        Raises:
            Mistake: they are not of the taps that those before are of.
            OSError: the disk is full.
        """
        if not files:
            return
        codes = distinct(codes)
        columns = columns_of(codes)
        if not self.columns:
            self._write({"columns": [column.to_json() for column in columns]})
            self.columns = columns
        if columns != self.columns:
            raise Mistake(
                f"codes of {columns[0].tap} do not go with those of {self.columns[0].tap}, which "
                f"{str(self.path)!r} holds: --restart begins anew"
            )
        parts = [
            np.ascontiguousarray(one.values, dtype=column.dtype).tobytes()
            for one, column in zip(codes, columns, strict=True)
        ]
        told = [[file.path, file.size, file.mtime_ns] for file in files]
        self._know(files, self._write({"files": told}, parts))

    def values(self, column: int, paths: Iterable[str]) -> np.ndarray[Any, Any]:
        """Return (n, *shape) codes of files that are here, by their absolute paths."""
        chosen = self.columns[column]
        before = sum(one.row_bytes for one in self.columns[:column])
        size = chosen.row_bytes
        data = bytearray()
        for path in paths:
            place = self._places[path]
            at = place.start + place.n * before + place.row * size
            row = os.pread(self._file, size, at)
            if len(row) != size:
                raise Mistake(f"{str(self.path)!r} was cut short by somebody else")
            data += row
        return np.frombuffer(data, chosen.dtype).reshape(-1, *chosen.shape)

    def remove(self) -> None:
        """Take it away, when what it was for is done."""
        self.path.unlink(missing_ok=True)

    def _read(self, request: dict[str, Any]) -> int:
        """Take over what is there, and return where the next frame goes."""
        begin = os.pread(self._file, len(MAGIC), 0)
        at = len(MAGIC)
        frame = self._frame(at) if begin == MAGIC else None
        if frame is None:
            if begin and not MAGIC.startswith(begin) and begin != MAGIC:
                raise Mistake(
                    f"{str(self.path)!r} is in the way, and no part of a file of codes: "
                    "--restart overwrites it"
                )
            return self._begin(request)
        text, _, end = frame
        if text != {"request": request}:
            raise Mistake(
                f"{str(self.path)!r} holds codes of an interrupted command that asked for "
                f"something else ({_difference(text.get('request', {}), request)}): "
                "--restart begins anew"
            )
        while (frame := self._frame(end)) is not None:
            text, start, after = frame
            if "columns" in text:
                self.columns = tuple(Column.from_json(one) for one in text["columns"])
            else:
                self._know([FileState(*one) for one in text["files"]], start)
            end = after
        os.ftruncate(self._file, end)
        return end

    def _know(self, files: Sequence[FileState], start: int) -> None:
        for row, file in enumerate(files):
            self._places[file.path] = _Place(file, start, row, len(files))

    def _begin(self, request: dict[str, Any]) -> int:
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, MAGIC, 0)
        self._end = len(MAGIC)
        self._write({"request": request})
        return self._end

    def _frame(self, at: int) -> tuple[dict[str, Any], int, int] | None:
        """Return text, where its codes start, and the end of a frame; None if it is not whole."""
        head = os.pread(self._file, _FRAME.size, at)
        if len(head) != _FRAME.size:
            return None
        length, crc = _FRAME.unpack(head)
        start = at + _FRAME.size
        if length < _TEXT.size or start + length > os.fstat(self._file).st_size:
            return None
        body = os.pread(self._file, length, start)
        if zlib.crc32(body) != crc:
            return None
        (n_text,) = _TEXT.unpack_from(body)
        text = json.loads(body[_TEXT.size : _TEXT.size + n_text])
        return text, start + _TEXT.size + n_text, start + length

    def _write(self, text: Mapping[str, Any], parts: Sequence[bytes] = ()) -> int:
        """Append a frame and return where its codes start."""
        told = json.dumps(text).encode()
        body = b"".join([_TEXT.pack(len(told)), told, *parts])
        frame = _FRAME.pack(len(body), zlib.crc32(body)) + body
        done = 0
        while done < len(frame):
            done += os.pwrite(self._file, frame[done:], self._end + done)
        start = self._end + _FRAME.size + _TEXT.size + len(told)
        self._end += len(frame)
        return start


def part_path(out: Path) -> Path:
    """Return where codes for `out` are kept until it is whole."""
    return out.with_name(f".{out.name}.part")


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


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return such as "layers ['17'], now ['-1']"."""
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return ", ".join(f"{key} {before.get(key)!r}, now {now.get(key)!r}" for key in keys)
