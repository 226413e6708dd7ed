"""What each axis of a tensor is made of, and how reshapes regroup it.

An axis is a sequence of *parts*, slowest first. A reshape cuts and joins parts, so
that (n, 12 * 64) -> (n, 12, 64) -> (n, 64, 12) -> (n, 64 * 12) is still known to be
channels, and (n, c, h, w) -> (n, h * w, c) a grid of tokens.
"""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple, TypeAlias

from icecore.server.backbones.graphs.layouts import Layout
from icecore.server.backbones.graphs.shapes import BATCH


class Part(NamedTuple):
    """A digit of an index: `size` values, each `step` apart on an axis of `whole` values.

    `kind`: "n" batch, "c" channels, "h" rows, "w" columns, "t" tokens with others in
    front of the grid, "?" unknown.
    """

    kind: str
    size: int
    step: int
    whole: int


Axis: TypeAlias = tuple[Part, ...]
Axes: TypeAlias = tuple[Axis, ...]


def axis(kind: str, size: int) -> Axis:
    """Return a whole axis; one of a single value is made of nothing."""
    return () if size == 1 else (Part(kind, size, 1, size),)


def unknown(sizes: Sequence[int]) -> Axes:
    """Return axes of which nothing is known but whether images lie along them."""
    return tuple(axis("n" if size and size % BATCH == 0 else "?", size) for size in sizes)


def map_axes(sizes: Sequence[int]) -> Axes:
    """Return the axes of a map (n, c, h, w)."""
    return tuple(axis(kind, size) for kind, size in zip("nchw", sizes, strict=True))


def regroup(axes: Axes, sizes: Sequence[int]) -> Axes:
    """Return the axes after a reshape to `sizes`; unknown where parts do not fit them."""
    left = [part for one in axes for part in one][::-1]
    made: list[Axis] = []
    for size in sizes:
        taken: list[Part] = []
        while size > 1 and left:
            part = left.pop()
            if size % part.size == 0:
                taken.append(part)
                size //= part.size
            elif part.size % size == 0:
                rest = part.size // size
                taken.append(Part(part.kind, size, part.step * rest, part.whole))
                left.append(Part(part.kind, rest, part.step, part.whole))
                size = 1
            else:
                return unknown(sizes)
        if size != 1:
            return unknown(sizes)
        made.append(_joined(taken))
    return unknown(sizes) if left else tuple(made)


def has_places(one: Axis) -> bool:
    """Whether places in the image lie along an axis, or may."""
    return any(part.kind in "hwt?" for part in one)


def is_whole(one: Axis, kind: str) -> bool:
    """Whether an axis is all of rows, say, in their order, or has one value only."""
    return not one or (len(one) == 1 and one[0].kind == kind and one[0].size == one[0].whole)


def is_channels(one: Axis) -> bool:
    """Whether an axis has channels only, in whatever order."""
    return all(part.kind == "c" for part in one)


def layout_of(axes: Axes) -> Layout | None:
    """Return how a tensor's values lie; None for what codes cannot be read from."""
    if not axes or any(part.kind != "n" for part in axes[0]):
        return None
    match axes[1:]:
        case (c, h, w) if is_channels(c) and is_whole(h, "h") and is_whole(w, "w"):
            return Layout.MAP
        case (h, w, c) if is_channels(c) and is_whole(h, "h") and is_whole(w, "w"):
            return Layout.ROWS
        case (t, c) if c and is_channels(c) and is_grid(t):
            return Layout.TOKENS
        case (values,) if all(part.kind != "n" for part in values):
            return Layout.VECTOR
    return None


def is_grid(one: Axis) -> bool:
    """Whether an axis is a map row by row, tokens in front of it or not."""
    match one:
        case (Part("t") as t,):
            return t.size == t.whole
        case (Part("h") as h, Part("w") as w):
            return h.size == h.whole and w.size == w.whole
    return False


def n_values(one: Axis) -> int:
    """Return how many values lie along an axis."""
    return prod(part.size for part in one)


def _joined(parts: Sequence[Part]) -> Axis:
    """Neighbouring digits of one number become one."""
    made: list[Part] = []
    for part in parts:
        last = made[-1] if made else None
        if (
            last is not None
            and (last.kind, last.whole) == (part.kind, part.whole)
            and last.step == part.size * part.step
        ):
            made[-1] = Part(part.kind, last.size * part.size, part.step, part.whole)
        else:
            made.append(part)
    return tuple(made)
