"""What fits of several problems reached for one C."""

from dataclasses import dataclass

import numpy as np

from icecore.probes.linear_probe import Array
from icecore.probes.solving.fronts import Front, Way
from icecore.probes.solving.losses import Loss


@dataclass(slots=True, eq=False)
class Solution:
    """Where problems ended, and a bound on what is left.

    `weights` (columns, r) have the bias last; `scores` are (columns, n). `objectives`
    (problems,) are C * loss + |w|² / 2; their distances to the optima are at most `gaps` times
    themselves, up to the rounding of float64. `lower_bounds` are of the optima.
    """

    weights: Array
    scores: Array
    C: float
    objectives: Array
    gaps: Array
    lower_bounds: Array
    ways: np.ndarray
    """(problems,) of `Way`: how the last steps were made."""
    steps: int = 0

    @classmethod
    def begun(cls, front: Front, C: float) -> "Solution":
        """Return what is kept of the problems of `front`, which are all, as they go on."""
        weights, scores = front.weights.copy(), front.scores.copy()
        objectives, gaps = np.zeros((2, len(front.problems)))
        return cls(weights, scores, C, objectives, gaps, front.lower.copy(), front.ways.copy())

    def keep(self, front: Front, objectives: Array) -> None:
        """Keep where the problems of `front` are."""
        self.weights[front.columns], self.scores[front.columns] = front.weights, front.scores
        self.objectives[front.problems] = objectives
        self.gaps[front.problems] = front.gaps
        self.lower_bounds[front.problems] = front.lower
        self.ways[front.problems] = front.ways
        self.steps = max(self.steps, front.steps)


def start_of(loss: Loss, n: int, r: int, C: float, before: Solution | None) -> Front:
    """Return where to start for one C, and what bounds the optima from below already.

    Where another C ended, or without one at nothing, over `n` images of `r` features.
    """
    problems = loss.n_problems
    lower = np.zeros(problems)
    if before is None:
        columns = problems * loss.group
        ways = np.full(problems, Way.ITERATED, np.int8)
        return Front.at_start(loss, np.zeros((columns, r)), np.zeros((columns, n)), lower, ways)
    if before.C <= C:
        # The optimum grows with C: what bounded it for a smaller one still does.
        lower = before.lower_bounds
    return Front.at_start(loss, before.weights, before.scores, lower, before.ways.copy())
