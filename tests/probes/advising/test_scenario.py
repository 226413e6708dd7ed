"""The two by two, and the two measures of likeness."""

from typing import Any

import numpy as np
import pytest

from icecore.probes.advising import scenario as module
from icecore.probes.advising.scenario import (
    FEW,
    MANY,
    Recommendation,
    Scenario,
    Similarity,
    Size,
)
from icecore.probes.advising.sufficiency import MoreImages
from icecore.probes.errors import CodesInvalid, InputInvalid
from icecore.probes.intervals import paired_difference


def scenario(class_sizes: list[int], right: np.ndarray, **more: Any) -> Scenario:
    """Return the scenario of images that are all different, unless groups are given."""
    more.setdefault("groups", np.arange(sum(class_sizes)))
    more.setdefault("groups_held", np.arange(right.shape[-1]))
    return module.scenario(class_sizes, right, **more)


def logits_of(confidence: float, n: int, spread: float = 0.0) -> np.ndarray:
    """Return logits over 1,000 classes whose softmax has this largest value, on average."""
    signs = np.where(np.arange(n) % 2, 1.0, -1.0)
    best = np.clip(confidence + spread * signs, 0.01, 0.99)
    logits = np.zeros((n, 1000), np.float32)
    logits[np.arange(n), np.arange(n) % 1000] = np.log(best * 999 / (1 - best))
    return logits


def right_of(accuracies: list[float], h: int = 400) -> np.ndarray:
    """Return which images each layer gets right; the easy ones are the same for all."""
    difficulty = np.random.default_rng(0).random(h)
    return np.array([difficulty < accuracy for accuracy in accuracies])


LEVEL = right_of([0.5, 0.7, 0.8, 0.8, 0.8])
EARLIER_BETTER = right_of([0.5, 0.7, 0.9, 0.85, 0.7])
LAST_BETTER = right_of([0.5, 0.6, 0.7, 0.75, 0.9])


@pytest.mark.parametrize(
    ("n", "confidence", "wanted"),
    [
        (400, 0.70, (Size.SMALL, Similarity.SIMILAR, Recommendation.PROBE_AT_LAST)),
        (400, 0.37, (Size.SMALL, Similarity.PARTLY, Recommendation.PROBE_AT_ANY)),
        (400, 0.20, (Size.SMALL, Similarity.DIFFERENT, Recommendation.PROBE_EARLIER)),
        (20_000, 0.70, (Size.LARGE, Similarity.SIMILAR, Recommendation.FINE_TUNE)),
        (20_000, 0.37, (Size.LARGE, Similarity.PARTLY, Recommendation.FINE_TUNE)),
        (20_000, 0.20, (Size.LARGE, Similarity.DIFFERENT, Recommendation.FINE_TUNE_WHOLE)),
    ],
)
def test_every_cell_has_its_recommendation(
    n: int, confidence: float, wanted: tuple[Size, Similarity, Recommendation]
) -> None:
    found = scenario(
        [n // 4, n - n // 4],
        LEVEL,
        advice=MoreImages.COLLECT_MORE,
        logits=logits_of(confidence, n),
        own_accuracy=0.7,
    )
    assert (found.size, found.similarity, found.recommendation) == wanted
    assert found.n_images == n
    assert found.familiarity is not None
    assert found.familiarity.value == pytest.approx(confidence / 0.7, rel=1e-4)


@pytest.mark.parametrize(
    ("n", "advice", "size"),
    [
        (FEW - 1, MoreImages.CEILING, Size.SMALL),
        (FEW, MoreImages.CEILING, Size.LARGE),
        (FEW, MoreImages.ENOUGH, Size.LARGE),
        (FEW, MoreImages.COLLECT_MORE, Size.SMALL),
        (MANY - 1, MoreImages.UNDECIDED, Size.SMALL),
        (MANY, MoreImages.UNDECIDED, Size.LARGE),
    ],
)
def test_between_few_and_many_the_learning_curve_tells(
    n: int, advice: MoreImages, size: Size
) -> None:
    assert scenario([n], LEVEL, advice=advice).size is size


@pytest.mark.parametrize(
    ("right", "similarity"),
    [
        (LEVEL, Similarity.PARTLY),
        (EARLIER_BETTER, Similarity.DIFFERENT),
        (LAST_BETTER, Similarity.SIMILAR),
    ],
)
def test_without_logits_the_depths_tell(right: np.ndarray, similarity: Similarity) -> None:
    found = scenario([200, 200], right, advice=MoreImages.UNDECIDED)
    assert found.similarity is similarity
    assert found.familiarity is None
    assert not found.is_contradicted, "it is what they say"


@pytest.mark.parametrize(
    ("confidence", "right", "is_contradicted"),
    [
        (0.2, LAST_BETTER, True),
        (0.2, EARLIER_BETTER, False),
        (0.2, LEVEL, False),
        (0.7, EARLIER_BETTER, True),
        (0.7, LAST_BETTER, False),
        (0.37, EARLIER_BETTER, False),
    ],
)
def test_the_images_may_contradict_the_rule_of_thumb(
    confidence: float, right: np.ndarray, is_contradicted: bool
) -> None:
    found = scenario(
        [400], right, advice=MoreImages.COLLECT_MORE, logits=logits_of(confidence, 400)
    )
    assert found.is_contradicted is is_contradicted


def test_the_best_of_many_equal_layers_gains_nothing() -> None:
    """Fifty layers of the same accuracy, errors apart: the best looks .05 better than it is."""
    random = np.random.default_rng(0)
    right = random.random((50, 300)) < 0.7
    naive = right[:40].mean(axis=1).max() - right[-1].mean()
    found = scenario([300], right, advice=MoreImages.UNDECIDED).earlier_gain
    assert naive > 0.04
    assert found.value < naive - 0.02
    assert found.low < 0.0 < found.high


@pytest.mark.parametrize("confidence", [0.29, 0.45])
def test_few_images_of_uneven_confidence_are_not_put_to_either_side(confidence: float) -> None:
    """Five of them; a thousand of the same confidences do tell."""
    logits = logits_of(confidence, 5, spread=0.25)
    found = scenario([5], LEVEL, advice=MoreImages.UNDECIDED, logits=logits)
    assert found.similarity is Similarity.PARTLY
    many = logits_of(confidence, 1000, spread=0.25)
    told = scenario([1000], LEVEL, advice=MoreImages.UNDECIDED, logits=many)
    assert told.similarity is not Similarity.PARTLY


def test_a_network_of_one_depth_and_no_images_held_out_are_no_trouble() -> None:
    for right in (LEVEL[:1], LEVEL[:, :0]):
        gain = scenario([400], right, advice=MoreImages.UNDECIDED).earlier_gain
        assert (gain.low, gain.high) == (-1.0, 1.0)


def copied(found: np.ndarray, copies: int, in_place: bool) -> np.ndarray:
    return np.repeat(found, copies, axis=-1) if in_place else np.tile(found, copies)


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("copies", [2, 8, 400])
@pytest.mark.parametrize("seed", range(4))
def test_writing_every_image_several_times_changes_nothing(
    seed: int, copies: int, in_place: bool
) -> None:
    """Sixty images, six layers whose errors are apart, with and without logits."""
    random, n = np.random.default_rng(seed), 60
    right = random.random((6, n)) < np.array([0.5, 0.6, 0.75, 0.7, 0.6, 0.6])[:, None]
    logits = random.normal(size=(n, 40)) * 2.0
    rows = copied(np.arange(n), copies, in_place)
    for own in (None, logits):
        once, often = (
            scenario(
                [len(chosen)],
                right[:, chosen],
                groups=chosen,
                groups_held=chosen,
                advice=MoreImages.UNDECIDED,
                logits=None if own is None else own[chosen],
            )
            for chosen in (np.arange(n), rows)
        )
        assert (often.size, often.similarity, often.recommendation, often.is_contradicted) == (
            *(once.size, once.similarity, once.recommendation, once.is_contradicted),
        )
        for one, other in (
            (once.earlier_gain, often.earlier_gain),
            (once.familiarity, often.familiarity),
        ):
            if one is not None and other is not None:
                assert (other.value, other.low, other.high) == pytest.approx(
                    (one.value, one.low, one.high), abs=1e-9
                )


def test_images_left_out_are_copies_as_often_as_those_judged() -> None:
    """A thousand of which every two are one image are five hundred: few."""
    once = {"advice": MoreImages.CEILING, "n_labelled": FEW}
    assert scenario([400], LEVEL, **once).size is Size.LARGE
    assert scenario([400], LEVEL, groups=np.arange(400) // 2, **once).size is Size.SMALL


def test_the_interval_of_the_earlier_gain_knows_of_folds() -> None:
    """It is that of 400 / 1.75 images that nothing shared, by Newcombe's method."""
    right = np.vstack([EARLIER_BETTER[2], EARLIER_BETTER[-1]])
    gain = scenario([400], right, advice=MoreImages.UNDECIDED).earlier_gain
    first, second = right[1].mean(), right[0].mean()
    cells = np.array([first, 0.0, second - first, 1.0 - second]) * 400 / 1.75
    assert (gain.low, gain.high) == pytest.approx(paired_difference(*cells))


@pytest.mark.parametrize(("n", "least"), [(2, 0.5), (10, 0.2), (400, 0.01)])
def test_a_few_images_that_agree_are_no_certainty(n: int, least: float) -> None:
    found = scenario([n], LEVEL[:, :n], advice=MoreImages.UNDECIDED, logits=logits_of(0.3, n))
    seen = found.familiarity
    assert seen is not None
    assert least < seen.high - seen.low < 4 * least
    assert seen.low <= seen.value <= seen.high
    assert found.similarity is (Similarity.DIFFERENT if n == 400 else Similarity.PARTLY)


def test_large_logits_do_not_overflow() -> None:
    found = scenario([4], LEVEL, advice=MoreImages.UNDECIDED, logits=logits_of(0.5, 4) * 1e4)
    assert found.familiarity is not None
    assert found.familiarity.value == pytest.approx(1 / 0.7)


@pytest.mark.parametrize(
    ("right", "own_accuracy", "said"),
    [(LEVEL[0], 0.7, "right"), (LEVEL[:0], 0.7, "right"), (LEVEL, 0.0, "own"), (LEVEL, 1.1, "own")],
)
def test_wrong_arguments_are_named(right: np.ndarray, own_accuracy: float, said: str) -> None:
    with pytest.raises(InputInvalid, match=said):
        scenario([400], right, advice=MoreImages.UNDECIDED, own_accuracy=own_accuracy)


@pytest.mark.parametrize("which", ["groups", "groups_held"])
def test_a_group_an_image_is_wanted(which: str) -> None:
    with pytest.raises(InputInvalid, match="groups"):
        scenario([400], LEVEL, advice=MoreImages.UNDECIDED, **{which: np.arange(399)})


@pytest.mark.parametrize(
    "logits",
    [logits_of(0.5, 3), logits_of(0.5, 4)[0], np.zeros((4, 5), int), np.full((4, 5), np.nan)],
)
def test_wrong_logits_are_named(logits: np.ndarray) -> None:
    with pytest.raises(CodesInvalid, match="logits"):
        scenario([2, 2], LEVEL, advice=MoreImages.UNDECIDED, logits=logits)
