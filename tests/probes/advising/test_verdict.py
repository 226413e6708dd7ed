"""The verdict: its rules, and how often it is wrong where the truth is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtri

from icecore.probes.advising.deciding import MOST, Outcome
from icecore.probes.advising.verdict import HOG, MAJORITY, PIXELS, TWIN, Verdict, verdict
from icecore.probes.errors import InputInvalid

Answers = dict[str, np.ndarray]


def answers(
    random: np.random.Generator,
    n: int,
    accuracies: tuple[float, float, float, float],
    twins: tuple[float, ...],
) -> tuple[np.ndarray, Answers]:
    """Draw the transfer's answers and the baselines'; images are hard for all or easy for all."""
    easy = np.sqrt(0.5) * random.normal(size=n)

    def right(accuracy: float) -> np.ndarray:
        return np.asarray(easy + np.sqrt(0.5) * random.normal(size=n) < ndtri(accuracy))

    transfer, majority, pixels, hog = map(right, accuracies)
    return transfer, {
        MAJORITY: majority,
        PIXELS: pixels,
        HOG: hog,
        TWIN: np.stack([right(accuracy) for accuracy in twins]),
    }


def judged(transfer: np.ndarray, baselines: Answers, margin: float = 0.02) -> Verdict:
    return verdict(transfer, baselines, np.arange(len(transfer)), n_folds=5, margin=margin)


def drawn(n: int, accuracies: tuple[float, float, float, float], twin: float) -> Verdict:
    return judged(*answers(np.random.default_rng(0), n, accuracies, (twin,) * 3))


def test_a_clear_gain_over_all_is_positive() -> None:
    found = drawn(300, (0.9, 0.5, 0.6, 0.7), 0.65)
    assert (found.kind, found.limiting) == (Outcome.POSITIVE, HOG)
    assert found.more_images is None
    assert all(0.0 < each.low < each.difference < each.high for each in found.comparisons)
    assert all(each.p < 0.05 for each in found.comparisons)
    assert [each.baseline for each in found.comparisons] == [MAJORITY, PIXELS, HOG, TWIN]


def test_one_baseline_that_is_not_beaten_withholds_it() -> None:
    """Each of them in its turn, and it is named."""
    for place, name in enumerate([MAJORITY, PIXELS, HOG]):
        beaten = [0.9, 0.5, 0.5, 0.5]
        beaten[place + 1] = 0.88
        found = drawn(200, (beaten[0], beaten[1], beaten[2], beaten[3]), 0.5)
        assert (found.kind, found.limiting) == (Outcome.UNDECIDED, name)
    found = drawn(200, (0.9, 0.5, 0.5, 0.5), 0.9)
    assert (found.kind, found.limiting) == (Outcome.UNDECIDED, TWIN)


def test_one_baseline_that_wins_makes_it_negative() -> None:
    found = drawn(300, (0.6, 0.3, 0.5, 0.85), 0.4)
    assert (found.kind, found.limiting) == (Outcome.NEGATIVE, HOG)


def test_equal_answers_on_many_images_are_no_gain() -> None:
    transfer, baselines = answers(np.random.default_rng(0), 500, (0.9, 0.5, 0.6, 0.9), (0.6,) * 3)
    found = judged(transfer, {**baselines, HOG: transfer})
    assert (found.kind, found.limiting) == (Outcome.NO_GAIN, HOG)


def test_a_gain_below_the_margin_is_no_gain_also_where_it_is_shown() -> None:
    """Of 20,000 images 1 in 100 is gained and none lost."""
    pixels = np.arange(20_000) < 18_000
    found = judged(np.arange(20_000) < 18_200, {PIXELS: pixels})
    assert found.comparisons[0].low > 0.0
    assert found.kind == Outcome.NO_GAIN
    assert judged(np.arange(20_000) < 18_200, {PIXELS: pixels}, 0.005).kind == Outcome.POSITIVE
    assert judged(pixels, {PIXELS: np.arange(20_000) < 18_200}).kind == Outcome.NO_GAIN


@pytest.mark.parametrize("n", [1, 2, 4, 10])
def test_few_images_decide_nothing_but_the_plainest(n: int) -> None:
    """No division by zero where all are right, all wrong or all alike, and no certainty."""
    right, wrong = np.ones(n, bool), np.zeros(n, bool)
    twins = np.stack([wrong] * 3)
    for transfer, other in ((right, right), (wrong, wrong), (right, wrong), (wrong, right)):
        found = judged(transfer, {MAJORITY: other, PIXELS: other, HOG: other, TWIN: twins})
        for each in found.comparisons:
            assert -1.0 <= each.low <= each.difference <= each.high <= 1.0
            assert each.high - each.low > 0.1
            assert 0.0 < each.p < 1.0
        if n < 10 or transfer is other:
            assert found.kind == Outcome.UNDECIDED


def test_copies_of_images_decide_nothing_new() -> None:
    transfer, baselines = answers(np.random.default_rng(1), 60, (0.8, 0.5, 0.6, 0.7), (0.6,) * 3)
    once = judged(transfer, baselines)
    thrice = verdict(
        np.repeat(transfer, 3),
        {name: np.repeat(each, 3, axis=-1) for name, each in baselines.items()},
        np.repeat(np.arange(60), 3),
        n_folds=5,
    )
    for one, other in zip(once.comparisons, thrice.comparisons, strict=True):
        np.testing.assert_allclose([one.low, one.high], [other.low, other.high], rtol=1e-9)
    assert once.kind == thrice.kind
    assert replace(once, n_images=180).limiting == thrice.limiting


def test_seeds_that_differ_widely_say_less() -> None:
    """The mean is the same; only how far a fourth seed might be from it is not."""
    random = np.random.default_rng(2)
    transfer, baselines = answers(random, 2000, (0.75, 0.5, 0.5, 0.5), (0.7, 0.7, 0.7))
    close = judged(transfer, baselines)
    wide = judged(transfer, answers(random, 2000, (0.75, 0.5, 0.5, 0.5), (0.6, 0.7, 0.8))[1])
    assert close.kind == Outcome.POSITIVE
    assert close.comparisons[-1].accuracy.estimate == pytest.approx(baselines[TWIN].mean())
    assert (wide.kind, wide.limiting) == (Outcome.UNDECIDED, TWIN)
    assert wide.more_images is None, "more images make no more seeds"


def test_a_p_agrees_with_its_bound() -> None:
    for seed in range(40):
        random = np.random.default_rng(seed)
        found = judged(*answers(random, 100, (0.7, 0.5, 0.6, 0.6), (0.55, 0.6, 0.65)))
        for each in found.comparisons:
            assert (each.p < 0.05) == (each.low > 0.0)


def test_random_answers_are_rarely_positive() -> None:
    """400 trials, seeds 0..399: all by chance, or one network of four that are drawn alike.

    The latter against twins alone, seeds differing by 3 points. 5 % would be 20; the tests
    are cautious, and find 2 at most.
    """
    positive = 0
    for seed in range(400):
        random = np.random.default_rng(seed)
        n = int(random.integers(30, 200))
        if seed % 2:
            found = judged(*answers(random, n, (0.5,) * 4, (0.5,) * 3))
        else:
            of = 0.6 + 0.03 * random.normal(size=4)
            transfer, baselines = answers(random, n, (of[0], 0.5, 0.5, 0.5), tuple(of[1:]))
            found = judged(transfer, {TWIN: baselines[TWIN]})
        positive += found.kind == Outcome.POSITIVE
    assert positive <= 5


def test_the_number_told_decides() -> None:
    """A true gain of 15 points, seeds 0..59: at the number told, four of five are POSITIVE."""
    again = []
    for seed in range(60):
        random = np.random.default_rng(seed)
        gain = ((0.85, 0.5, 0.6, 0.7), (0.66, 0.65, 0.64))
        first = judged(*answers(random, 80, *gain))
        if first.more_images is not None:
            assert first.kind == Outcome.UNDECIDED
            assert 0 < first.more_images <= (MOST - 1) * 80
            again.append(judged(*answers(random, 80 + first.more_images, *gain)).kind)
    assert len(again) >= 12
    assert np.mean([kind == Outcome.POSITIVE for kind in again]) >= 0.8


def test_the_number_is_that_of_nine_tenths_power() -> None:
    """Worked out for one baseline: 20 of 100 images gained, 10 lost.

    Shrunk, the difference is .1 x 100 / 102 x .89 = .087. It must exceed 1.645 errors as the
    test sees them, which are 1.5 times those of the images to come, and 1.28 of the latter,
    .54 each on one image: 540 images, in the limit of many.
    """
    both = np.arange(100) < 55
    transfer = both | (np.arange(100) >= 80)
    found = judged(transfer, {HOG: both | ((np.arange(100) >= 60) & (np.arange(100) < 70))})
    assert found.comparisons[0].difference == pytest.approx(0.1)
    assert found.more_images == pytest.approx(440, rel=0.12)


def test_a_difference_at_the_margin_is_told_no_number() -> None:
    found = judged(np.arange(200) < 124, {HOG: np.roll(np.arange(200) < 120, 40)})
    assert (found.kind, found.more_images) == (Outcome.UNDECIDED, None)


def test_the_same_answers_give_the_same_verdict() -> None:
    drawn_twice = [drawn(80, (0.8, 0.5, 0.6, 0.68), 0.6) for _ in range(2)]
    assert drawn_twice[0] == drawn_twice[1]


def test_wrong_arguments_are_named() -> None:
    right = np.ones(4, bool)
    groups = np.arange(4)
    with pytest.raises(InputInvalid, match=r"answers of 'hog' are of shape \(3,\)"):
        verdict(right, {HOG: right[:3]}, groups, n_folds=5)
    with pytest.raises(InputInvalid, match="answers of the transfer are not all from 0 to 1"):
        verdict(right * 2.0, {HOG: right}, groups, n_folds=5)
    with pytest.raises(InputInvalid, match=r"baselines \(0\)"):
        verdict(right, {}, groups, n_folds=5)
    with pytest.raises(InputInvalid, match=r"a margin between 0 and 1 \(1\)"):
        verdict(right, {HOG: right}, groups, n_folds=5, margin=1.0)
