"""The value Codes: numbers, and the identity of the tap they came from.

One type for both ends. It holds an array and checks it once; it neither
computes codes nor knows protobuf.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from icecore.wire.taps import PoolingKind, TapId

CodeArray: TypeAlias = npt.NDArray[np.float16] | npt.NDArray[np.float32]

_DTYPES = (np.dtype(np.float32), np.dtype(np.float16))


@dataclass(frozen=True, slots=True, eq=False)
class Codes:
    """Codes of `n` images at one tap.

    `values` is (n, d), or (n, c, h, w) where the tap has pooling "none";
    float32 or float16, C-contiguous, finite and read-only. It is a view of the
    array given, not a copy: whoever made that array leaves it alone afterwards.

    Raises:
        ValueError: another dtype, shape or layout, or a value that is not finite.
    """

    values: CodeArray
    tap: TapId

    def __post_init__(self) -> None:
        values = self.values
        if not isinstance(values, np.ndarray):
            raise ValueError(f"codes are a {type(values).__name__!r}, but must be a numpy array")
        if values.dtype not in _DTYPES:
            raise ValueError(f"codes are {values.dtype.name!r}, but must be float32 or float16")
        whole_map = self.tap.pooling.kind is PoolingKind.NONE
        if values.ndim != (4 if whole_map else 2) or 0 in values.shape[1:]:
            shape = "(n, c, h, w)" if whole_map else "(n, d)"
            raise ValueError(
                f"codes have shape {values.shape!r}, but those of tap '{self.tap}' have {shape}"
            )
        if not values.flags.c_contiguous:
            raise ValueError("codes are not C-contiguous; numpy.ascontiguousarray makes them so")
        finite = np.isfinite(values)
        if not finite.all():
            row = int(np.argwhere(~finite)[0][0])
            raise ValueError(f"codes of image {row} hold a value that is not finite")
        view = values.view()
        view.flags.writeable = False
        object.__setattr__(self, "values", view)

    def __len__(self) -> int:
        """Return `n`, the number of images."""
        return int(self.values.shape[0])

    def __eq__(self, other: object) -> bool:
        """Return whether tap, dtype and all values are the same."""
        return (
            isinstance(other, Codes)
            and self.tap == other.tap
            and self.values.dtype == other.values.dtype
            and np.array_equal(self.values, other.values)
        )

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, rows: slice) -> Self:
        """Return the codes of some images, sharing memory where numpy does."""
        values = cast(CodeArray, np.ascontiguousarray(self.values[rows]))
        return type(self)(values, self.tap)

    def __iter__(self) -> Iterator[CodeArray]:
        """Yield one image's values after another, (d,) or (c, h, w)."""
        return iter(self.values)

    @property
    def dims(self) -> int:
        """Values an image: d, or c * h * w."""
        return int(np.prod(self.values.shape[1:]))

    def require(self, tap: TapId) -> Self:
        """Return these codes if they came from `tap`.

        Raises:
            TapsDiffer: they came from another; the sentence names both.
        """
        if self.tap != tap:
            raise TapsDiffer(self.tap, tap)
        return self

    @classmethod
    def concatenate(cls, parts: Sequence["Codes"]) -> Self:
        """Return the images of all parts, in order, as one value.

        Raises:
            ValueError: no parts, or parts of different dtype or shape.
            TapsDiffer: parts of different taps; the sentence names both.
        """
        if not parts:
            raise ValueError("there are no codes to concatenate")
        first = parts[0]
        for part in parts:
            part.require(first.tap)
            if part.values.dtype != first.values.dtype:
                raise ValueError(
                    f"codes of {first.values.dtype.name!r} and {part.values.dtype.name!r} "
                    "do not concatenate; convert one of them"
                )
            if part.values.shape[1:] != first.values.shape[1:]:
                raise ValueError(
                    f"codes of shapes {first.values.shape!r} and {part.values.shape!r} "
                    "do not concatenate"
                )
        values: CodeArray = np.concatenate([part.values for part in parts])
        return cls(values, first.tap)


class TapsDiffer(ValueError):
    """Codes of one tap were given where those of another belong."""

    def __init__(self, given: TapId, wanted: TapId) -> None:
        super().__init__(
            f"codes of tap {_identity(given, wanted)} are not codes of tap "
            f"{_identity(wanted, given)}"
        )
        self.given = given
        self.wanted = wanted


def _identity(tap: TapId, other: TapId) -> str:
    """The label, with the whole digest where the labels alone look the same."""
    return f"'{tap}'" if str(tap) != str(other) else f"'{tap}' (digest {tap.digest})"
