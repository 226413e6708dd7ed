"""Which input pixels an output position sees, along one side of the image.

Source: Araujo, Norris & Sim, "Computing Receptive Fields of Convolutional Neural
Networks" (Distill, 2019), with first and last pixel instead of size and centre, so
that paths of unlike padding join exactly.
"""

from math import inf
from typing import NamedTuple


class Span(NamedTuple):
    """Position i sees the input pixels `first + i * step` to `last + i * step`."""

    first: float
    last: float
    step: float

    def window(self, *, kernel: int, stride: int = 1, dilation: int = 1, before: int = 0) -> "Span":
        """What a window over such positions sees; `before` are the positions padded in front."""
        first = self.first - before * self.step
        last = self.last + ((kernel - 1) * dilation - before) * self.step
        return Span(first, last, self.step * stride)

    def spread(self, *, kernel: int, stride: int, dilation: int = 1, before: int = 0) -> "Span":
        """What a transposed window sees at most; neighbours see unlike parts of it."""
        step = self.step / stride
        first = self.first - ((kernel - 1) * dilation - before) * step
        return Span(first, self.last + before * step, step)

    def moved(self, start: int, every: int = 1) -> "Span":
        """Every so many positions from `start` on."""
        way = start * self.step
        return Span(self.first + way, self.last + way, self.step * every)

    def union(self, other: "Span") -> "Span":
        """What either sees; the step is this one's."""
        return Span(min(self.first, other.first), max(self.last, other.last), self.step)

    def everywhere(self) -> "Span":
        """The whole side."""
        return Span(-inf, inf, self.step)

    def size(self, side: int) -> int:
        """How many pixels that is of a side."""
        return int(min(side, -(-(self.last - self.first + 1) // 1)))


PIXEL = Span(0, 0, 1)
