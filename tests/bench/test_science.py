"""What `bench/science` judges by: files of cores, parts of them, differences of two probes."""

from pathlib import Path

import numpy as np
import pytest

from icecore.probes.intervals import paired_difference
from science.asking import Part, evenly, spread
from science.core_files import Core, CoreMissing, LayerFacts
from science.held_out import paired, paired_means, trained


def _layers(n: int) -> tuple[LayerFacts, ...]:
    return tuple(
        LayerFacts(f"relu{depth}", depth, 4, 8, 8, 2, 10, 100) for depth in range(1, n + 1)
    )


def _core(n_images: int = 4, n_layers: int = 2) -> Core:
    random = np.random.default_rng(7)
    return Core(
        backbone="toy",
        digest="0" * 64,
        set="é set",
        layers=_layers(n_layers),
        labels=[f"class {i % 2}" for i in range(n_images)],
        ids=[f"class {i % 2}/{i}.png" for i in range(n_images)],
        sha=[f"{i:064x}" for i in range(n_images)],
        codes={
            key: random.normal(size=(n_images, 4)).astype(np.float32)
            for layer in _layers(n_layers)
            for key in (layer.key, layer.linear_key)
        },
    )


def test_a_core_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    core = _core()
    core.write(tmp_path)
    back = Core.read(tmp_path, "toy", "é set")
    assert (back.backbone, back.digest, back.set) == (core.backbone, core.digest, core.set)
    assert (back.layers, back.labels, back.ids, back.sha) == (
        core.layers,
        core.labels,
        core.ids,
        core.sha,
    )
    for key, codes in core.codes.items():
        assert back.codes[key].dtype == np.float32
        np.testing.assert_array_equal(back.codes[key], codes)
    assert [path.suffix for path in tmp_path.iterdir()] == [".npz"], "nothing else is left behind"


def test_a_core_that_is_absent_says_how_it_is_computed(tmp_path: Path) -> None:
    with pytest.raises(CoreMissing, match=r"cores\.py .*--network toy --set other"):
        Core.read(tmp_path, "toy", "other")


@pytest.mark.parametrize("n", [1, 2, 5, 9, 33])
def test_spread_layers_have_the_last_among_them_and_even_distances(n: int) -> None:
    depths = [layer.depth for layer in spread(_layers(33), n)]
    assert len(depths) == n
    assert depths[-1] == 33
    assert n < 3 or np.ptp(np.diff(depths)) <= 1


def test_fewer_images_are_the_first_of_each_class_in_turn() -> None:
    labels = ["a"] * 5 + ["b"] * 2 + ["c"] * 4
    assert evenly(labels, 7).tolist() == [0, 1, 2, 5, 6, 7, 8]
    assert evenly(labels, 99).tolist() == list(range(11))


def test_a_part_has_labels_groups_and_codes_of_the_same_images() -> None:
    core = _core(n_images=6)
    part = Part(core, core.layers, np.array([1, 4]))
    assert part.labels == ["class 1", "class 0"]
    assert part.groups == [core.sha[1], core.sha[4]]
    np.testing.assert_array_equal(part.codes("n02"), core.codes["n02"][[1, 4]])


def test_a_difference_is_of_the_second_from_the_first_and_lies_in_its_interval() -> None:
    first = np.array([True] * 60 + [False] * 40)
    second = np.array([True] * 90 + [False] * 10)
    difference = paired(first, second)
    assert difference.estimate == pytest.approx(0.3)
    assert difference.low < 0.3 < difference.high
    assert difference.is_sure
    back = paired(second, first)
    assert (back.low, back.high) == pytest.approx((-difference.high, -difference.low))


def test_an_interval_is_wider_than_independent_answers_would_make_it() -> None:
    random = np.random.default_rng(2)
    first, second = random.random((2, 4000)) < 0.7
    low, high = paired_difference(
        *(
            float(np.count_nonzero(cell))
            for cell in (first & second, first & ~second, ~first & second, ~first & ~second)
        )
    )
    difference = paired(first, second)
    # Folds share training images: the variance counts 1.75 times.
    assert difference.high - difference.low == pytest.approx(1.75**0.5 * (high - low), rel=0.02)


def test_the_same_answers_differ_by_nothing_for_sure() -> None:
    right = np.random.default_rng(3).random(200) < 0.8
    difference = paired(right, right)
    assert difference.estimate == 0.0
    assert not difference.is_sure


def test_a_mean_of_pairs_that_say_the_same_is_no_surer_than_one() -> None:
    random = np.random.default_rng(11)
    first, second = random.random((2, 150)) < 0.7
    once, often = paired_means([first], [second]), paired_means([first] * 9, [second] * 9)
    assert (once.low, once.high) == pytest.approx((often.low, often.high))
    assert once.estimate == pytest.approx(second.mean() - first.mean())


def test_right_is_told_image_by_image_and_by_folds_that_did_not_see_it() -> None:
    random = np.random.default_rng(5)
    labels = ["left", "right"] * 40
    clear = random.normal(size=(80, 6)).astype(np.float32)
    clear[1::2] += 6.0
    wrong = 12  # an image of one class that looks like the other
    clear[wrong] += 6.0
    groups = [f"{i}" for i in range(80)]
    _, right = trained({"codes": clear}, labels, groups)
    assert np.flatnonzero(~right).tolist() == [wrong]
    codes = random.normal(size=(80, 300)).astype(np.float32)
    _, noise = trained({"codes": codes}, labels, groups)
    assert noise.mean() < 0.75, "seen images would all be right"
