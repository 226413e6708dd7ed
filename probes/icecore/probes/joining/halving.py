"""Which layers add to the others: those whose weights are long where all are read together."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor
from scipy.linalg.lapack import dpotri

from icecore.probes.cross_validation import OUTER_FOLDS, Folds
from icecore.probes.linear_probe import Array
from icecore.probes.shortlisting import PENALTIES, SMALLEST, thinned
from icecore.probes.solving.standardising import Standardisation
from icecore.probes.training_data import TrainingData

FEWEST: Final = 4
"""Layers left at least. On twenty pairs of set and network, of 120 to 300 images each, all layers
were 4.6 points better than the best one by itself, half of them 4.7, a quarter 4.5, an
eighth 3.4 (ridge regression on the rest of the images, means of three splits)."""

Layers = tuple[str, ...]


def halvings(
    data: TrainingData, folds: Folds, standardisations: Mapping[str, Standardisation]
) -> tuple[tuple[tuple[Layers, ...], ...], tuple[Layers, ...]]:
    """Return sets of layers, from all on halved down to `FEWEST`: by each outer fold's training
    part, and by all images. Each set is in the order of `data.codes`.

    A layer's share in a linear function of all is the squared length of its weights, by ridge
    regression on the classes' indicators; the half with the larger ones stays, and is
    looked at anew. Images count alike here, also where fits weight them. Many are thinned.
    """
    rows = thinned(data.y)
    kernels = {}
    for key, codes in data.codes.items():
        X = standardisations[key].apply(codes[rows], slice(0, codes.shape[1]))
        kernels[key] = ((X @ X.T) / X.shape[1]).astype(np.float32)
    targets = np.equal.outer(data.y[rows], np.arange(len(data.classes))).astype(np.float64)
    outer = folds.outer[rows]
    by_fold = tuple(_halved(kernels, targets, outer != fold) for fold in range(OUTER_FOLDS))
    return by_fold, _halved(kernels, targets, np.ones(len(rows), np.bool_))


def _halved(
    kernels: Mapping[str, npt.NDArray[np.float32]], targets: Array, is_seen: np.ndarray
) -> tuple[Layers, ...]:
    seen = np.flatnonzero(is_seen)
    layers = tuple(kernels)
    found = [layers]
    while len(layers) > FEWEST:
        some = {key: kernels[key][np.ix_(seen, seen)] for key in layers}
        lengths = _lengths(some, targets[seen])
        n_kept = max((len(layers) + 1) // 2, FEWEST)
        kept = frozenset(sorted(layers, key=lambda key: -lengths[key])[:n_kept])
        layers = tuple(key for key in layers if key in kept)
        found.append(layers)
    return tuple(found)


def _lengths(kernels: Mapping[str, npt.NDArray[np.float32]], targets: Array) -> dict[str, float]:
    """Return the squared length of each layer's weights.

    With K = sum of X Xᵀ and dual coefficients A, a layer's weights are Xᵀ A.
    """
    n = len(targets)
    products = sum((each.astype(np.float64) for each in kernels.values()), np.zeros((n, n)))
    products -= products.mean(axis=0)
    products -= products.mean(axis=1, keepdims=True)
    centred = targets - targets.mean(axis=0)
    best, A = -1.0, centred
    for share in PENALTIES:
        penalty = share * max(float(np.trace(products)) / n, SMALLEST)
        factor, _ = cho_factor(products + penalty * np.eye(n), lower=True, check_finite=False)
        inverse, _ = dpotri(factor, lower=1, overwrite_c=1)
        inverse = np.tril(inverse) + np.tril(inverse, -1).T
        dual = inverse @ centred
        # Leaving one out; the intercept, which is free, takes its part.
        own = np.maximum(np.diagonal(inverse) - 1.0 / (n * penalty), 1e-6 / penalty)
        right = float(np.mean((targets - dual / own[:, None]).argmax(axis=1) == targets.argmax(1)))
        if right > best:
            best, A = right, dual
    return {key: float(np.sum(A * (each @ A))) for key, each in kernels.items()}
