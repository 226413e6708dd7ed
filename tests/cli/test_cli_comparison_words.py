"""Two versions in words: what is said over all classes is not said of those that both know."""

import pytest

from icecore.cli.comparison_words import after_figures, before_figures
from icecore.client import Accuracy, Comparison, Difference, SharedClasses

SOME = Accuracy(0.8, 0.7, 0.9)
WASP = ("wasp",)


def compared(
    points: int,
    *,
    only_in_a: tuple[str, ...] = (),
    only_in_b: tuple[str, ...] = (),
    shared: SharedClasses | None = None,
) -> Comparison:
    """On 1,000 images the second version is better by so many points, give or take 5."""
    return Comparison(
        probe_id="cells",
        version_a=1,
        version_b=2,
        collection_id="cells",
        n_images=1000,
        n_different_images=1000,
        n_new_to_a=0,
        n_new_to_b=0,
        n_new_to_both=0,
        n_left_out=0,
        accuracy_a=SOME,
        accuracy_b=SOME,
        n_both_right=600,
        n_only_a_right=200 - 5 * points,
        n_only_b_right=200 + 5 * points,
        n_neither_right=0,
        difference=difference(points),
        classes_only_in_a=only_in_a,
        classes_only_in_b=only_in_b,
        shared=shared,
    )


def shared(points: int, n_images: int = 800) -> SharedClasses:
    return SharedClasses(n_images, SOME, SOME, difference(points))


def difference(points: int) -> Difference:
    return Difference(points / 100, (points - 5) / 100, (points + 5) / 100)


def test_versions_of_the_same_classes_are_told_in_a_sentence_after_the_figures() -> None:
    assert not before_figures(compared(10))
    assert after_figures(compared(10)) == [
        "version 2 is better: version 2 minus version 1 is +10.0 points (95 % interval +5.0 to "
        "+15.0)"
    ]
    (undecided,) = after_figures(compared(2))
    assert undecided.startswith("the images do not tell which is better: ")


def test_the_classes_that_both_know_come_first_and_then_why_all_say_something_else() -> None:
    found = compared(23, only_in_b=WASP, shared=shared(-2))
    assert before_figures(found) == [
        "on the 800 images of classes that both know: the images do not tell which is better: "
        "version 2 minus version 1 is -2.0 points (95 % interval -7.0 to +3.0)",
        "on all 1,000 images: version 2 is better: version 2 minus version 1 is +23.0 points "
        "(95 % interval +18.0 to +28.0); 200 of them are of a class that a version does not know, "
        "where it is wrong whatever it says: only version 2 knows 'wasp'",
    ]
    assert not after_figures(found), "it is said once"


@pytest.mark.parametrize(("of_all", "of_shared"), [(10, -10), (-10, 10), (0, 10), (10, 0)])
def test_each_verdict_is_of_its_own_images(of_all: int, of_shared: int) -> None:
    verdicts = {
        10: "version 2 is better: ",
        -10: "version 1 is better: ",
        0: "the images do not tell which is better: ",
    }
    found = compared(of_all, only_in_a=WASP, shared=shared(of_shared))
    first, second = before_figures(found)
    assert first.startswith("on the 800 images of classes that both know: " + verdicts[of_shared])
    assert second.startswith("on all 1,000 images: " + verdicts[of_all])


def test_who_knows_which_class_is_told_of_both_and_few_by_name() -> None:
    found = compared(5, only_in_a=("ant",), only_in_b=tuple("defghij"), shared=shared(0, 999))
    assert before_figures(found)[1].endswith(
        "; 1 of them is of a class that a version does not know, where it is wrong whatever it "
        "says: only version 1 knows 'ant' and only version 2 knows 'd', 'e', 'f', 'g', 'h' and 2 "
        "more"
    )


def test_where_no_image_is_of_another_class_the_figures_are_told_once() -> None:
    first, second = before_figures(compared(12, only_in_b=WASP, shared=shared(12, 1000)))
    assert first.startswith("on the 1,000 images of classes that both know: version 2 is better: ")
    assert second == "these are all images judged, though only version 2 knows 'wasp'"


def test_where_no_image_is_of_a_class_that_both_know_that_is_told() -> None:
    first, second = before_figures(compared(12, only_in_b=WASP))
    assert first == "none of the images judged is of a class that both know"
    assert second.startswith("on all 1,000 images: version 2 is better: ")
    assert "; 1,000 of them are of a class that a version does not know" in second
