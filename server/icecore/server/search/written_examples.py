"""Examples as text in two arrays, read when they are looked at.

An index of 50,000 has as many examples. To make them all takes half a second in which Python
does nothing else; a search looks at as many as it has hits.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from icecore.server.storage.records import ExampleRecord


class WrittenExamples(Sequence[ExampleRecord]):
    """What `written` wrote. All are made, once, only where all are gone through."""

    def __init__(self, text: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64]) -> None:
        self._text = text.data
        self._ends = ends
        self._all: tuple[ExampleRecord, ...] | None = None

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, place: int) -> ExampleRecord: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[ExampleRecord]: ...

    def __getitem__(self, place: int | slice) -> ExampleRecord | Sequence[ExampleRecord]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        if self._all is not None:
            return self._all[place]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        place %= len(self)
        start = int(self._ends[place - 1]) if place else 0
        return _read(self._text[start : int(self._ends[place])])

    def __iter__(self) -> Iterator[ExampleRecord]:
        if self._all is None:
            self._all = tuple(self[place] for place in range(len(self)))
        return iter(self._all)


def written(examples: Sequence[ExampleRecord]) -> tuple[bytes, npt.NDArray[np.int64]]:
    """Return the text of all, and where the text of each ends."""
    parts = [_text(example) for example in examples]
    return b"".join(parts), np.cumsum([len(part) for part in parts], dtype=np.int64)


def _text(example: ExampleRecord) -> bytes:
    fields = (example.example_id, example.label, dict(example.metadata), example.image_sha256)
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _read(text: memoryview) -> ExampleRecord:
    fields: list[Any] = json.loads(bytes(text).decode("utf-8", "surrogatepass"))
    return ExampleRecord(*fields)
