"""Features that are not rotated: what conditions a single fit."""

import numpy as np
import pytest

from icecore.probes.solving.plain import NEAR, PlainFeatures


def preconditioned(curvature: list[float]) -> tuple[PlainFeatures, np.ndarray, np.ndarray]:
    """One gradient for all columns, taken by each column's preconditioner at C = 1."""
    random = np.random.default_rng(3)
    Z = random.normal(size=(50, 8)) @ random.normal(size=(8, 8))
    features = PlainFeatures(np.hstack([Z - Z.mean(axis=0), np.ones((50, 1))]))
    bent = np.repeat(np.array(curvature, np.float32)[:, None], 50, axis=1)
    gradient = np.repeat(random.normal(size=(1, 9)), len(curvature), axis=0)
    return features, gradient, features.preconditioner(1.0, bent, np.ones(9))(gradient)


@pytest.mark.parametrize("power", [-12, 0, 6])
def test_images_that_are_curved_alike_are_conditioned_exactly(power: int) -> None:
    features, gradient, step = preconditioned([2.0**power])
    H = np.eye(9) + 2.0**power * features.Z.T @ features.Z
    np.testing.assert_allclose(step @ H, gradient, atol=1e-2 * np.abs(gradient).max())


def test_columns_that_are_curved_nearly_alike_share_a_factor() -> None:
    _, _, step = preconditioned([1.0, 2.0, 2.0**NEAR])
    np.testing.assert_array_equal(step[0, :-1], step[1, :-1])
    np.testing.assert_array_equal(step[0, :-1], step[2, :-1])


def test_columns_that_are_curved_very_differently_have_their_own() -> None:
    features, gradient, step = preconditioned([1.0, 2.0**-8, 2.0**10])
    for column, power in enumerate((0, -8, 10)):
        H = np.eye(9) + 2.0**power * features.Z.T @ features.Z
        left = np.abs(step[column] @ H - gradient[column]).max()
        assert left <= 1e-2 * np.abs(gradient[column]).max()


def test_a_column_that_nothing_bends_is_bent_by_the_penalty_alone() -> None:
    _, gradient, step = preconditioned([0.0, 1.0])
    np.testing.assert_allclose(step[0], gradient[0], rtol=1e-6)
