"""How many fits are solved side by side: tiles of sets of images and of classes.

A tile's fits share products of matrices, and memory; tiles know nothing of each other, so that
threads may take one each. How they are cut depends on the problem alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from icecore.probes.linear_probe import ProbeKind
from icecore.probes.solving.losses import columns_of

WIDTH: Final = 128
"""Columns solved side by side: products of matrices are at their fastest from about 100 on, and
beyond that more only take more memory."""

LEAST_WIDTH: Final = 48
"""A product of so few columns takes an eighth longer for each; of 20, twice as long."""

TILES: Final = 8
"""That many or more where one does not do and none need be narrower: so threads end together."""

TILE_BYTES: Final = 1 << 30
"""Memory of a tile while it is solved, but for the factors of exact steps."""

BYTES_A_SCORE: Final = 96
"""Of a column and an image: what softmax keeps of scores, probabilities and slopes at once."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Which sets are solved side by side, and which of their weight vectors."""

    sets: slice
    columns: slice


def tiles(kind: ProbeKind, k: int, n_sets: int, n: int) -> Iterator[Tile]:
    """Yield the tiles of probes of `k` classes over `n` images, a set's one after another.

    The classes of a softmax, or two, are one problem, which no tile splits, whatever it takes.
    """
    m = columns_of(k)
    whole = m * n_sets
    width = min(widest(n), WIDTH if whole <= WIDTH else max(LEAST_WIDTH, whole // TILES))
    is_one = ProbeKind(kind) is ProbeKind.SOFTMAX
    part = m if is_one else -(-m // -(-m // width))
    for sets in _cut(n_sets, width // m):
        for columns in _cut(m, part):
            yield Tile(sets, columns)


def sets_at_once(k: int, n_sets: int, n: int) -> Iterator[slice]:
    """Yield which of several sets are solved side by side, each with all its classes."""
    return _cut(n_sets, widest(n) // columns_of(k))


def widest(n: int) -> int:
    """Return how many columns over `n` images a tile may have."""
    return max(1, min(WIDTH, TILE_BYTES // (BYTES_A_SCORE * n)))


def _cut(whole: int, step: int) -> Iterator[slice]:
    step = max(1, step)
    for first in range(0, whole, step):
        yield slice(first, min(first + step, whole))
