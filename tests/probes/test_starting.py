"""A fit that starts at an earlier probe's weights is the one from nothing."""

import numpy as np
import pytest

from icecore.probes.fitting import fit
from icecore.probes.linear_probe import ProbeKind
from icecore.probes.solving.plain import Plain
from icecore.probes.starting import fit_from, started
from labelled import clouds, names, probe_of

SHAPES = [(90, 20), (60, 200)]
"""More images than features, and fewer: these are fitted in another basis."""


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("C", [1e-3, 0.1])
@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        ((0, 1, 2, 3), (0, 1, 2, 3)),
        ((0, 1, 2), (0, 1, 2, 3)),
        ((0, 1, 2, 3), (0, 3)),
        ((1, 2), (0, 1, 2, 3)),
        ((1, 2), (1, 2)),
        ((0, 1), (2, 3)),
    ],
)
def test_the_objective_is_that_of_a_fit_from_nothing(
    kind: ProbeKind,
    shape: tuple[int, int],
    C: float,
    known: tuple[int, ...],
    wanted: tuple[int, ...],
) -> None:
    codes, y = clouds(*shape, 4, separation=0.3)
    earlier = np.flatnonzero(np.isin(y, known))[: len(y) // 2]
    base = probe_of(codes[earlier], y[earlier], kind, C)
    rows = np.isin(y, wanted)
    classes, own = np.unique(y[rows], return_inverse=True)
    cold = fit(codes[rows], own, len(classes), kind=kind, C=C)
    warm = fit_from(base, Plain.of(codes[rows]), own, tuple(names(classes)), C=C)
    assert warm.gap <= 1e-9
    assert warm.objective == pytest.approx(cold.objective, rel=1e-9)
    np.testing.assert_allclose(warm.weights, cold.weights, atol=1e-4 * np.abs(cold.weights).max())
    # Biases hang on weights times means of very different scale, in float32.
    np.testing.assert_allclose(warm.bias, cold.bias, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_at_the_same_images_it_starts_where_it_ends(
    kind: ProbeKind, k: int, shape: tuple[int, int]
) -> None:
    codes, y = clouds(*shape, k, separation=0.3)
    base = probe_of(codes, y, kind, 0.1)
    cold = fit(codes, y, k, kind=kind, C=0.1)
    warm = fit_from(base, Plain.of(codes), y, base.classes, C=0.1)
    assert warm.steps < cold.steps
    np.testing.assert_allclose(warm.weights, base.weights, atol=1e-4 * np.abs(base.weights).max())


@pytest.mark.parametrize("kind", ProbeKind)
def test_classes_that_stay_keep_their_scores_at_the_start(kind: ProbeKind) -> None:
    """But for what all of a softmax's share: a new class has 0, whatever the others have."""
    codes, y = clouds(60, 12, 3)
    base = probe_of(codes, y, kind, 0.1)
    material = Plain.of(codes)
    weights, bias = started(base, ("class-00", "class-02", "new"), material.standardisation)
    X = (codes - material.standardisation.mean) / material.standardisation.scale
    scores = X @ weights.T + bias
    before = base.scores(codes, tap="tap")
    np.testing.assert_allclose(scores[:, :2], before[:, [0, 2]], rtol=1e-3, atol=1e-3)
    assert not scores[:, 2].any()


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("known", [4, 8], ids=["half of the classes", "all of them"])
def test_at_a_large_c_it_ends_where_a_fit_from_nothing_does(kind: ProbeKind, known: int) -> None:
    """Where the earlier probe is no help, it is left."""
    codes, y = clouds(120, 50, 8, separation=0.3)
    earlier = np.flatnonzero(y < known)[::2]
    base = probe_of(codes[earlier], y[earlier], kind, 1e5)
    cold = fit(codes, y, 8, kind=kind, C=1e5)
    warm = fit_from(base, Plain.of(codes), y, tuple(names(np.arange(8))), C=1e5)
    assert warm.gap <= 1e-6
    assert warm.objective == pytest.approx(cold.objective, rel=1e-6)
