"""Joining by itself: who may choose among which sets, how large they may be, what is told."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from icecore.probes.cross_validation import OUTER_FOLDS, Folds, judge
from icecore.probes.joining import joint
from icecore.probes.joining.halving import FEWEST, Layers
from icecore.probes.joining.joint import Joint, join
from icecore.probes.linear_probe import Array, ProbeKind
from icecore.probes.solving.material import Material, material_of
from icecore.probes.solving.weighting import ALIKE, Weighting
from icecore.probes.training_data import TrainingData
from labelled import names

CS = (1e-3, 1e-2, 1e-1)
WIDTH = 3


def joined(
    codes: Mapping[str, Array],
    y: np.ndarray,
    folds: Folds,
    weighting: Weighting = ALIKE,
) -> Joint:
    return join(
        TrainingData.of(codes, names(y), None),
        folds,
        kind=ProbeKind.SOFTMAX,
        Cs=CS,
        report=lambda _: None,
        weighting=weighting,
    )


def dealt(y: np.ndarray) -> Folds:
    return Folds.of(y, np.arange(len(y)), 0)


def weak_layers(
    n: int, *, n_weak: int, n_noise: int = 0, shift: float = 1.4
) -> tuple[dict[str, Array], np.ndarray]:
    """Two classes, of which each weak layer knows a little of its own; layers of 3 values."""
    random = np.random.default_rng(4)
    y = random.permutation(np.arange(n) % 2)
    codes = {f"noise{place:02}": random.normal(size=(n, WIDTH)) for place in range(n_noise)}
    for place in range(n_weak):
        codes[f"weak{place:02}"] = random.normal(size=(n, WIDTH)) + shift * y[:, None] * [1, 0, 0]
    return codes, y


def test_as_many_layers_are_read_as_are_needed() -> None:
    """Of sixteen the eight that know something are better than any four."""
    codes, y = weak_layers(240, n_weak=8, n_noise=8)
    found = joined(codes, y, dealt(y))
    assert found.layers == tuple(f"weak{place:02}" for place in range(8))


@pytest.mark.parametrize(
    ("most", "n_read"), [(16 * WIDTH, 8), (8 * WIDTH, 8), (8 * WIDTH - 1, FEWEST), (1, FEWEST)]
)
def test_sets_too_large_to_be_rotated_are_left_out_if_smaller_ones_are_not(
    monkeypatch: pytest.MonkeyPatch, most: int, n_read: int
) -> None:
    codes, y = weak_layers(240, n_weak=8, n_noise=8)
    monkeypatch.setattr(joint, "ROTATED_UP_TO", most)
    assert len(joined(codes, y, dealt(y)).layers) == n_read


def test_layers_of_few_images_are_rotated_however_wide_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    codes, y = weak_layers(60, n_weak=8, shift=2.0)
    wide = {key: np.tile(array, (1, 10)) for key, array in codes.items()}
    monkeypatch.setattr(joint, "ROTATED_UP_TO", 60)
    few = joined(wide, y, dealt(y))
    monkeypatch.setattr(joint, "ROTATED_UP_TO", 10_000)
    assert few.layers == joined(wide, y, dealt(y)).layers


def halved_as(
    monkeypatch: pytest.MonkeyPatch,
    by_fold: tuple[tuple[Layers, ...], ...],
    by_all: tuple[Layers, ...],
) -> None:
    monkeypatch.setattr(joint, "halvings", lambda *_: (by_fold, by_all))


def test_a_fold_chooses_among_its_own_sets_and_all_images_among_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fold 3 and all images have sets of noise only: they may not take the better ones."""
    codes, y = weak_layers(160, n_weak=4, n_noise=4, shift=5.0)
    good = tuple(key for key in codes if key.startswith("weak"))
    noise = tuple(key for key in codes if key.startswith("noise"))
    own = tuple((noise,) if fold == 3 else (good,) for fold in range(OUTER_FOLDS))
    halved_as(monkeypatch, own, (noise,))
    folds = dealt(y)
    found = joined(codes, y, folds)
    assert found.layers == noise
    right = found.choice.predicted == y
    for fold in range(OUTER_FOLDS):
        accuracy = right[folds.outer == fold].mean()
        assert accuracy < 0.8 if fold == 3 else accuracy > 0.95


def test_of_a_folds_sets_its_inner_folds_take_the_better(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, y = weak_layers(160, n_weak=4, n_noise=4, shift=5.0)
    good = tuple(key for key in codes if key.startswith("weak"))
    noise = tuple(key for key in codes if key.startswith("noise"))
    halved_as(monkeypatch, ((noise, good),) * OUTER_FOLDS, (noise, good))
    found = joined(codes, y, dealt(y))
    assert found.layers == good
    assert found.choice.right.mean() > 0.95


def test_what_a_held_out_image_is_taken_for_does_not_hang_on_labels_that_are_held_out() -> None:
    """Twenty layers of noise, of which some set always looks good with all labels."""
    random = np.random.default_rng(6)
    y = np.arange(60) % 3
    codes = {f"noise{place:02}": random.normal(size=(60, 4)) for place in range(20)}
    folds = dealt(y)
    before = joined(codes, y, folds).choice.predicted
    n_changed = 0
    for fold in range(OUTER_FOLDS):
        held = folds.outer == fold
        mixed = y.copy()
        mixed[held] = np.roll(mixed[held], 1)
        after = joined(codes, mixed, folds).choice.predicted
        np.testing.assert_array_equal(after[held], before[held])
        n_changed += int((after[~held] != before[~held]).sum())
    assert n_changed > 0, "the other folds train on them"


def test_naive_is_the_accuracy_of_the_chosen_in_the_folds_that_chose_them() -> None:
    codes, y = weak_layers(120, n_weak=8, shift=0.7)
    folds = dealt(y)
    found = joined(codes, y, folds)
    seen = judge(
        found.material, y, 2, folds, kind=ProbeKind.SOFTMAX, Cs=CS, on_fold=lambda: None
    ).outer_right.mean(axis=1)
    assert found.naive == seen[CS.index(found.C)]
    assert found.naive == seen.max()
    assert found.naive > max(seen[0], found.choice.right.mean()), "else this tells nothing"


def test_weights_count_where_sets_are_judged() -> None:
    codes, y = weak_layers(120, n_weak=8, shift=0.5)
    folds = dealt(y)
    plain = joined(codes, y, folds).choice.predicted
    for weighting in (
        Weighting(samples=1.0 + 99.0 * y),
        Weighting(classes=np.array([1.0, 100.0])),
    ):
        heavy = joined(codes, y, folds, weighting).choice.predicted
        assert (heavy == 1).sum() > (plain == 1).sum() + 10


def test_a_set_is_made_ready_once_for_its_folds_and_the_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[tuple[int, ...]] = []

    def counted(codes: Array, *given: Any) -> Material:
        made.append(codes.shape)
        return material_of(codes, *given)

    monkeypatch.setattr(joint, "material_of", counted)
    codes, y = weak_layers(80, n_weak=FEWEST)
    joined(codes, y, dealt(y))
    assert made == [(80, FEWEST * WIDTH)]
