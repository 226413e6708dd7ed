"""Fits of several training sets over the same images, from one C to the next.

The sets (folds, say) are weights over the images, zero where one is held out; they are solved
side by side, and each C starts from the one before.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from icecore.probes.linear_probe import Array, ProbeKind
from icecore.probes.solving.features import Features
from icecore.probes.solving.losses import columns_of, loss_of
from icecore.probes.solving.newton import Batch
from icecore.probes.solving.solution import Solution

WIDTH: Final = 128
"""Columns solved side by side: products of matrices are at their fastest from about 100 on, and
beyond that more sets only take more memory."""


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
    a softmax on all images, and in one-vs-rest problems on those of the one alone.
    """

    features: Features
    y: np.ndarray
    k: int
    kind: ProbeKind
    weights: Array
    class_weights: Array | None = None
    _batches: list[Batch] = field(init=False)
    _found: list[Solution | None] = field(init=False)

    def __post_init__(self) -> None:
        self.kind = ProbeKind(self.kind)  # an equal text is not the same object
        self._batches = [
            Batch(
                self.features,
                loss_of(self.kind, self.y, self.k, self.weights, self.class_weights, classes),
                set_size=classes.stop - classes.start if self.kind is ProbeKind.SVM else 1,
            )
            for classes in self._pieces()
        ]
        self._found = [None] * len(self._batches)

    def start_at(self, C: float, weights: Array) -> None:
        """Let the next fits, for this C, start at `weights` (sets, m, r), the bias last."""
        for place, classes in enumerate(self._pieces()):
            self._found[place] = self._batches[place].started_at(
                C, weights[:, classes].reshape(-1, self.features.r)
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
        m = columns_of(self.k)
        width = m if self.kind is ProbeKind.SOFTMAX else max(1, WIDTH // len(self.weights))
        for first in range(0, m, width):
            yield slice(first, min(first + width, m))


def sets_at_once(k: int, n_sets: int) -> Iterator[slice]:
    """Yield which of several sets are solved side by side, each with all its classes."""
    width = max(1, WIDTH // columns_of(k))
    for first in range(0, n_sets, width):
        yield slice(first, min(first + width, n_sets))
