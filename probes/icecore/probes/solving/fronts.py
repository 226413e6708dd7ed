"""Where problems that are solved side by side are on their way, and what is known of each."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from icecore.probes.linear_probe import Array
from icecore.probes.solving.losses import Loss, LossAt


class Way(IntEnum):
    """How a problem's steps are made: another is tried where the one before did not do."""

    ITERATED = 0
    ITERATED_DOUBLE = 1
    EXACT_SINGLE = 2
    EXACT_DOUBLE = 3


@dataclass(slots=True, eq=False)
class Front:
    """Problems still open: where each is, and what is known of it.

    `weights` (columns, r) and `scores` (columns, n) are where they are, `at` is the loss there;
    `lower` (problems,) bounds their optima, `gaps` is what they were short of these, `first`
    the gradient's norm at the start, 0 before that. `steps` is how many were made.
    """

    problems: np.ndarray
    loss: Loss
    weights: Array
    scores: Array
    at: LossAt
    lower: Array
    gaps: Array
    first: Array
    ways: np.ndarray
    steps: int = 0

    @classmethod
    def at_start(
        cls, loss: Loss, weights: Array, scores: Array, lower: Array, ways: np.ndarray
    ) -> "Front":
        n = loss.n_problems
        gaps, first = np.full(n, np.inf), np.zeros(n)
        at = loss.at(scores)
        return cls(np.arange(n), loss, weights, scores, at, lower, gaps, first, ways)

    @property
    def columns(self) -> np.ndarray:
        """Those of its problems among the columns of all."""
        group = self.loss.group
        of_each: np.ndarray = self.problems[:, None] * group + np.arange(group)
        return of_each.ravel()

    @property
    def is_exact(self) -> bool:
        """Whether exact steps are made, of all its problems: of `parts` all or none are."""
        return bool(self.ways[0] >= Way.EXACT_SINGLE)

    def only(self, keep: np.ndarray) -> "Front":
        """Return the front of some of the problems, `keep` (problems,) bool."""
        if keep.all():
            return self
        columns = np.repeat(keep, self.loss.group)
        loss, scores = self.loss.only(np.flatnonzero(keep)), self.scores[columns]
        return Front(
            self.problems[keep],
            loss,
            self.weights[columns],
            scores,
            loss.at(scores),
            self.lower[keep],
            self.gaps[keep],
            self.first[keep],
            self.ways[keep],
            self.steps,
        )

    def turned(self, which: np.ndarray) -> "Front":
        """Return the front of some of the problems, whose steps are exact from now on."""
        front = self.only(which)
        front.ways = np.full_like(front.ways, Way.EXACT_SINGLE)
        return front

    def parts(self, exact_at_once: int) -> Iterator["Front"]:
        """Yield fronts of problems whose steps are made alike, exact ones so many at once."""
        iterated = self.ways <= Way.ITERATED_DOUBLE
        if iterated.any():
            yield self.only(iterated)
        exact = np.flatnonzero(~iterated)
        for first in range(0, len(exact), exact_at_once):
            keep = np.zeros_like(iterated)
            keep[exact[first : first + exact_at_once]] = True
            yield self.only(keep)
