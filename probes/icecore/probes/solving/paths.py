"""Fits of several training sets over the same images, from one C to the next.

The sets (folds, say) are weights over the images, zero where one is held out; they are solved
side by side, and each C starts from the one before.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Final

import numpy as np

from icecore.probes.linear_probe import Array, ProbeKind
from icecore.probes.solving.features import Features
from icecore.probes.solving.losses import columns_of, loss_of
from icecore.probes.solving.newton import Batch
from icecore.probes.solving.solution import Solution
from icecore.probes.solving.tiles import widest


@dataclass(frozen=True, slots=True)
class Rungs:
    """Smaller C, each `ratio` below the next, that a large C is reached over, to a gap of `tol`.

    The lowest times what the images count is `least` or more: there, weights of zero are near
    enough.
    """

    ratio: float
    least: float
    tol: float

    def below(self, C: float, count: float, known: float) -> list[float]:
        """Return those from low to high for images that count as so many.

        Where the C `known` is solved, those well above it. From afar Newton's method overshoots,
        and then gains ground by small steps.
        """
        found = []
        rung = C / self.ratio
        while rung * count >= self.least and rung > known * self.ratio**0.5:
            found.append(rung)
            rung /= self.ratio
        return found[::-1]


RUNGS: Final = {
    ProbeKind.SOFTMAX: Rungs(ratio=100.0, least=100.0, tol=0.1),
    ProbeKind.SVM: Rungs(ratio=10.0, least=10.0, tol=1e-6),
}
"""One SVM of 2,000 x 1280 x 20 from nothing at C = .1, 1 and 10: 1.4, 1.7 and 1.9 s of a
processor; straight away 2.4, 4.3 and 7.0. Of 900 x 420 x 100 at C = 100: a gap of 3e-11 in 1.3 s;
straight away .14 after a hundred steps. Its rungs are solved closely, as margins are hard at a
large C: of 900 x 2000 x 20 at C = 584 there were gaps of 7e-4, 4e-6 and 2e-11 after rungs to .01,
1e-4 and 1e-6. Softmax of 2,000 x 1280 x 20 at C = 10, 100 and 1000: 1.0, 1.3 and 1.8 s;
straight away 1.1, 1.7 and 2.5."""


@dataclass(frozen=True, slots=True, eq=False)
class Reached:
    """What the fits of one C reached.

    `weights` (sets, m, r) have the bias last; `scores` (sets, m, n) are of all images, held
    out ones too; `objectives` and `gaps` are (sets,), a set's over all its classes. `steps` is
    the most Newton steps a problem took, from the C before or from nothing, those to smaller C
    on the way among them.
    """

    weights: Array
    scores: Array
    objectives: Array
    gaps: Array
    steps: int


@dataclass(slots=True, eq=False)
class Paths:
    """Probes of one kind for each row of `weights` (sets, n), which says how images count.

    `class_weights` (sets, k) says how classes do; None: all alike. As in scikit-learn, it acts in
    a softmax on all images, and in one-vs-rest problems on those of the one alone. `columns` are
    those of its weight vectors that are wanted, as of a `Tile`; None: all.
    """

    features: Features
    y: np.ndarray
    k: int
    kind: ProbeKind
    weights: Array
    class_weights: Array | None = None
    columns: slice | None = None
    _batches: list[Batch] = field(init=False)
    _counts: list[float] = field(init=False)
    _found: list[Solution | None] = field(init=False)

    def __post_init__(self) -> None:
        self.kind = ProbeKind(self.kind)  # an equal text is not the same object
        self._batches, self._counts = [], []
        for columns in self._pieces():
            loss = loss_of(self.kind, self.y, self.k, self.weights, self.class_weights, columns)
            set_size = columns.stop - columns.start if self.kind is ProbeKind.SVM else 1
            self._batches.append(Batch(self.features, loss, set_size=set_size))
            self._counts.append(float(loss.weights.sum(axis=1).max()))
        self._found = [None] * len(self._batches)

    def start_at(self, C: float, weights: Array) -> None:
        """Let the next fits, for this C, start at `weights` (sets, m, r), the bias last.

        `m` is of all columns, also where only some are wanted.
        """
        for place, columns in enumerate(self._pieces()):
            self._found[place] = self._batches[place].started_at(
                C, weights[:, columns].reshape(-1, self.features.r)
            )

    def reach(self, C: float, *, tol: float, weights_tol: float) -> Reached:
        """Fit all sets for one C, best a little larger than the one before.

        `tol` and `weights_tol` as in `Batch.solve`.
        """
        found, steps = [], 0
        rungs = RUNGS[self.kind]
        for place, batch in enumerate(self._batches):
            solution = self._found[place]
            known, taken = (0.0 if solution is None else solution.C), 0
            for rung in rungs.below(C, self._counts[place], known):
                solution = batch.solve(rung, tol=rungs.tol, weights_tol=inf, start=solution)
                taken += solution.steps
            solution = batch.solve(C, tol=tol, weights_tol=weights_tol, start=solution)
            steps = max(steps, taken + solution.steps)
            self._found[place] = solution
            found.append(solution)
        sets = len(self.weights)

        def joined(parts: list[Array], *shape: int) -> Array:
            return np.concatenate([part.reshape(sets, -1, *shape) for part in parts], axis=1)

        objectives = joined([each.objectives for each in found])
        whole = objectives.sum(axis=1)
        left = (joined([each.gaps for each in found]) * objectives).sum(axis=1)
        return Reached(
            joined([each.weights for each in found], self.features.r),
            joined([each.scores for each in found], self.features.n),
            whole,
            np.divide(left, whole, out=np.zeros(sets), where=whole > 0.0),
            steps,
        )

    def _pieces(self) -> Iterator[slice]:
        """Yield which classes are solved side by side: all, but for an SVM of very many."""
        columns = slice(0, columns_of(self.k)) if self.columns is None else self.columns
        first, stop = columns.start, columns.stop
        width = widest(self.features.n) // len(self.weights)
        if self.kind is ProbeKind.SOFTMAX:
            width = stop - first
        for start in range(first, stop, max(1, width)):
            yield slice(start, min(start + max(1, width), stop))
