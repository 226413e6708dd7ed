"""The points of a learning curve: who trains, who is held out, and what small sets do."""

import numpy as np
import pytest

from icecore.probes.advising import learning_curve as module
from icecore.probes.advising.learning_curve import LearningCurve, learning_curve
from icecore.probes.linear_probe import CodeArray, ProbeKind
from labelled import clouds

CS = (1e-4, 1e-3, 1e-2, 1e-1)


def curve_of(
    codes: CodeArray, y: np.ndarray, groups: np.ndarray | None = None, seed: int = 0
) -> LearningCurve:
    return learning_curve(
        codes,
        y,
        int(y.max()) + 1,
        np.arange(len(y)) if groups is None else groups,
        kind=ProbeKind.SOFTMAX,
        Cs=CS,
        seed=seed,
    )


def trained_on(
    monkeypatch: pytest.MonkeyPatch, n: int, y: np.ndarray, groups: np.ndarray
) -> list[tuple[frozenset[int], frozenset[int]]]:
    """Return the rows that each fit trained on and judged."""
    seen = []

    def watched(
        codes: CodeArray, y: np.ndarray, k: int, train: np.ndarray, held: np.ndarray, *rest: object
    ) -> np.ndarray:
        seen.append((frozenset(train.tolist()), frozenset(held.tolist())))
        return right(codes, y, k, train, held, *rest)  # type: ignore[arg-type]

    right = module.held_out_right
    monkeypatch.setattr(module, "held_out_right", watched)
    curve_of(np.arange(n, dtype=np.float32)[:, None], y, groups)
    return seen


def test_accuracy_grows_with_the_images_trained_on() -> None:
    codes, y = clouds(240, 40, 4, separation=0.5)
    curve = curve_of(codes, y)
    accuracy = curve.right.mean(axis=1)
    assert curve.right.shape == (4, 240)
    assert np.allclose(curve.sizes, [30, 60, 120, 192], atol=4), "a class's share is rounded up"
    assert curve.sizes[-1] == 192
    assert (np.diff(accuracy) > 0).all(), accuracy
    assert accuracy[0] > 0.4, "chance is .25"
    assert (curve.class_sizes == 60).all()


def test_a_small_training_set_is_part_of_a_larger_and_has_every_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    y = np.r_[np.zeros(60, int), np.ones(90, int), np.full(9, 2)]
    groups = np.arange(len(y))
    groups[1:40:2] = groups[:40:2]
    seen = trained_on(monkeypatch, len(y), y, groups)
    assert len(seen) == 2 * 5 * (4 + 3 + 2 + 1)
    for train, held in seen:
        assert not train & held
        assert not set(groups[list(train)]) & set(groups[list(held)])
        assert set(y[list(train)]) == {0, 1, 2}
    by_size = sorted(seen, key=lambda pair: len(pair[0]))
    nested = [any(small < large for large, _ in by_size[20:]) for small, _ in by_size[:20]]
    assert all(nested)
    assert len({train for train, _ in seen}) > 0.9 * len(seen), "draws differ"
    for train, held in seen:
        cut = [
            group
            for group in range(0, 40, 2)
            if len({group, group + 1} & train) == 1 and group not in held
        ]
        assert len(cut) <= 1, "groups are taken whole, but for the last one of a class"


def test_thinning_keeps_the_classes_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    y = np.r_[np.zeros(120, int), np.ones(40, int)]
    for train, _ in trained_on(monkeypatch, 160, y, np.arange(160)):
        share = np.mean(y[list(train)])
        assert share == pytest.approx(0.25, abs=1.5 / len(train))


def test_copies_tell_nothing_of_each_other() -> None:
    """Random labels, each image three times: only who holds a copy back knows its label.

    60 different images at chance, .5, have a standard error of .065.
    """
    random = np.random.default_rng(0)
    once = random.normal(size=(60, 100)).astype(np.float32)
    codes, y = np.repeat(once, 3, axis=0), np.repeat(random.permutation(60) % 2, 3)
    apart = curve_of(codes, y, np.repeat(np.arange(60), 3)).right[-1].mean()
    assert abs(apart - 0.5) < 3 * 0.065
    assert curve_of(codes, y).right[-1].mean() > 0.9


def test_the_same_arguments_give_the_same_curve() -> None:
    codes, y = clouds(60, 12, 3, separation=0.4)
    one, two = curve_of(codes, y), curve_of(codes, y)
    assert one.right.tobytes() == two.right.tobytes()
    assert one.right.tobytes() != curve_of(codes, y, seed=1).right.tobytes()


@pytest.mark.parametrize("kind", ProbeKind)
@pytest.mark.parametrize(("n", "k"), [(10, 5), (4, 2), (9, 3)])
def test_two_images_a_class_are_a_curve_of_its_last_point(n: int, k: int, kind: ProbeKind) -> None:
    codes, y = clouds(n, 8, k)
    curve = learning_curve(codes, y, k, np.arange(n), kind=kind, Cs=CS)
    assert len(curve.sizes) <= 2
    assert curve.right.shape == (len(curve.sizes), len(curve.y))
    assert ((curve.right >= 0) & (curve.right <= 1)).all()


def test_a_class_that_is_one_group_is_learnt_and_never_held_out() -> None:
    codes, y = clouds(45, 8, 3)
    groups = np.where(y == 2, 99, np.arange(45))
    curve = curve_of(codes, y, groups)
    assert set(curve.y) == {0, 1}
    assert curve.class_sizes.tolist() == [15, 15, 15]


def test_nothing_is_held_out_where_every_class_is_one_group() -> None:
    codes, y = clouds(12, 8, 3)
    assert curve_of(codes, y, y).right.shape[1] == 0


def test_each_training_set_is_reported() -> None:
    codes, y = clouds(24, 6, 2)
    told: list[float] = []
    learning_curve(codes, y, 2, np.arange(24), kind=ProbeKind.SVM, Cs=CS, on_share=told.append)
    assert len(told) == 3 * 5 * (3 + 2 + 1), "an eighth of 24 is less than two images a class"
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)
