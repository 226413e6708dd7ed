"""How far a step is gone."""

import numpy as np
import pytest

from icecore.probes.linear_probe import Array, ProbeKind
from icecore.probes.solving.directions import Directions
from icecore.probes.solving.fronts import Front, Way
from icecore.probes.solving.line_search import STEEPNESS, move
from icecore.probes.solving.losses import loss_of
from icecore.probes.solving.sums import dots
from step_problems import Made


def front_of(made: Made) -> Front:
    n = made.loss.n_problems
    ways = np.full(n, Way.ITERATED_DOUBLE, np.int8)
    return Front.at_start(made.loss, made.weights, made.scores, np.zeros(n), ways)


def furthest(made: Made, front: Front) -> Array:
    """By how much scores that count have changed at most, (problems,)."""
    problems, group = made.loss.n_problems, made.loss.group
    changes = np.abs(front.scores - made.scores).reshape(problems, group, -1).max(axis=1)
    most: Array = np.where(made.loss.weights > 0.0, changes, 0.0).max(axis=1)
    return most


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("k", [2, 5])
@pytest.mark.parametrize("factor", [1e-3, *np.geomspace(0.01, 100.0, 25), 1e3])
def test_a_step_is_gone_to_where_its_slope_is_nearly_gone(
    kind: ProbeKind, k: int, factor: float
) -> None:
    """However long it is."""
    made = Made(kind, k, C=1e-3)
    group = made.loss.group
    step = -factor * made.gradient
    slopes = dots(made.gradient, step, group)
    front = front_of(made)
    move(front, 1e-3, step, made.features.scores(step), slopes, made.penalty)
    gradient = 1e-3 * made.features.pull(front.at.slope) + made.penalty * front.weights
    left = np.abs(dots(gradient, step, group))
    assert (left <= 1.01 * STEEPNESS * np.abs(slopes)).all()
    assert (furthest(made, front) < made.loss.furthest).all()


def test_no_score_that_counts_is_changed_by_more_than_the_loss_allows() -> None:
    """Classes that a feature each tells: the whole step leaves nothing to tell its end from."""
    y = np.arange(30) % 3
    features = Directions(np.hstack([np.eye(3)[y], np.ones((30, 1))]))
    weights = np.ones((1, 30))
    weights[0, :3] = 0.0
    loss = loss_of(ProbeKind.SOFTMAX, y, 3, weights)
    nothing = np.zeros((3, 4))
    front = Front.at_start(
        loss, nothing, features.scores(nothing), np.zeros(1), np.zeros(1, np.int8)
    )
    C, step, penalty = 1e9, 30.0 * np.eye(3, 4), np.array([1.0, 1.0, 1.0, 0.0])
    gradient = C * features.pull(front.at.slope)
    move(front, C, step, features.scores(step), dots(gradient, step, 3), penalty)
    assert np.abs(front.scores[:, 3:]).max() == pytest.approx(loss.furthest)
