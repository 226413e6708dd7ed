"""Codes and labels in, weights on raw codes out: the fit of one probe for one C."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from icecore.probes.errors import InputInvalid
from icecore.probes.linear_probe import Array, CodeArray, ProbeKind
from icecore.probes.solving.material import Material, folded, material_for_one_fit
from icecore.probes.solving.paths import Paths
from icecore.probes.solving.standardising import Standardisation
from icecore.probes.solving.tiles import tiles
from icecore.probes.solving.weighting import ALIKE, Weighting, check_strength

TOLERANCE: Final = 1e-11
"""Relative gap of a fit that is kept; storing its weights as float32 costs less."""

WEIGHTS_TOLERANCE: Final = 1e-5
"""Their distance from the best ones, in lengths. The objective is flat at its minimum: to a
gap of 1e-8 alone, scores differed from scikit-learn's converged ones by 0.1 %."""


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A fitted linear classifier; `weights` and `bias` as in `LinearProbe`, on raw codes.

    `objective` is scikit-learn's, on standardised codes: C times the summed loss plus
    half the squared norm of the weights. `gap` bounds its relative distance to the
    optimum from above.
    """

    weights: npt.NDArray[np.float32]
    bias: Array
    C: float
    objective: float
    gap: float
    steps: int
    standardisation: Standardisation


def fit(
    codes: CodeArray | Material,
    y: np.ndarray,
    k: int,
    *,
    kind: ProbeKind,
    C: float,
    weighting: Weighting = ALIKE,
) -> Fit:
    """Return the probe of one kind and C on standardised codes.

    softmax: LogisticRegression(C=C), multinomial, for two classes logistic; the
    intercept is free. svm: LinearSVC(C=C, loss="squared_hinge", intercept_scaling=1),
    one-vs-rest; the intercept is penalised like a weight, as there. For an SVM of more
    than two classes the objective is the sum over classes.

    Args:
        codes: (n, d) float, finite, raw; or the material that was made of them.
        y: (n,) int, each of 0..k-1 present.

    Raises:
        InputInvalid: a class whose images all weigh nothing, or weights too large for C.
    """
    weights = weighting.of_sets(y, k, [np.arange(len(y))])
    weightless = np.flatnonzero(np.bincount(y, weights[0][0], minlength=k) == 0.0)
    if len(weightless):
        raise InputInvalid(
            f"class {int(weightless[0])} of {k} has no image of a weight above 0 to learn from"
        )
    check_strength(C, *weights)
    with threadpool_limits(1, user_api="blas"):
        material = material_for_one_fit(codes) if isinstance(codes, np.ndarray) else codes
        objective = left = 0.0
        steps, parts = 0, []
        for tile in tiles(kind, k, 1, len(y)):
            paths = Paths(material.features, y, k, kind, *weights, tile.columns)
            reached = paths.reach(C, tol=TOLERANCE, weights_tol=WEIGHTS_TOLERANCE)
            parts.append(reached.weights[0])
            objective += float(reached.objectives[0])
            left += float(reached.gaps[0] * reached.objectives[0])
            steps = max(steps, reached.steps)
        found, bias = folded(material, np.concatenate(parts))
    gap = left / objective if objective > 0.0 else 0.0
    return Fit(found, bias, C, objective, gap, steps, material.standardisation)
