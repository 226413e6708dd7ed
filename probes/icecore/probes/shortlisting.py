"""Which of many layers are worth cross-validating: told cheaply, and never decided by.

Ridge regression on the classes' indicators, judged by leaving out one image at a time: in
closed form, from the rotation that fits are made of anyway. It ranks layers nearly as probes do,
at a tenth of their cost, but it is no probe: what it keeps, folds choose among.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.lapack import dpotri

from icecore.probes.cross_validation import OUTER_FOLDS, Folds
from icecore.probes.linear_probe import Array
from icecore.probes.preferring import Places
from icecore.probes.solving.directions import Directions

KEPT: Final = 6
"""Layers a shortlist has."""

SHORTEST: Final = 10
"""So many layers or fewer are all judged."""

FEWEST_IMAGES: Final = 500
"""With fewer images judging takes less than a second a layer."""

MOST_IMAGES: Final = 1_000
"""More are thinned: the cost grows with their cube."""

FEWEST_OF_A_CLASS: Final = 5
"""Images of a class that thinning leaves: one by itself has nothing to be recognised by."""

PENALTIES: Final = (0.01, 0.1, 1.0)
"""In squared lengths of an image's features; each fold takes the best."""

SMALLEST: Final = 1e-12
"""Of that length: a dead layer's are zero."""


@dataclass(frozen=True, slots=True)
class Shortlists:
    """Layers worth judging: by each outer fold's training part alone, and by all images."""

    of_folds: tuple[tuple[str, ...], ...]
    of_all: tuple[str, ...]

    @property
    def union(self) -> frozenset[str]:
        return frozenset(self.of_all).union(*self.of_folds)


@dataclass(frozen=True, slots=True, eq=False)
class Guess:
    """Leave-one-out answers of ridge regression at one layer. `accuracy` is of all it looked at.

    `in_folds` (outer folds, n) bool are made and judged without the fold's own images, where it is
    False; `on_all` is (n,) bool.
    """

    in_folds: np.ndarray
    on_all: np.ndarray
    width: int = 0
    accuracy: float = 1.0


def guess(features: Directions, y: np.ndarray, k: int, folds: Folds, *, width: int = 0) -> Guess:
    """Return what ridge regression says at one layer.

    Args:
        features: rotated, of all n images.
        y: (n,) int, 0..k-1.
        width: of the codes, to be kept with the answers.

    Source: the identity for leaving out a set U of rows, residuals (I - H_UU)⁻¹ e_U
    (Cook and Weisberg, "Residuals and influence in regression", 1982), taken twice: for
    the fold, then for each image.
    """
    n = len(y)
    rows = thinned(y)
    Z = features.Z[rows, :-1]
    Z = Z - Z.mean(axis=0)
    products = Z @ Z.T
    outer, labels = folds.outer[rows], y[rows]
    targets = np.equal.outer(labels, np.arange(k)).astype(np.float64)
    found = [_answers(products, share, targets, outer) for share in PENALTIES]
    in_folds, on_all = np.zeros((OUTER_FOLDS, n), np.bool_), np.zeros(n, np.bool_)
    for fold in range(OUTER_FOLDS):
        best = max(found, key=lambda each: int((each[0][fold] == labels)[outer != fold].sum()))
        in_folds[fold, rows] = (best[0][fold] == labels) & (outer != fold)
    best = max(found, key=lambda each: int((each[1] == labels).sum()))
    on_all[rows] = best[1] == labels
    return Guess(in_folds, on_all, width, float(on_all[rows].mean()))


def shortlists(
    guesses: Mapping[str, Guess], positions: Mapping[str, float | None] | None, *, kept: int = KEPT
) -> Shortlists:
    """Return the layers whose guesses, averaged with their neighbours', are right most often.

    In the order of `guesses`; of equals the earlier is kept. `positions` as in `choose`.
    """
    keys = list(guesses)
    places = None
    if positions is not None:
        places = Places.of([positions[key] for key in keys], [guesses[key].width for key in keys])

    def best(answers: Sequence[np.ndarray]) -> tuple[str, ...]:
        means = np.stack(answers).mean(axis=1, keepdims=True)
        if places is not None:
            means = places.smoothed(means)
        found = np.argsort(-np.round(means[:, 0], 12), kind="stable")[:kept]
        return tuple(keys[place] for place in sorted(found))

    return Shortlists(
        tuple(best([guesses[key].in_folds[fold] for key in keys]) for fold in range(OUTER_FOLDS)),
        best([guesses[key].on_all for key in keys]),
    )


def thinned(y: np.ndarray) -> np.ndarray:
    """Return at most `MOST_IMAGES` rows, ascending: of each class alike, and where that would
    leave fewer than `FEWEST_OF_A_CLASS`, of fewer classes."""
    if len(y) <= MOST_IMAGES:
        return np.arange(len(y))
    classes = np.unique(y)
    most = MOST_IMAGES // FEWEST_OF_A_CLASS
    if len(classes) > most:
        classes = classes[np.linspace(0, len(classes) - 1, most).astype(np.int64)]
    each = MOST_IMAGES // len(classes)
    kept = []
    for label in classes:
        members = np.flatnonzero(y == label)
        places = np.linspace(0, len(members) - 1, min(each, len(members))).astype(np.int64)
        kept.append(members[places])
    return np.sort(np.concatenate(kept))


def _answers(
    products: Array, share: float, targets: Array, outer: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return classes by leaving out each image: without each fold, and without none.

    `products` (n, n) are inner products of centred features.
    """
    n = len(products)
    penalty = share * max(float(np.trace(products)) / n, SMALLEST)
    system = products + penalty * np.eye(n)
    factor, _ = cho_factor(system, lower=True, overwrite_a=True, check_finite=False)
    inverse, _ = dpotri(factor, lower=1, overwrite_c=1)
    hats = -penalty * (np.tril(inverse) + np.tril(inverse, -1).T)
    hats.flat[:: n + 1] += 1.0
    hats += 1.0 / n  # the intercept, which is free
    left = targets - hats @ targets
    leverage = np.diagonal(hats)
    in_folds = []
    for fold in range(OUTER_FOLDS):
        held = np.flatnonzero(outer == fold)
        system = np.eye(len(held)) - hats[np.ix_(held, held)]
        system.flat[:: len(system) + 1] += 1e-6  # an image that decides its own answer
        factor = cho_factor(system, lower=True, overwrite_a=True, check_finite=False)
        gone = cho_solve(factor, np.hstack([left[held], hats[held]]), check_finite=False)
        k = targets.shape[1]
        without = left + hats[:, held] @ gone[:, :k]
        more = np.einsum("iu,ui->i", hats[:, held], gone[:, k:])
        in_folds.append(_left_out(targets, without, leverage + more))
    return in_folds, _left_out(targets, left, leverage)


def _left_out(targets: Array, left: Array, leverage: Array) -> np.ndarray:
    own = np.maximum(1.0 - leverage, 1e-6)[:, None]
    answers: np.ndarray = (targets - left / own).argmax(axis=1)
    return answers
