"""How much of some work is done, where its parts differ in size."""

from collections.abc import Callable, Mapping
from typing import Final

OnShare = Callable[[float], None]

PARTS: Final = 5
"""A piece of work is heard of in so many equal parts: outer folds."""


class Shares:
    """Reports shares of the work, from `begin` to `end`, by the size of its pieces."""

    def __init__(
        self, sizes: Mapping[str, float], begin: float, end: float, report: OnShare
    ) -> None:
        whole = sum(sizes.values()) * PARTS
        self._end = end
        self._share = {name: size / whole * (end - begin) for name, size in sizes.items()}
        self._done = begin
        self._report = report

    def add(self, name: str) -> None:
        """One more part of a piece is done."""
        self._done += self._share[name]
        self._report(min(self._done, self._end))
