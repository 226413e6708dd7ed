"""The losses a probe is fitted with, as functions of the scores.

They take scores (columns, n), one row a weight vector, and never see codes. Columns belong to
problems that are solved side by side: a fold's softmax is one problem of k columns, a
fold's one-vs-rest SVM is k problems of one. `weights` (problems, n) say how much an image counts
in each; 0: it is held out. Sums are over images and a problem's columns.
"""

from typing import Protocol

import numpy as np

from icecore.probes.linear_probe import Array, ProbeKind
from icecore.probes.solving.cross_entropy import Logistic, Softmax
from icecore.probes.solving.floats import Floats
from icecore.probes.solving.squared_hinge import SquaredHinge


class LossAt(Protocol):
    """A loss at given scores, with what its derivatives there have in common."""

    @property
    def values(self) -> Array:
        """The loss of each problem, (problems,)."""

    @property
    def slope(self) -> Array:
        """The derivative by each score, (columns, n)."""

    @property
    def curvature(self) -> Floats:
        """The second derivative by each score alone, (columns, n) float32, never negative."""

    def bend(self, steps: Floats) -> Floats:
        """Return the second derivatives applied to `steps` (columns, n), in their dtype."""

    @property
    def dual_slope(self) -> Array:
        """`slope`, moved where a free bias asks that its sums over images are zero."""

    def lower_bounds(self, C: float, half_norms: Array) -> Array:
        """Return a lower bound of min C * loss + |w|² / 2 for each problem, (problems,).

        `half_norms` (problems,) are |C dual_slope Z|² / 2. Source: Fenchel duality
        (Boyd and Vandenberghe, "Convex optimization", 2004, ch. 5).
        """


class Loss(Protocol):
    """A convex loss of several problems, against the targets it holds."""

    @property
    def n_problems(self) -> int: ...

    @property
    def group(self) -> int:
        """Columns of scores a problem has."""

    @property
    def is_bias_penalised(self) -> bool: ...

    @property
    def furthest(self) -> float:
        """By how much a step may change a score that counts; beyond, curvature tells nothing."""

    @property
    def weights(self) -> Array:
        """(problems, n), how much each image counts."""

    def at(self, scores: Array) -> LossAt: ...

    def only(self, problems: np.ndarray) -> "Loss":
        """Return the loss of some of the problems."""


def columns_of(k: int) -> int:
    """Return how many weight vectors a probe of `k` classes has."""
    return 1 if k == 2 else k


def loss_of(
    kind: ProbeKind,
    y: np.ndarray,
    k: int,
    weights: Array,
    class_weights: Array | None = None,
    classes: slice = slice(None),
) -> Loss:
    """Return the loss of probes of one kind, one for each row of `weights` (sets, n).

    Args:
        y: (n,) int, 0..k-1.
        weights: not negative; a set's zeros are not learnt from.
        class_weights: (sets, k), above 0. In an SVM of more than two classes that of a
            class acts on its own images in its own problem, and not where they are among
            the rest: so LinearSVC has it, and one weight of all classes is not a larger C.
        classes: of an SVM of more than two: those whose problems are wanted.
    """
    each = np.ones((len(weights), k)) if class_weights is None else class_weights
    if kind is ProbeKind.SOFTMAX or k == 2:
        weights = weights * each[:, y]
    if ProbeKind(kind) is ProbeKind.SOFTMAX:
        return Logistic(y == 1, weights) if k == 2 else Softmax(y, k, weights)
    wanted = np.equal.outer([1] if k == 2 else np.arange(k)[classes], y)
    signs = np.where(wanted, 1.0, -1.0)
    sets, m = len(weights), len(signs)
    if k > 2 and class_weights is not None:
        own = np.where(wanted, class_weights[:, classes, None], 1.0)
        weights = (weights[:, None] * own).reshape(sets * m, -1)
    else:
        weights = np.repeat(weights, m, axis=0)
    return SquaredHinge(np.tile(signs, (sets, 1)), weights)
