"""Layers read together: what is chosen, by whom, and what the interval says."""

from itertools import pairwise

import numpy as np
import pytest

from icecore.probes.cross_validation import Folds
from icecore.probes.errors import InputInvalid
from icecore.probes.joining.halving import FEWEST, halvings
from icecore.probes.joining.joint import side_by_side
from icecore.probes.selection import train
from icecore.probes.solving.standardising import Standardisation
from icecore.probes.training_data import TrainingData
from labelled import names

TAPS = '["a", "b"]'


def two_bits(n: int, *, n_noise: int, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Four classes; one layer tells the first bit, another the second, the others nothing."""
    random = np.random.default_rng(seed)
    y = random.permutation(np.arange(n) % 4)
    codes = {f"noise{i:02}": random.normal(size=(n, 6)) for i in range(n_noise)}
    for key, bit, width in (("high", y // 2, 5), ("low", y % 2, 12)):
        codes[key] = random.normal(size=(n, width))
        codes[key][:, 0] += 6.0 * bit
    return {key: codes[key].astype(np.float32) for key in sorted(codes)}, y


def test_what_two_layers_know_together_neither_knows_alone() -> None:
    codes, y = two_bits(160, n_noise=3)
    found = train(codes, names(y), kind="softmax", joining=True)
    assert found.gain is not None
    assert found.gain.alone.estimate < 0.6
    assert found.accuracy.estimate > 0.9
    assert found.gain.low > 0.2
    assert found.gain.difference == pytest.approx(
        found.accuracy.estimate - found.gain.alone.estimate
    )
    assert {"high", "low"} <= set(found.joined)
    assert found.keys == found.joined


@pytest.mark.parametrize("kind", ["svm", "softmax"])
def test_the_probe_reads_raw_codes_side_by_side(kind: str) -> None:
    codes, y = two_bits(120, n_noise=2)
    found = train(codes, names(y), kind=kind, joining=True)
    probe = found.probe(TAPS)
    joined = side_by_side(codes, found.joined)
    assert joined.shape == (120, sum(codes[key].shape[1] for key in found.joined))
    said = probe.predict(joined, tap=TAPS).labels
    assert np.mean(np.array(said) == np.array(names(y))) > 0.97


def test_layers_that_add_nothing_go() -> None:
    codes, y = two_bits(200, n_noise=14)
    found = train(codes, names(y), kind="softmax", joining=True)
    assert len(found.joined) == FEWEST
    assert {"high", "low"} <= set(found.joined)


def test_sets_are_halved_from_all_down_to_the_fewest_in_their_order() -> None:
    codes, y = two_bits(80, n_noise=15)
    data = TrainingData.of(codes, names(y), None)
    folds = Folds.of(data.y, data.groups, 0)
    by_fold, by_all = halvings(data, folds, {k: Standardisation.of(c) for k, c in codes.items()})
    for sets in (*by_fold, by_all):
        assert [len(some) for some in sets] == [17, 9, 5, 4]
        for more, fewer in pairwise(sets):
            assert set(fewer) < set(more)
            assert fewer == tuple(key for key in codes if key in fewer)


def test_a_fold_halves_without_the_labels_it_holds_out() -> None:
    codes, y = two_bits(100, n_noise=10)
    ways = {key: Standardisation.of(array) for key, array in codes.items()}
    data = TrainingData.of(codes, names(y), None)
    folds = Folds.of(data.y, data.groups, 0)
    before, _ = halvings(data, folds, ways)
    mixed = y.copy()
    held = folds.outer == 2
    mixed[held] = np.random.default_rng(5).permutation(mixed[held])
    after, _ = halvings(TrainingData.of(codes, names(mixed), None), folds, ways)
    assert before[2] == after[2]
    assert any(one != other for one, other in zip(before, after, strict=True))


def test_copies_of_one_layer_promise_nothing() -> None:
    random = np.random.default_rng(3)
    y = np.arange(120) % 3
    code = random.normal(size=(120, 8)).astype(np.float32)
    code[:, 0] += 1.5 * y
    codes = {f"copy{i}": code for i in range(8)}
    found = train(codes, names(y), kind="softmax", joining=True)
    assert found.gain is not None
    assert found.gain.low <= 0.0 <= found.gain.high
    assert len(found.joined) == FEWEST


def test_noise_read_together_is_told_as_chance() -> None:
    random = np.random.default_rng(11)
    told = []
    for seed in range(12):
        codes = {f"l{i}": random.normal(size=(60, 9)).astype(np.float32) for i in range(9)}
        y = random.permutation(np.arange(60) % 2)
        found = train(codes, names(y), kind="softmax", joining=True, seed=seed)
        told.append(found.accuracy.estimate)
    assert abs(np.mean(told) - 0.5) < 0.06, told


def test_threads_change_nothing() -> None:
    codes, y = two_bits(80, n_noise=6)
    one, three = (
        train(codes, names(y), kind="svm", joining=True, threads=threads) for threads in (1, 3)
    )
    assert one.joined == three.joined
    np.testing.assert_array_equal(one.fit.weights, three.fit.weights)
    np.testing.assert_array_equal(one.predicted, three.predicted)


def test_progress_rises_to_its_end() -> None:
    codes, y = two_bits(80, n_noise=5)
    heard: list[float] = []
    train(
        codes,
        names(y),
        kind="softmax",
        joining=True,
        on_progress=lambda stage, share: heard.append(share if stage == "choosing" else 1.0),
    )
    assert heard == sorted(heard)
    assert heard[-1] == 1.0
    assert max(share for share in heard if share < 1.0) > 0.9


def test_one_layer_has_nothing_to_be_joined_to() -> None:
    codes, y = two_bits(40, n_noise=0)
    with pytest.raises(InputInvalid, match="nothing to join it to"):
        train({"high": codes["high"]}, names(y), kind="softmax", joining=True)


def test_a_narrow_layer_weighs_as_much_as_a_wide_one() -> None:
    random = np.random.default_rng(0)
    narrow, wide = random.normal(size=(50, 3)), 40.0 * random.normal(size=(50, 300))
    both = Standardisation.joined([Standardisation.of(narrow), Standardisation.of(wide)])
    codes = both.apply(np.concatenate([narrow, wide], axis=1), slice(0, 303))
    shares = [np.var(codes[:, :3], axis=0).sum(), np.var(codes[:, 3:], axis=0).sum()]
    np.testing.assert_allclose(shares, np.mean([3, 300]))
