"""What held-out accuracy would have been with fewer images: the points of a learning curve.

All points are judged on the same images, so that their differences are paired. What the curve
says of more images than there are is left to `sufficiency`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from icecore.probes.cross_validation import (
    CHOOSING_TOLERANCE,
    CHOOSING_WEIGHTS_TOLERANCE,
    OUTER_FOLDS,
    Folds,
)
from icecore.probes.folds import NEVER_HELD_OUT
from icecore.probes.linear_probe import Array, CodeArray, ProbeKind
from icecore.probes.shares import OnShare
from icecore.probes.solving.material import folded, material_of
from icecore.probes.solving.paths import Paths

SHARES: Final = (1 / 8, 1 / 4, 1 / 2)
"""Of today's images, beside the largest size that five folds can train on, four fifths."""

DRAWS: Final = (4, 3, 2, 1)
"""Training sets an outer fold, for each share and for its whole training part: small ones
differ more from each other, and cost less."""

REPEATS: Final = ((150, 3), (400, 2))
"""Up to so many images, so many partitions into folds; beyond, one."""

SMALLEST_CLASS: Final = 2
"""Images a class, on average, below which a training set tells nothing of the curve."""


@dataclass(frozen=True, slots=True, eq=False)
class LearningCurve:
    """Held-out predictions of probes trained on growing parts of `n` images.

    `sizes` (s,) float64 are images trained on, ascending, the last one about `.8 n`.
    `right` (s, h) float64 in 0..1 is the share of training sets of that size whose probe
    got the image right. `y` (h,) and `groups` (h,) int64 belong to the `h` images that
    were held out; `k` is the number of classes and `class_sizes` (k,) int64 count all `n`.
    """

    n: int
    k: int
    sizes: Array
    right: Array
    y: np.ndarray
    groups: np.ndarray
    class_sizes: np.ndarray


def learning_curve(
    codes: CodeArray,
    y: np.ndarray,
    k: int,
    groups: np.ndarray,
    *,
    kind: ProbeKind,
    Cs: Sequence[float],
    seed: int = 0,
    on_share: OnShare = lambda _: None,
) -> LearningCurve:
    """Return the curve at one layer. The same arguments give the same answer.

    An outer fold's training part is thinned, in each class alike and whole groups first,
    and the smaller of two training sets of one draw is part of the larger. C is chosen at
    each size by the predictions of the other four folds: the best C falls as images are added, and
    the C of the largest size left an eighth of the images up to 5 points below their best.

    Args:
        codes: (n, d) float, finite, raw.
        y: (n,) int, each of 0..k-1 present, in two groups or more.
        groups: (n,) int; images of one group are never on both sides of a fold.
        Cs: the grid, ascending.
        on_share: hears the share done, 0..1, after each training set.
    """
    n = len(y)
    fractions = _fractions(n, k)
    repeats = next((count for most, count in REPEATS if n <= most), 1)
    rng = np.random.default_rng(seed)
    right, times = np.zeros((len(fractions), n)), np.zeros(n)
    trained = np.zeros(len(fractions))
    whole = repeats * OUTER_FOLDS * sum(part * draws for part, draws in fractions)
    done = 0.0

    def fitted(part: float) -> None:
        nonlocal done
        done += part
        on_share(min(1.0, done / whole))

    with threadpool_limits(1, user_api="blas"):
        for _ in range(repeats):
            folds = Folds.of(y, groups, int(rng.integers(2**31)))
            hits, counts = _by_size(
                codes, y, k, groups, folds.outer, fractions, kind, Cs, rng, fitted
            )
            for j in range(len(fractions)):
                right[j] += _at_best(hits[j], folds.outer)
            trained += counts / repeats
            times += folds.outer != NEVER_HELD_OUT
    held = times > 0
    return LearningCurve(
        n,
        k,
        trained,
        right[:, held] / times[held],
        y[held],
        groups[held],
        np.bincount(y, minlength=k),
    )


def _fractions(n: int, k: int) -> list[tuple[float, int]]:
    """Return parts of a fold's training images, ascending, and draws of each."""
    parts = 1.0 - 1.0 / OUTER_FOLDS
    wanted = [(share / parts, draws) for share, draws in zip(SHARES, DRAWS, strict=False)]
    return [(part, draws) for part, draws in wanted if part * parts * n >= SMALLEST_CLASS * k] + [
        (1.0, DRAWS[-1])
    ]


def _by_size(
    codes: CodeArray,
    y: np.ndarray,
    k: int,
    groups: np.ndarray,
    outer: np.ndarray,
    fractions: list[tuple[float, int]],
    kind: ProbeKind,
    Cs: Sequence[float],
    rng: np.random.Generator,
    on_fit: Callable[[float], None],
) -> tuple[Array, Array]:
    """Return how often each image was right (sizes, Cs, n), and images trained on (sizes,)."""
    hits, counts = np.zeros((len(fractions), len(Cs), len(y))), np.zeros(len(fractions))
    for fold in range(OUTER_FOLDS):
        rows, held = np.flatnonzero(outer != fold), np.flatnonzero(outer == fold)
        for draw in range(max(draws for _, draws in fractions)):
            order = _order(y[rows], groups[rows], rng)
            for j, (part, draws) in enumerate(fractions):
                if draw < draws:
                    train = rows[order < part]
                    hits[j][:, held] += held_out_right(codes, y, k, train, held, kind, Cs) / draws
                    counts[j] += len(train) / (draws * OUTER_FOLDS)
                    on_fit(part)
    return hits, counts


def _order(y: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> Array:
    """Return each row's place in its class, 0 .. 1, groups drawn at random one after another."""
    _, compact = np.unique(groups, return_inverse=True)
    rank = rng.permutation(int(compact.max()) + 1)[compact]
    place = np.empty(len(y))
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        place[members[np.argsort(rank[members], kind="stable")]] = np.arange(len(members)) / len(
            members
        )
    return place


def held_out_right(
    codes: CodeArray,
    y: np.ndarray,
    k: int,
    train: np.ndarray,
    held: np.ndarray,
    kind: ProbeKind,
    Cs: Sequence[float],
) -> np.ndarray:
    """Return which held-out rows are right, (Cs, m) bool.

    Each training set has a standardisation of its own. With that of all images, which serves
    folds that train on most of them, units that seldom fire are no surprise to a small training
    set: on Omniglot an eighth of 400 images then came out 5 to 7 points better.
    """
    material = material_of(codes[train])
    paths = Paths(material.features, y[train], k, kind, np.ones((1, len(train))))
    judged = codes[held].astype(np.float64)
    right = np.empty((len(Cs), len(held)), np.bool_)
    for i, C in enumerate(Cs):
        found = paths.reach(C, tol=CHOOSING_TOLERANCE, weights_tol=CHOOSING_WEIGHTS_TOLERANCE)
        weights, bias = folded(material, found.weights[0])
        scores = judged @ weights.T + bias
        predicted = scores[:, 0] > 0.0 if k == 2 else scores.argmax(axis=1)
        right[i] = predicted == y[held]
    return right


def _at_best(hits: Array, outer: np.ndarray) -> Array:
    """Return (n,) of `hits` (Cs, n), each fold's at the C that the others prefer."""
    chosen = np.zeros(hits.shape[1])
    for fold in range(OUTER_FOLDS):
        held, others = outer == fold, (outer != fold) & (outer != NEVER_HELD_OUT)
        best = int(hits[:, others].sum(axis=1).argmax())
        chosen[held] = hits[best, held]
    return chosen
