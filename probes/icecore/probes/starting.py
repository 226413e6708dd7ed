"""A fit that starts at an earlier probe's weights, of the same classes or others."""

from functools import partial
from typing import Final

import numpy as np

from icecore.probes.fitting import TOLERANCE, WEIGHTS_TOLERANCE, Fit
from icecore.probes.linear_probe import Array, LinearProbe, ProbeKind
from icecore.probes.solving.material import folded
from icecore.probes.solving.paths import RUNGS, Paths
from icecore.probes.solving.plain import Plain
from icecore.probes.solving.row_blocks import RowBlocks
from icecore.probes.solving.standardising import Standardisation
from icecore.probes.solving.weighting import ALIKE

SHOWN: Final = 1e-6
"""The gap that every fit is to show at most; one that ends further off than this began badly."""


def fit_from(
    base: LinearProbe,
    material: Plain | RowBlocks,
    y: np.ndarray,
    classes: tuple[str, ...],
    *,
    C: float,
) -> Fit:
    """Return what `fitting.fit` returns, found from the weights of `base`.

    Or from nothing, where these are no help: a new class has none, which only a small C makes
    up for in a few steps.

    Args:
        material: of codes preprocessed as `base` says.
        y: (n,) int, each of `classes` present.
    """
    k = len(classes)
    from_nothing = partial(
        Paths, material.features, y, k, base.kind, *ALIKE.of_sets(y, k, [np.arange(len(y))])
    )
    paths = from_nothing()
    is_far = bool(RUNGS[base.kind].below(C, len(y), 0.0)) and not set(classes) <= set(base.classes)
    if not is_far:
        weights, bias = started(base, classes, material.standardisation)
        paths.start_at(C, np.column_stack([_coefficients(material, weights), bias])[None])
    reached = paths.reach(C, tol=TOLERANCE, weights_tol=WEIGHTS_TOLERANCE)
    if reached.gaps[0] > SHOWN and not is_far:
        reached = from_nothing().reach(C, tol=TOLERANCE, weights_tol=WEIGHTS_TOLERANCE)
    found, found_bias = folded(material, reached.weights[0])
    return Fit(
        found,
        found_bias,
        C,
        float(reached.objectives[0]),
        float(reached.gaps[0]),
        reached.steps,
        material.standardisation,
    )


def started(
    base: LinearProbe, classes: tuple[str, ...], standardisation: Standardisation
) -> tuple[Array, Array]:
    """Return the weights of `base` for other classes, over standardised codes.

    Returns:
        (m, d) and (m,) float64, with a single row for two classes, as in `LinearProbe`.
    """
    weights, bias = base.weights.astype(np.float64), base.bias
    if len(base.classes) == 2:
        share = 1.0 if base.kind is ProbeKind.SVM else 0.5
        weights, bias = share * np.vstack([-weights, weights]), share * np.append(-bias, bias)
    row_of = {name: row for row, name in enumerate(base.classes)}
    of_all, bias_of_all = np.zeros((len(classes), base.d)), np.zeros(len(classes))
    for row, name in enumerate(classes):
        if name in row_of:
            of_all[row], bias_of_all[row] = weights[row_of[name]], bias[row_of[name]]
    if len(classes) == 2:
        share = 0.5 if base.kind is ProbeKind.SVM else 1.0
        of_all = share * (of_all[1:] - of_all[:1])
        bias_of_all = share * (bias_of_all[1:] - bias_of_all[:1])
    return of_all * standardisation.scale, bias_of_all + of_all @ standardisation.mean


def _coefficients(material: Plain | RowBlocks, weights: Array) -> Array:
    return material.coefficients(weights) if isinstance(material, Plain) else weights
