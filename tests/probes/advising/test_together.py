"""Layers of the chosen backbone read together, in the contest's own folds."""

import numpy as np
import pytest

from icecore.probes.advising.candidates import Candidate
from icecore.probes.advising.layer_contest import LayerContest
from icecore.probes.advising.together import together, work_of
from icecore.probes.linear_probe import CodeArray, ProbeKind
from labelled import names

Y = np.random.default_rng(0).permutation(np.arange(160) % 4)


def codes(shift: np.ndarray, seed: int) -> CodeArray:
    found = np.random.default_rng(seed).normal(size=(len(Y), 6))
    found[:, 0] += 6.0 * shift
    return found.astype(np.float32)


def contest(layers: dict[str, CodeArray], other: CodeArray | None = None) -> LayerContest:
    candidates = [
        Candidate("net", name, depth, each, 100 * depth, depth)
        for depth, (name, each) in enumerate(layers.items(), 1)
    ]
    if other is not None:
        candidates.append(Candidate("other", "x", 1, other, 1, 1))
    images = [f"{n}" for n in range(len(Y))]
    return LayerContest.of(candidates, names(Y), images, kind=ProbeKind.SOFTMAX, seed=0)


def test_halves_of_the_answer_are_offered_together() -> None:
    told: list[float] = []
    held = contest({"a": codes(Y // 2, 1), "b": codes(Y % 2, 2)}, codes(0 * Y, 3))
    found = together(held, told.append)
    assert found is not None
    assert found.low > 0.2
    assert found.difference == pytest.approx(found.accuracy.estimate - held.accuracy.estimate)
    assert [held.layers[place].layer for place in found.places] == ["a", "b"], "of one backbone"
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)


def test_a_layer_twice_is_not_offered() -> None:
    both = codes(Y // 2, 1)
    found = together(contest({"a": both, "b": both}), lambda _: None)
    assert found is not None
    assert found.low <= 0.0 <= found.high


def test_one_layer_has_nothing_to_be_read_with() -> None:
    held = contest({"a": codes(Y // 2, 1)})
    assert together(held, lambda _: None) is None
    assert work_of(held) == 0.0


def test_the_best_of_many_backbones_of_noise_is_told_as_chance() -> None:
    """Each fold joins the backbone of its own choice: the luckiest of six would tell .56."""
    random = np.random.default_rng(5)
    told, gains = [], []
    for seed in range(12):
        candidates = [
            Candidate(f"net-{net}", f"l{depth}", depth, codes, depth, depth)
            for net in range(6)
            for depth in (1, 2)
            for codes in [random.normal(size=(60, 6)).astype(np.float32)]
        ]
        y = random.permutation(np.arange(60) % 2)
        images = [f"{n}" for n in range(60)]
        held = LayerContest.of(candidates, names(y), images, kind=ProbeKind.SOFTMAX, seed=seed)
        found = together(held, lambda _: None)
        assert found is not None
        told.append(found.accuracy.estimate)
        gains.append(found.difference)
    assert np.mean(told) < 0.535, told
    assert abs(np.mean(gains)) < 0.05, gains


def test_it_is_in_the_contests_folds() -> None:
    """A layer read together with its own copy answers as the layer does."""
    both = codes(Y // 2, 1)
    held = contest({"a": both, "b": both.copy()})
    found = together(held, lambda _: None)
    assert found is not None
    assert abs(found.difference) < 0.03
    assert found.high - found.low < 0.12, "paired: they differ on few images"
