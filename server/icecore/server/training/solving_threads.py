"""How many threads a training's fits use at once."""

from collections.abc import Sequence
from typing import Final

from icecore.server.cores import usable_cores

LARGE: Final = 5e7
"""Images x width x classes of a layer, from which on its folds keep more than a core busy. Of
smaller ones threads wait for each other: 1,000 images of 320 values and 10 classes took two
as long as one, and a third more of the processor."""

MOST: Final = 8
"""Each has memory of its own, up to 1.2 GB."""


def threads_for(
    shapes: Sequence[tuple[int, int]], n_classes: int, *, is_joined: bool = False
) -> int:
    """Return how many fits may go on at once over layers of `shapes` (n, d); at least 1.

    Joined, all of them are one.
    """
    sizes = [n * d for n, d in shapes]
    largest = (sum(sizes) if is_joined else max(sizes)) * n_classes
    return min(usable_cores(), MOST) if largest >= LARGE else 1
