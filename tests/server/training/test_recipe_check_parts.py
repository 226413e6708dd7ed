"""Which recipes a check tries, which classes labels mean, and when another clearly fits better."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from icecore.server.backbones.recipes.presets import PRESETS, assumed
from icecore.server.errors import InvalidArgument
from icecore.server.training.recipe_check_classes import match
from icecore.server.training.recipe_check_scores import (
    Learnable,
    Scores,
    gain,
    more_often,
    score,
)
from icecore.server.training.recipe_check_trials import candidates, levels_apart, spread
from icecore.server.training.recipe_check_verdict import Tried, fits_better, merit

NAMES = [
    "tench, Tinca tinca",
    "ant, emmet, pismire",
    "bee",
    "bee eater",
    "crane",
    "crane",
    "box",
    "butterfly",
    "Jean Grey",
    "grass",
]


def meant(label: str, names: list[str] = NAMES, n_classes: int | None = None) -> set[int]:
    found = match([label], names, n_classes or len(names)).members[0]
    return {int(index) for index in np.flatnonzero(found)}


@pytest.mark.parametrize(
    ("label", "classes"),
    [
        ("tench", {0}),
        ("Tinca_tinca", {0}),
        ("Tench, Tinca Tinca", {0}),
        ("n01440764 tench", {0}),
        ("ants", {1}),
        ("Bees", {2}),
        ("bee-eaters", {3}),
        ("crane", {4, 5}),
        ("boxes", {6}),
        ("butterflies", {7}),
        ("jean grey", {8}),
        ("gras", set()),
        ("wasp", set()),
        ("", set()),
        (",", set()),
    ],
)
def test_a_label_means_the_classes_of_its_name(label: str, classes: set[int]) -> None:
    assert meant(label) == classes


def test_one_class_more_than_names_is_the_background() -> None:
    assert meant("bee", n_classes=len(NAMES) + 1) == {3}
    with pytest.raises(InvalidArgument, match="10 class names, but the network has 12 classes"):
        meant("bee", n_classes=12)


def test_an_exact_name_goes_before_a_singular_one() -> None:
    assert meant("bees", ["bee", "bees"]) == {1}
    assert meant("bee", ["bee", "bees"]) == {0}


@pytest.mark.parametrize("name", PRESETS)
def test_candidates_differ_in_arithmetic_only_and_can_be_told_apart(name: str) -> None:
    stored = PRESETS[name].of(assumed((224, 224)))
    tried = candidates(stored)
    assert tried[0].change == ""
    assert tried[0].recipe == stored
    assert len({one.change for one in tried}) == len(tried) <= 17
    for one in tried:
        same = replace(
            stored,
            channels=one.recipe.channels,
            mean=one.recipe.mean,
            std=one.recipe.std,
            scale=one.recipe.scale,
        )
        assert one.recipe == same
    for preset in PRESETS.values():
        assert any(levels_apart(one.recipe, preset.of(stored)) <= 1.5 for one in tried)
    for place, one in enumerate(tried):
        for other in tried[:place]:
            assert levels_apart(one.recipe, other.recipe) > 1.5


def test_turning_channels_around_keeps_each_colours_mean_and_std() -> None:
    stored = PRESETS["imagenet"].of(assumed((224, 224)))
    turned = candidates(stored)[1]
    assert turned.change == "BGR instead of RGB"
    assert turned.recipe.mean == stored.mean[::-1]
    assert turned.recipe.std == stored.std[::-1]


def test_levels_and_spread_are_of_inputs() -> None:
    plain = assumed((224, 224))
    lite, tensorflow, raw = (PRESETS[name].of(plain) for name in ("lite", "tensorflow", "raw"))
    assert levels_apart(lite, tensorflow) == pytest.approx(1.0, abs=0.01)
    assert levels_apart(raw, replace(raw, mean=(0.0, 3.0, 0.0))) == pytest.approx(3)
    assert spread(raw) == 255
    assert spread(tensorflow) == pytest.approx(2)


def test_learnable_labels_have_two_photos_and_a_rival() -> None:
    learnable = Learnable.of(["b", "a", "", "b", "c", "a", "a"])
    assert learnable.rows.tolist() == [0, 1, 3, 5, 6]
    assert learnable.y.tolist() == [1, 0, 1, 0, 0]
    assert learnable.largest_share == 0.6
    assert not len(Learnable.of(["a", "a", "b"]).y)
    assert Learnable.of([]).largest_share == 0


def test_scores_are_those_of_a_softmax() -> None:
    random = np.random.default_rng(2)
    logits = random.normal(size=(6, 10)).astype(np.float32) * 3
    matches = match(["ant", "crane", "wasp", "bee", "box", "ants"], NAMES, 10)
    codes = random.normal(size=(6, 4)).astype(np.float32)
    scores = score(codes, logits, Learnable.of([]), matches)
    shares = np.exp(logits.astype(np.float64))
    shares /= shares.sum(axis=1, keepdims=True)
    assert scores.confidence is not None
    assert scores.height is not None
    assert scores.log_likelihood is not None
    assert scores.known is not None
    assert scores.right is not None
    assert scores.agreed is None
    assert np.allclose(scores.confidence, shares.max(axis=1))
    assert np.allclose(scores.height, stats.zscore(logits, axis=1).max(axis=1), atol=1e-5)
    assert np.isclose(scores.log_likelihood[1], np.log(shares[1, 4] + shares[1, 5])), "both cranes"
    assert scores.log_likelihood[2] == np.log(1e-4), "it is no class"
    assert scores.known.tolist() == [True, True, False, True, True, True]
    first = logits.argmax(axis=1)
    assert scores.right[0] == (first[0] == 1)
    louder = score(codes, logits * 50, Learnable.of([]), None)
    assert louder.height is not None
    assert louder.confidence is not None
    assert np.allclose(louder.height, scores.height), "scaling inputs alone gains nothing"
    assert louder.confidence.mean() > 0.99


def test_paired_tests_are_scipys() -> None:
    random = np.random.default_rng(8)
    old = random.normal(size=80)
    new = old + random.normal(0.1, 0.5, size=80)
    mean, p = gain(new, old)
    theirs = stats.ttest_rel(new, old, alternative="greater").pvalue
    assert mean == pytest.approx((new - old).mean())
    assert p == pytest.approx(theirs, rel=0.2), "normal for Student's t of 79 degrees"
    assert gain(old, old) == (0.0, 1.0)
    certain = gain(old + 1, old)
    assert certain[0] == pytest.approx(1.0)
    assert certain[1] == 0.0
    right, wrong = random.random(90) < 0.8, random.random(90) < 0.6
    won, lost = int((right & ~wrong).sum()), int((wrong & ~right).sum())
    exact = stats.binomtest(won, won + lost, alternative="greater").pvalue
    assert more_often(right, wrong) == pytest.approx(exact)
    assert more_often(right, right) == 1.0


STORED = PRESETS["imagenet"].of(assumed((224, 224)))
OTHER = PRESETS["tensorflow"].of(STORED)


def scored(
    *, height: float, confidence: float = 0.7, agreed: int = 38, right: int | None = None
) -> Scores:
    """40 photos; `agreed` and `right` of them."""
    spread_out = np.linspace(-0.2, 0.2, 40)
    rows = np.arange(40)
    return Scores(
        right=None if right is None else rows < right,
        known=None if right is None else np.ones(40, np.bool_),
        log_likelihood=None if right is None else np.where(rows < right, -0.3, -3.0),
        confidence=np.full(40, confidence),
        height=height + spread_out * (rows % 3),
        agreed=rows < agreed,
    )


def better(new: Scores, old: Scores, *, wide: bool = False, share: float = 0.5) -> bool:
    recipe = PRESETS["raw"].of(STORED) if wide else OTHER
    return fits_better(Tried(recipe, new), Tried(STORED, old), n_tried=14, largest_share=share)


def test_without_class_names_a_higher_first_logit_tells() -> None:
    old = scored(height=7.0)
    assert better(scored(height=8.0), old)
    assert not better(scored(height=7.1), old), "too little"
    assert not better(scored(height=6.0), old)
    assert not better(scored(height=8.0, confidence=0.3), old), "it knows nothing of such photos"
    assert not better(scored(height=8.0, agreed=30), old), "its codes tell labels worse"
    even = scored(height=8.0, agreed=22)
    assert not better(even, scored(height=7.0, agreed=22)), "nothing tells these labels apart"
    assert not better(scored(height=8.0), old, share=0.95), "naming one label does as well"


def test_wider_inputs_must_show_in_the_codes() -> None:
    assert not better(scored(height=9.0, confidence=0.99), scored(height=7.0), wide=True)
    assert better(scored(height=9.0, agreed=39), scored(height=7.0, agreed=22), wide=True)


def test_with_class_names_likelihood_decides() -> None:
    old = scored(height=7.0, right=20)
    assert better(scored(height=7.0, right=36), old), "far more are right"
    assert not better(scored(height=7.0, right=21), old), "one photo is luck"
    assert better(scored(height=8.0, right=21), old), "no less likely, and standing out more"
    assert not better(scored(height=8.0, right=18), old), "standing out, but for other classes"
    assert not better(scored(height=8.0, right=1), scored(height=7.0, right=0)), "it knows none"


def test_without_classes_the_probe_alone_tells() -> None:
    def only(agreed: int) -> Scores:
        return Scores(agreed=np.arange(40) < agreed)

    assert better(only(38), only(20))
    assert not better(only(24), only(20))
    assert merit(only(20)) == 0.5


def test_few_photos_tell_nothing() -> None:
    few = Scores(agreed=np.ones(19, np.bool_))
    assert not better(few, Scores(agreed=np.zeros(19, np.bool_)))
