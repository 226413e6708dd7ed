"""From one C to the next, and from nothing to a large one."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from icecore.probes.linear_probe import Array, ProbeKind
from icecore.probes.solving.material import Material, material_of
from icecore.probes.solving.newton import Batch
from icecore.probes.solving.paths import RUNGS, Paths, Rungs
from icecore.probes.solving.solution import Solution


def many_alike(n: int, d: int, k: int) -> tuple[Array, np.ndarray]:
    """Codes (n, d) like a network's, of classes that overlap."""
    random = np.random.default_rng(1)
    y = np.arange(n) % k
    hidden = random.normal(size=(n, d)) + random.normal(size=(k, d))[y]
    return np.maximum(hidden @ random.normal(size=(d, d)), 0.0), y


def from_nothing(material: Material, y: np.ndarray, kind: ProbeKind, C: float) -> Paths:
    return Paths(material.features, y, int(y.max()) + 1, kind, np.ones((1, len(y))))


@pytest.mark.parametrize("C", [1e2, 1e6])
def test_many_classes_are_fitted_from_nothing_at_a_large_c(C: float) -> None:
    """Newton's method straight away has a gap of .1 at the larger one after a hundred steps."""
    codes, y = many_alike(300, 140, 30)
    paths = from_nothing(material_of(codes), y, ProbeKind.SVM, C)
    found = paths.reach(C, tol=1e-6, weights_tol=np.inf)
    assert found.gaps[0] <= 1e-6
    assert found.steps <= 60


@pytest.mark.parametrize("kind", ProbeKind)
def test_where_a_path_began_does_not_matter(kind: ProbeKind) -> None:
    codes, y = many_alike(120, 60, 6)
    material = material_of(codes)
    at_once = from_nothing(material, y, kind, 1e3).reach(1e3, tol=1e-11, weights_tol=1e-6)
    paths = from_nothing(material, y, kind, 1e3)
    for C in (1e-4, 1e-1, 1e3):
        by_steps = paths.reach(C, tol=1e-11, weights_tol=1e-6)
    assert at_once.objectives == pytest.approx(by_steps.objectives, rel=1e-9)
    np.testing.assert_allclose(at_once.scores, by_steps.scores, atol=1e-4)


def test_rungs_lead_up_to_c_from_what_is_known() -> None:
    rungs = Rungs(ratio=10.0, least=10.0, tol=0.1)
    assert rungs.below(10.0, 1000, 0.0) == pytest.approx([0.01, 0.1, 1.0])
    assert rungs.below(10.0, 1000, 0.1) == pytest.approx([1.0]), "0.1 itself is known"
    assert rungs.below(10.0, 1000, 1.0) == rungs.below(10.0, 1000, 100.0) == []
    assert rungs.below(0.05, 1000, 0.0) == [], "weights of zero are near enough"


@pytest.mark.parametrize("kind", ProbeKind)
def test_a_grid_by_tens_has_no_rungs_between(kind: ProbeKind) -> None:
    Cs = [10.0**power for power in range(-6, 9)]
    for before, C in pairwise(Cs):
        assert RUNGS[kind].below(C, 100_000, before) == []


def test_images_that_count_for_many_are_a_large_c() -> None:
    """A weight of ten million at C = .1 is C = 1e6."""
    codes, y = many_alike(300, 140, 30)
    material, weights = material_of(codes), np.full((1, 300), 1e7)
    paths = Paths(material.features, y, 30, ProbeKind.SVM, weights)
    assert paths.reach(0.1, tol=1e-6, weights_tol=np.inf).gaps[0] <= 1e-6


@pytest.mark.parametrize("kind", ProbeKind)
def test_a_large_c_is_reached_over_smaller_ones_but_not_twice(
    kind: ProbeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    solved: list[float] = []
    solve = Batch.solve

    def heard(batch: Batch, C: float, **given: Any) -> Solution:
        solved.append(C)
        return solve(batch, C, **given)

    monkeypatch.setattr(Batch, "solve", heard)
    codes, y = many_alike(120, 60, 6)
    paths = from_nothing(material_of(codes), y, kind, 1e5)
    paths.reach(1e5, tol=1e-6, weights_tol=np.inf)
    rungs = RUNGS[kind].below(1e5, 120, 0.0)
    assert len(rungs) >= 2
    assert solved == pytest.approx([*rungs, 1e5])
    solved.clear()
    paths.reach(2e5, tol=1e-6, weights_tol=np.inf)
    assert solved == [2e5]
