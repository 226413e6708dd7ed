"""Some of many images, spread evenly, the same ones each time."""

import math
from collections.abc import Sequence
from typing import TypeVar

from icecore.cli.folders import LabelledFile, classes_of

T = TypeVar("T")


def evenly(things: Sequence[T], n: int) -> list[T]:
    """Return `n` of the things, spread over them in order; all if there are fewer."""
    if len(things) <= n:
        return list(things)
    return [things[math.floor((place + 0.5) * len(things) / n)] for place in range(n)]


def spread(files: Sequence[LabelledFile], n: int) -> list[LabelledFile]:
    """Return about `n` of the files, as many of each class as can be, two at least."""
    counts = classes_of(files)
    share = max(2, n // max(1, len(counts)))
    return [
        file
        for label in counts
        for file in evenly([one for one in files if one.label == label], share)
    ]
