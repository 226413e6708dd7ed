"""How many fits are solved side by side."""

from functools import partial

import numpy as np
import pytest

from icecore.probes import cross_validation
from icecore.probes.cross_validation import Folds, judge
from icecore.probes.linear_probe import ProbeKind
from icecore.probes.selection import train
from icecore.probes.solving import tiles as cutting
from icecore.probes.solving.directions import Rotation
from icecore.probes.solving.losses import columns_of
from icecore.probes.solving.paths import Paths
from icecore.probes.solving.tiles import BYTES_A_SCORE, TILE_BYTES, tiles
from labelled import clouds, names


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize("k", [2, 5, 100, 1000])
@pytest.mark.parametrize("n_sets", [1, 5, 20])
@pytest.mark.parametrize("n", [10, 10_000, 1_000_000])
def test_tiles_cover_all_sets_and_classes_once(
    kind: ProbeKind, k: int, n_sets: int, n: int
) -> None:
    """A set's tiles one after another, and none that needs more memory than is allowed."""
    covered = np.zeros((n_sets, columns_of(k)), np.int64)
    for tile in tiles(kind, k, n_sets, n):
        assert covered[: tile.sets.start].all(), "sets before are done"
        assert covered[tile.sets, : tile.columns.start].all(), "and classes before"
        covered[tile.sets, tile.columns] += 1
        sets, columns = covered[tile.sets, tile.columns].shape
        is_whole = kind is ProbeKind.SOFTMAX and sets == 1
        assert is_whole or sets * columns == 1 or sets * columns * n * BYTES_A_SCORE <= TILE_BYTES
    assert (covered == 1).all()


def test_threads_find_tiles_enough() -> None:
    """Five folds of an SVM of 100 classes, on two to four threads: none waits long."""
    for threads in (2, 3, 4):
        n_tiles = len(list(tiles(ProbeKind.SVM, 100, 5, 10_000)))
        assert -(-n_tiles // threads) * threads <= 1.2 * n_tiles


def test_small_problems_are_solved_at_once() -> None:
    assert len(list(tiles(ProbeKind.SVM, 5, 20, 300))) == 1


def test_the_fits_of_some_classes_are_those_of_all() -> None:
    codes, y = clouds(200, 12, 6)
    features, weights = Rotation.of(codes).features, np.ones((2, 200))
    weights[1, ::5] = 0.0
    whole = Paths(features, y, 6, ProbeKind.SVM, weights)
    some = Paths(features, y, 6, ProbeKind.SVM, weights, columns=slice(2, 5))
    for C in (1e-2, 1.0):
        wanted = whole.reach(C, tol=1e-12, weights_tol=1e-6)
        found = some.reach(C, tol=1e-12, weights_tol=1e-6)
        np.testing.assert_allclose(found.weights, wanted.weights[:, 2:5], atol=1e-6)
        np.testing.assert_allclose(found.scores, wanted.scores[:, 2:5], atol=1e-5)


@pytest.mark.parametrize("threads", [1, 3])
def test_folds_see_the_same_however_tiles_are_cut(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes, y = clouds(120, 10, 7, separation=0.5)
    folds = Folds.of(y, np.arange(120), 0)
    monkeypatch.setattr(cross_validation, "CHOOSING_TOLERANCE", 1e-12)
    monkeypatch.setattr(cross_validation, "CHOOSING_WEIGHTS_TOLERANCE", 1e-6)
    seen = []
    for width in (cutting.WIDTH, 3):
        monkeypatch.setattr(cutting, "WIDTH", width)
        told: list[None] = []
        seen.append(
            judge(
                codes,
                y,
                7,
                folds,
                kind=ProbeKind.SVM,
                Cs=(1e-3, 1e-1),
                on_fold=partial(told.append, None),
                threads=threads,
            )
        )
        assert len(told) == 5
    one, other = seen
    np.testing.assert_array_equal(one.inner_right, other.inner_right)
    np.testing.assert_array_equal(one.outer_predicted, other.outer_predicted)
    np.testing.assert_allclose(one.inner_loss, other.inner_loss, rtol=1e-6)
    np.testing.assert_allclose(one.outer_loss, other.outer_loss, rtol=1e-6)


@pytest.mark.parametrize("kind", ProbeKind)
def test_how_many_threads_there_are_does_not_change_a_training(
    kind: ProbeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit; cut into so many tiles that threads have something to do."""
    monkeypatch.setattr(cutting, "WIDTH", 3)
    codes, y = clouds(120, 10, 5, separation=0.5)
    one, three = (
        train({"a": codes}, names(y), kind=kind, Cs=(1e-3, 1e-1), threads=threads)
        for threads in (1, 3)
    )
    np.testing.assert_array_equal(one.fit.weights, three.fit.weights)
    np.testing.assert_array_equal(one.predicted, three.predicted)
    assert one.accuracy == three.accuracy
    assert one.naive == three.naive
