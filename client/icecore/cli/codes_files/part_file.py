"""Codes as they come, in a file beside the one to be, so that no kill loses them.

    "icecore codes, part 1\\n", then frames as `frames` has them.

The first frame says what was asked, the second what the codes are, and each one
after it holds some files (path, bytes, time of change) and for each column their
codes. The first that is not whole ends the file: what follows is done again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from icecore.cli.codes_files.columns import Column, columns_of, distinct
from icecore.cli.codes_files.frames import FrameFile, sync_folder
from icecore.cli.mistakes import Mistake
from icecore.client import Codes

MAGIC = b"icecore codes, part 1\n"


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
            Mistake: it holds codes of another request, or is in use by another process.
            OSError: it cannot be made.
        """
        self.path = path
        self.columns: tuple[Column, ...] = ()
        self._places: dict[str, _Place] = {}
        self._frames = FrameFile(path)
        try:
            if restart:
                self._begin(dict(request))
            else:
                self._read(dict(request))
        except BaseException:
            self._frames.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it; one without codes is taken away, as there is nothing to go on with."""
        if not self._places:
            self.remove()
        self._frames.close()

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
            self._frames.append({"columns": [column.to_json() for column in columns]})
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
        self._know(files, self._frames.append({"files": told}, parts))

    def values(self, column: int, paths: Iterable[str]) -> np.ndarray[Any, Any]:
        """Return (n, *shape) codes of files that are here, by their absolute paths."""
        chosen = self.columns[column]
        before = sum(one.row_bytes for one in self.columns[:column])
        size = chosen.row_bytes
        data = bytearray()
        for path in paths:
            place = self._places[path]
            at = place.start + place.n * before + place.row * size
            row = self._frames.read(at, size)
            if len(row) != size:
                raise Mistake(f"{str(self.path)!r} was cut short by somebody else")
            data += row
        return np.frombuffer(data, chosen.dtype).reshape(-1, *chosen.shape)

    def remove(self) -> None:
        """Take it away, when what it was for is done."""
        self.path.unlink(missing_ok=True)

    def _read(self, request: dict[str, Any]) -> None:
        """Take over what is there, or begin."""
        begin = self._frames.read(0, len(MAGIC))
        frame = self._frames.frame(len(MAGIC)) if begin == MAGIC else None
        if frame is None:
            if not MAGIC.startswith(begin.rstrip(b"\0")):
                raise Mistake(
                    f"{str(self.path)!r} is in the way, and no part of a file of codes: "
                    "--restart overwrites it"
                )
            self._begin(request)
            return
        if frame.text != {"request": request}:
            if not self._has_codes(frame.end):
                self._begin(request)
                return
            difference = _difference(frame.text.get("request", {}), request)
            raise Mistake(
                f"{str(self.path)!r} holds codes of an interrupted command that asked for "
                f"something else ({difference}): --restart begins anew"
            )
        end = frame.end
        while (frame := self._frames.frame(end)) is not None:
            if "columns" in frame.text:
                self.columns = tuple(Column.from_json(one) for one in frame.text["columns"])
            else:
                self._know([FileState(*one) for one in frame.text["files"]], frame.start)
            end = frame.end
        self._frames.end_at(end)

    def _has_codes(self, at: int) -> bool:
        """Whether frames from there on hold codes of some files."""
        while (frame := self._frames.frame(at)) is not None:
            if "files" in frame.text:
                return True
            at = frame.end
        return False

    def _begin(self, request: dict[str, Any]) -> None:
        self._frames.begin(MAGIC)
        self._frames.append({"request": request})
        sync_folder(self.path.parent)

    def _know(self, files: Sequence[FileState], start: int) -> None:
        for row, file in enumerate(files):
            self._places[file.path] = _Place(file, start, row, len(files))


def part_path(out: Path) -> Path:
    """Return where codes for `out` are kept until it is whole."""
    return out.with_name(f".{out.name}.part")


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return such as "layers ['17'], now ['-1']"."""
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return ", ".join(f"{key} {before.get(key)!r}, now {now.get(key)!r}" for key in keys)
