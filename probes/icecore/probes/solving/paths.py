"""Fits of several training sets over the same images, from one C to the next.

The sets (folds, say) are weights over the images, zero where one is held out; they are solved
side by side, and each C starts from the one before.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from icecore.probes.linear_probe import Array, ProbeKind
from icecore.probes.solving.features import Features
from icecore.probes.solving.losses import columns_of, loss_of
from icecore.probes.solving.newton import Batch
from icecore.probes.solving.solution import Solution
from icecore.probes.solving.tiles import widest


@dataclass(frozen=True, slots=True, eq=False)
class Reached:
    """What the fits of one C reached.

    `weights` (sets, m, r) have the bias last; `scores` (sets, m, n) are of all images, held
    out ones too; `objectives` and `gaps` are (sets,), a set's over all its classes. `steps` is
    the most Newton steps a problem took.
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
    _found: list[Solution | None] = field(init=False)

    def __post_init__(self) -> None:
        self.kind = ProbeKind(self.kind)  # an equal text is not the same object
        self._batches = [
            Batch(
                self.features,
                loss_of(self.kind, self.y, self.k, self.weights, self.class_weights, columns),
                set_size=columns.stop - columns.start if self.kind is ProbeKind.SVM else 1,
            )
            for columns in self._pieces()
        ]
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
        found = []
        for place, batch in enumerate(self._batches):
            start = self._found[place]
            solution = batch.solve(C, tol=tol, weights_tol=weights_tol, start=start)
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
            max(each.steps for each in found),
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
