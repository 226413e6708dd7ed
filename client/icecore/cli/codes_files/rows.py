"""The rows of a file of codes in the order of its paths, read from a part file as needed."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from icecore.cli.codes_files.columns import Column
from icecore.cli.codes_files.part_file import PartFile

CHUNK_BYTES = 2 << 20


class Rows:
    """`paths` as they are written, and the codes of their files."""

    def __init__(self, part: PartFile, files: Sequence[Path]) -> None:
        """Take files whose codes are all in `part`; one may come several times."""
        self.paths = [str(file) for file in files]
        self._part, self._files = part, [str(file.absolute()) for file in files]

    @property
    def columns(self) -> tuple[Column, ...]:
        return self._part.columns

    def chunks(self, row_bytes: int, *, times: int = 1) -> Iterator[slice]:
        """Yield slices of all rows, in order, each of about `times` CHUNK_BYTES."""
        size = max(1, times * CHUNK_BYTES // max(1, row_bytes))
        return (slice(start, start + size) for start in range(0, len(self.paths), size))

    def values(self, column: int, chunk: slice) -> np.ndarray[Any, Any]:
        """Return (n, *shape) codes of some rows."""
        return self._part.values(column, self._files[chunk])
