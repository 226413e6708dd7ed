"""A point from which Newton steps are made."""

import numpy as np

from icecore.probes.linear_probe import Array, ProbeKind
from icecore.probes.solving.directions import Directions
from icecore.probes.solving.losses import Loss, LossAt, loss_of
from icecore.probes.solving.steps import Steps
from icecore.probes.solving.sums import dots


class Made:
    """A point in the middle of nowhere, and the system that a step from it solves."""

    def __init__(self, kind: ProbeKind, k: int, C: float, n: int = 60, r: int = 13) -> None:
        random = np.random.default_rng(7)
        Z = random.normal(size=(n, r - 1)) * 10.0 ** -np.linspace(0, 11, r - 1)
        self.features = Directions(np.hstack([Z, np.ones((n, 1))]))
        # Two sets at once, the second without a fifth of the images.
        weights = np.stack([np.ones(n), np.arange(n) % 5 > 0])
        self.loss: Loss = loss_of(kind, np.arange(n) % k, k, weights)
        self.C = C
        self.penalty = np.ones(r)
        self.penalty[-1] = float(self.loss.is_bias_penalised)
        columns = self.loss.n_problems * self.loss.group
        self.weights = random.normal(size=(columns, r))
        self.scores = self.features.scores(self.weights)
        self.at: LossAt = self.loss.at(self.scores)
        self.gradient = C * self.features.pull(self.at.slope) + self.penalty * self.weights
        self.invert = self.features.preconditioner(C, self.at.curvature, self.penalty)
        self.steps = Steps(self.features, self.penalty, is_separable=self.loss.group == 1)

    def share_left(self, step: Array) -> Array:
        """What H step + gradient leaves of the gradient, both in H's own norm, a problem."""
        bent = self.features.pull(self.at.bend(self.features.scores(step)))
        left = self.penalty * step + self.C * bent + self.gradient
        whole = dots(self.gradient, self.invert(self.gradient), self.loss.group)
        share: Array = np.sqrt(dots(left, self.invert(left), self.loss.group) / whole)
        return share
