"""What a file of codes holds: the paths, and one column a layer."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Self

import numpy as np

from icecore.cli.mistakes import Mistake
from icecore.client import Codes, TapId

PATHS = "paths"
CODES = "codes"


@dataclass(frozen=True, slots=True)
class Column:
    """The codes of one tap; `shape` is that of one image, (d,) or (c, h, w)."""

    name: str
    tap: TapId
    shape: tuple[int, ...]
    dtype: str

    @property
    def dims(self) -> int:
        return prod(self.shape)

    @property
    def row_bytes(self) -> int:
        return self.dims * np.dtype(self.dtype).itemsize

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "tap": json.loads(self.tap.to_json()),
            "shape": list(self.shape),
            "dtype": self.dtype,
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Return the column that `to_json` wrote."""
        tap = TapId.from_json(json.dumps(fields["tap"]))
        return cls(fields["name"], tap, tuple(fields["shape"]), fields["dtype"])


def distinct(codes: Sequence[Codes]) -> list[Codes]:
    """Leave out a layer that was asked for twice, by its depth and by its name for example."""
    return list({one.tap: one for one in codes}.values())


def columns_of(codes: Sequence[Codes]) -> tuple[Column, ...]:
    """Return a column a layer (none comes twice), called `codes` if alone, else as its layer.

    Raises:
        Mistake: a layer is called as the paths are.
    """
    alone = len(codes) == 1
    columns = tuple(
        Column(
            CODES if alone else one.tap.layer,
            one.tap,
            one.values.shape[1:],
            one.values.dtype.newbyteorder("<").str,
        )
        for one in codes
    )
    if PATHS in {column.name for column in columns}:
        raise Mistake(f"a layer is called {PATHS!r} as the files are: ask for it alone")
    return columns
