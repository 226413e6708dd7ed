"""What one recipe's codes and logits say of each photo, and paired tests between two recipes.

Nothing here knows of images or backbones.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from icecore.probes.linear_probe import ProbeKind
from icecore.server.training.recipe_check_classes import Matches

Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]

LEAST_PROBABILITY: Final = 1e-4
"""A photo that is wrong beyond this counts no more, so that a few cannot outvote the rest."""

_SEED, _C = 0, 1e-2
"""Of the probe's folds and of its regularisation: pinned, since only differences count."""


@dataclass(frozen=True, slots=True, eq=False)
class Learnable:
    """The photos whose label a probe can learn: `rows` (m,) and their classes `y` (m,).

    Labels of one photo are left out, and all of them where there are less than two others.
    """

    rows: npt.NDArray[np.int64]
    y: npt.NDArray[np.int64]

    @classmethod
    def of(cls, labels: Sequence[str]) -> Self:
        counts = Counter(label for label in labels if label)
        classes = sorted(label for label, count in counts.items() if count > 1)
        rows = [row for row, label in enumerate(labels) if label in classes]
        if len(classes) < 2:
            rows = []
        return cls(
            np.array(rows, np.int64),
            np.array([classes.index(labels[row]) for row in rows], np.int64),
        )

    @property
    def largest_share(self) -> float:
        """Share of the most frequent class: what is right by naming one label always."""
        return float(np.bincount(self.y).max() / len(self.y)) if len(self.y) else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Of n photos under one recipe, all (n,); None where it cannot be known.

    `right`: whether the network names the label's class first; False where the
    label is none of its classes (`known` says which are).
    `log_likelihood`: natural logarithm of the label's probability.
    `confidence`: probability of the class named first.
    `height`: how far its logit stands out of the others, in their standard
    deviations. Unlike confidence, this does not grow when inputs are merely larger.
    `agreed`: whether a probe on the last codes, trained without this photo's fold,
    gives the label; (m,), of those photos that a probe can learn from.
    """

    right: Bools | None = None
    known: Bools | None = None
    log_likelihood: Floats | None = None
    confidence: Floats | None = None
    height: Floats | None = None
    agreed: Bools | None = None


def score(
    codes: npt.NDArray[np.float32],
    logits: npt.NDArray[np.float32] | None,
    learnable: Learnable,
    matches: Matches | None,
) -> Scores:
    """Return the scores of n photos.

    Args:
        codes: (n, d).
        logits: (n, k), or logarithms of probabilities; None where the network has no classes.
        learnable: what of the labels a probe can learn.
        matches: of the labels with the network's classes.
    """
    y = learnable.y
    agreed = _held_out(codes[learnable.rows], y) if len(y) else None
    if logits is None:
        return Scores(agreed=agreed)
    values = logits.astype(np.float64)
    top = values.max(axis=1)
    shares = np.exp(values - top[:, None])
    shares /= shares.sum(axis=1, keepdims=True)
    deviation = np.maximum(values.std(axis=1), 1e-12)
    height = (top - values.mean(axis=1)) / deviation
    if matches is None:
        return Scores(confidence=shares.max(axis=1), height=height, agreed=agreed)
    rows = np.arange(len(values))
    likelihood = np.maximum((shares * matches.members).sum(axis=1), LEAST_PROBABILITY)
    return Scores(
        right=matches.members[rows, values.argmax(axis=1)],
        known=matches.known,
        log_likelihood=np.log(likelihood),
        confidence=shares.max(axis=1),
        height=height,
        agreed=agreed,
    )


def gain(new: Floats, old: Floats) -> tuple[float, float]:
    """Return the mean of new minus old, and the one-sided p that it is not above 0.

    Paired over photos, normal approximation of Student's t.
    """
    difference = new - old
    mean = float(difference.mean())
    error = float(difference.std(ddof=1)) / math.sqrt(len(difference))
    if error < 1e-12:
        return mean, 0.0 if mean > 1e-9 else 1.0
    return mean, NormalDist().cdf(-mean / error)


def more_often(new: Bools, old: Bools) -> float:
    """Return the one-sided p that `new` is not more often true than `old`: McNemar's exact test."""
    won, lost = int((new & ~old).sum()), int((old & ~new).sum())
    n = won + lost
    ways = sum(math.comb(n, i) for i in range(won, n + 1))
    return float(ways / 2**n)


def _held_out(codes: npt.NDArray[np.float32], y: npt.NDArray[np.int64]) -> Bools:
    # With it comes scipy, 0.2 s that no start of a server is to wait for.
    from icecore.probes.cross_validation import Folds, judge

    folds = Folds.of(y, np.arange(len(y)), _SEED)
    with threadpool_limits(1, user_api="blas"):
        judged = judge(
            codes,
            y,
            int(y.max()) + 1,
            folds,
            kind=ProbeKind.SOFTMAX,
            Cs=(_C,),
            on_fold=lambda: None,
        )
    right: Bools = judged.outer_right[0]
    return right
