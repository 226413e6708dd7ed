"""How much of some work is done, where its parts differ in size."""

from collections.abc import Callable, Mapping

from icecore.probes.cross_validation import OUTER_FOLDS
from icecore.probes.linear_probe import CodeArray

OnShare = Callable[[float], None]


def work(codes: CodeArray) -> float:
    """Return what judging codes takes, beside others of as many images and classes."""
    return float(codes.size * min(codes.shape))


class Shares:
    """Reports shares of the work, from `begin` to `end`, by the size of its pieces.

    Of each piece the outer folds are equal parts.
    """

    def __init__(
        self, sizes: Mapping[str, float], begin: float, end: float, report: OnShare
    ) -> None:
        whole = sum(sizes.values()) * OUTER_FOLDS
        self._end = end
        self._share = {name: size / whole * (end - begin) for name, size in sizes.items()}
        self._done = begin
        self._report = report

    def add(self, name: str) -> None:
        """One more fold of a piece is done."""
        self._done += self._share[name]
        self._report(min(self._done, self._end))
