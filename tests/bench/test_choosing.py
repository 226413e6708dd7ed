"""What `bench/choosing` draws and says, of networks whose layers know what they are given."""

from dataclasses import replace

import numpy as np
import pytest

from choosing import shared_folds
from choosing.joined import Draw, drawn, on_the_rest, summary
from choosing.layers import drawn as drawn_by_layers
from choosing.pool import Pool, split
from icecore.probes.intervals import Accuracy, paired_difference
from icecore.probes.training import Gain

N, D = 240, 6


def _pool(*known: tuple[int, ...], logits: np.ndarray | None = None) -> Pool:
    """Four classes, of two bits each; a layer knows the bits it is said to know.

    Each image has a copy of itself beside it.
    """
    random = np.random.default_rng(5)
    y = np.repeat(np.arange(N // 2) % 4, 2)
    bits = np.stack([y % 2, y // 2], axis=1)
    codes = {}
    for depth, which in enumerate(known, 1):
        values = np.repeat(random.normal(size=(N // 2, D)), 2, axis=0)
        for bit in which:
            values[:, bit] += 6.0 * bits[:, bit]
        codes[f"d{depth:02}"] = values.astype(np.float32)
    positions: dict[str, float | None] = {
        key: (place + 1) / len(known) for place, key in enumerate(codes)
    }
    if logits is not None:
        codes["logits"] = logits
        positions["logits"] = None
    groups = np.array([f"{row // 2:03}" for row in range(N)])
    return Pool(codes, np.array([f"class {label}" for label in y]), groups, positions)


def _draw(alone: np.ndarray, joined: np.ndarray, low: float, high: float) -> Draw:
    gain = Gain(Accuracy(0.5, 0.4, 0.6), (low + high) / 2.0, low, high)
    return Draw(100, alone, joined, gain, 4, (1.0, 2.0))


def test_half_of_each_class_is_trained_on_and_copies_stay_on_one_side() -> None:
    pool = _pool((0,))
    rows, others = split(pool.labels, pool.groups, 0, 10_000)
    assert sorted([*rows, *others]) == list(range(N))
    assert not set(pool.groups[rows]) & set(pool.groups[others])
    _, counts = np.unique(pool.labels[rows], return_counts=True)
    assert counts.tolist() == [N // 8] * 4
    assert len(split(pool.labels, pool.groups, 0, 20)[0]) == 2 * 20, "twenty, and their copies"
    assert len(split(pool.labels, pool.groups, 0, 10_000, 0.8)[0]) == 2 * 24 * 4, "of thirty each"


def test_layers_that_know_half_each_are_offered_together_and_do_better_on_the_rest() -> None:
    found = drawn(_pool((0,), (1,)), 0)
    assert found.alone.mean() < 0.6
    assert found.joined.mean() > 0.95
    assert found.is_offered
    assert found.n_read == 2


def test_layers_that_know_the_same_are_not_offered_together() -> None:
    found = drawn(_pool((0, 1), (0, 1)), 0)
    assert found.alone.mean() > 0.95
    assert not found.is_offered


def test_the_network_s_answers_are_chosen_and_joined_where_they_alone_know() -> None:
    y = np.repeat(np.arange(N // 2) % 4, 2)
    logits = (8.0 * np.eye(4)[y]).astype(np.float32)
    pool = _pool((0,), (1,), logits=logits)
    rows, others = split(pool.labels, pool.groups, 1, 60)
    assert pool.trained(rows, seed=1).key == "logits"
    joined = pool.trained(rows, seed=1, joining=True)
    assert "logits" in joined.joined
    assert pool.right(joined, others).mean() > 0.95
    found = drawn_by_layers(pool, 1)
    assert found.auto >= found.n_layers == 2 > found.depths
    assert found.accuracy[found.auto] > found.accuracy[found.depths] + 0.3


def test_draws_of_one_set_are_counted_as_one_look_at_the_rest() -> None:
    alone, joined = np.arange(100) < 60, np.arange(100) < 75
    often = on_the_rest([_draw(alone, joined, 0.1, 0.2)] * 7)
    assert often.estimate == pytest.approx(0.15)
    assert (often.low, often.high) == pytest.approx(paired_difference(60, 0, 15, 25))


def test_what_is_won_where_offered_counts_the_others_as_nothing() -> None:
    few, many = np.arange(100) < 60, np.arange(100) < 80
    draws = [_draw(few, many, 0.1, 0.3), _draw(many, few, -0.1, 0.1)]
    assert [one.is_offered for one in draws] == [True, False]
    assert [one.is_held for one in draws] == [True, False]
    text = summary(draws)
    assert "joining always +0.00, where offered +10.00" in text
    assert "the interval held 0.50" in text
    assert "offered: 1, of which 1.00 better on the rest, mean +20.00" in text
    unsure = replace(draws[0], gain=draws[1].gain)
    assert "where offered +0.00" in summary([unsure])


def test_answers_that_share_nothing_are_off_by_what_chance_explains() -> None:
    random = np.random.default_rng(4)

    def contestant() -> shared_folds.Contestant:
        return shared_folds.Contestant(random.random(120) < 0.7, random.random(300) < 0.7)

    found = [(contestant(), contestant()) for _ in range(3000)]
    assert shared_folds.factor([shared_folds.single(a) for a, _ in found]) == pytest.approx(
        1.0, abs=0.1
    )
    pairs = [shared_folds.pair(a, b) for a, b in found]
    assert shared_folds.factor(pairs) == pytest.approx(1.0, abs=0.1)
    held = np.mean([one.is_held for one in pairs], axis=0)
    assert held[0] == pytest.approx(0.95, abs=0.02)
    assert (np.diff(held) >= 0.0).all()
    assert held[-1] > 0.98


def test_answers_that_are_off_together_are_seen() -> None:
    """Ten points, one way or the other, of all answers that folds gave."""
    random = np.random.default_rng(5)
    pairs = []
    for _ in range(300):
        high, low = random.permutation([0.75, 0.65])
        a = shared_folds.Contestant(random.random(400) < high, random.random(400) < 0.7)
        b = shared_folds.Contestant(random.random(400) < low, random.random(400) < 0.7)
        pairs.append(shared_folds.pair(a, b))
    assert shared_folds.factor(pairs) > 5.0
    assert np.mean([one.is_held for one in pairs], axis=0)[0] < 0.5
