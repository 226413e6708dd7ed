"""Newton steps: -H⁻¹ gradient for H = diag(penalty) + C Zᵀ D Z, by conjugate gradients.

Where a preconditioner has made H nearly the identity these take few iterations. Where it has
not, and there is another way (`exact_steps`), they end before they cost more than that.
"""

from typing import Any, Final

import numpy as np

from icecore.probes.linear_probe import Array
from icecore.probes.solving.exact_steps import ExactSteps
from icecore.probes.solving.features import Features, Preconditioner
from icecore.probes.solving.floats import Floats
from icecore.probes.solving.losses import LossAt
from icecore.probes.solving.sums import dots, ratio, spread

MAX_INNER: Final = 400
"""Conjugate-gradient iterations in one step."""

MIN_INNER: Final = 8


class Steps:
    """Steps for one set of features.

    Source: preconditioned conjugate gradients as in Hsia, Chiang and Lin,
    "Preconditioned conjugate gradient methods in truncated Newton frameworks for
    large-scale linear classification", 2018.
    """

    def __init__(self, features: Features, penalty: Array, *, is_separable: bool) -> None:
        self._features = features
        self._penalty = penalty
        rows = features.exact() if is_separable and penalty.all() else None
        self._exact = None if rows is None else ExactSteps(features, rows)

    def iterated(
        self,
        C: float,
        at: LossAt,
        gradient: Array,
        invert: Preconditioner,
        *,
        forcing: Array,
        group: int,
        dtype: np.dtype[Any],
    ) -> tuple[Array, np.ndarray]:
        """Return a step (columns, r), and which problems it solves as well as `forcing` asks.

        `forcing` (problems,) is the share of the gradient's norm, by `invert`, that may stay.
        Iterations end where those of the problems left would cost more than exact steps.
        Products are made in `dtype`.
        """
        budget = self._budget(at.curvature) if self._exact is not None else MAX_INNER
        penalty = self._penalty.astype(dtype)
        # float32's range is small: what is iterated on has length about one in each problem.
        largest = np.abs(gradient).max(axis=1).reshape(-1, group).max(axis=1)
        scale = spread(np.where(largest > 0.0, largest, 1.0), group)
        residual: Floats = (gradient / -scale).astype(dtype)
        step = np.zeros_like(residual)
        scaled = invert(residual)
        direction = scaled
        sizes = dots(residual, scaled, group)
        enough = forcing**2 * sizes
        is_open = sizes > enough
        for _ in range(budget):
            moved = at.bend(self._features.scores(direction))
            bent = self._features.pull(moved)
            bent *= dtype.type(C)
            bent += penalty * direction
            lengths = spread(ratio(sizes, dots(direction, bent, group)), group).astype(dtype)
            step += lengths * direction
            residual -= lengths * bent
            scaled = invert(residual)
            sizes, previous = dots(residual, scaled, group), sizes
            is_open = sizes > enough
            if not is_open.any():
                break
            # A problem that is done stands still.
            turn = spread(ratio(sizes, previous), group).astype(dtype)
            direction = turn * direction
            direction += scaled
            direction *= spread(is_open.astype(np.float64), group).astype(dtype)
        found: Array = step.astype(np.float64) * scale
        return found, ~is_open

    @property
    def exact(self) -> ExactSteps | None:
        """Steps that are exact; None where there are none, or at too high a price."""
        return self._exact

    def _budget(self, curvature: Floats) -> int:
        """Return after how many iterations exact steps would have cost as much."""
        n, r = self._features.n, self._features.r
        active = np.count_nonzero(curvature, axis=1).astype(np.float64)
        small = np.minimum(active, r)
        forming = np.where(active < r, 10.0 * small**2, small**2 * active)
        iterations = (forming + small**3 / 3.0).sum() / (4.0 * n * r * max(len(active), 1))
        return int(np.clip(iterations, MIN_INNER, MAX_INNER))
