"""Two versions in words: what is said over all classes is not said of those that both know."""

import itertools

import pytest

from icecore.cli.comparison_words import classes_apart, which_is_better
from icecore.client import Accuracy, Comparison, Difference

SOME = Accuracy(0.8, 0.7, 0.9)
LABELS = ("", "ant", "bee", "wasp", *"defghij")
"""Of a collection with images of every class, and some without one."""


def compared(
    only_a_right: int,
    only_b_right: int,
    *,
    only_in_a: tuple[str, ...] = (),
    only_in_b: tuple[str, ...] = (),
) -> Comparison:
    estimate = (only_b_right - only_a_right) / 100
    return Comparison(
        probe_id="cells",
        version_a=1,
        version_b=2,
        collection_id="cells",
        n_images=100,
        n_different_images=100,
        n_new_to_a=0,
        n_new_to_b=0,
        n_new_to_both=0,
        n_left_out=0,
        accuracy_a=SOME,
        accuracy_b=SOME,
        n_both_right=60,
        n_only_a_right=only_a_right,
        n_only_b_right=only_b_right,
        n_neither_right=40 - only_a_right - only_b_right,
        difference=Difference(estimate, estimate - 0.05, estimate + 0.05),
        classes_only_in_a=only_in_a,
        classes_only_in_b=only_in_b,
    )


def test_versions_of_the_same_classes_are_told_in_a_sentence() -> None:
    found = compared(4, 14)
    assert not classes_apart(found, LABELS)
    assert which_is_better(found, LABELS) == [
        "version 2 is better: version 2 minus version 1 is +10.0 points (95 % interval +5.0 to "
        "+15.0)"
    ]
    assert which_is_better(compared(4, 6), LABELS)[0].startswith(
        "the images do not tell which is better:"
    )


def test_different_classes_are_told_with_whom_they_count_against_and_the_way_out() -> None:
    lines = classes_apart(compared(0, 9, only_in_a=("ant",), only_in_b=tuple("defghij")), LABELS)
    assert lines == [
        "only version 1 knows 'ant': on images of these version 2 is wrong, whatever it says",
        "only version 2 knows 'd', 'e', 'f', 'g', 'h' and 2 more: on images of these version 1 is "
        "wrong, whatever it says",
        "so the figures below are over all classes, not over those that both know; for these, "
        "compare on a collection that has no others (--collection C)",
    ]


def test_where_no_image_is_of_such_a_class_the_figures_are_of_those_that_both_know() -> None:
    found = compared(3, 12, only_in_b=("wasp",))
    assert classes_apart(found, ("ant", "bee")) == [
        "only version 2 knows 'wasp'",
        "collection 'cells' has no images of such classes: the figures below are over the classes "
        "that both know",
    ]
    (only,) = which_is_better(found, ("ant", "bee"))
    assert only.startswith("version 2 is better: ")


AHEAD = "on the classes that both know version {} is ahead by as much or more"
IN_PART = (
    "the lead of version {} may be, in part or whole, of images of classes that version {} does "
    "not know"
)


@pytest.mark.parametrize(
    ("only_right", "only_in_a", "only_in_b", "said"),
    [
        ((3, 12), (), ("wasp",), IN_PART.format(2, 1)),
        ((12, 3), ("wasp",), (), IN_PART.format(1, 2)),
        ((12, 3), (), ("wasp",), AHEAD.format(1)),
        ((3, 12), ("wasp",), (), AHEAD.format(2)),
        ((5, 5), (), ("wasp",), "on the classes that both know version 2 is not ahead"),
    ],
)
def test_what_follows_for_the_classes_that_both_know_is_told(
    only_right: tuple[int, int],
    only_in_a: tuple[str, ...],
    only_in_b: tuple[str, ...],
    said: str,
) -> None:
    first, second = which_is_better(
        compared(*only_right, only_in_a=only_in_a, only_in_b=only_in_b), LABELS
    )
    assert first.startswith("over all classes ")
    assert second == said


def test_where_each_knows_a_class_of_its_own_nothing_follows() -> None:
    (only,) = which_is_better(compared(3, 12, only_in_a=("ant",), only_in_b=("wasp",)), LABELS)
    assert only.startswith("over all classes version 2 is better: ")


def test_what_is_said_of_the_classes_that_both_know_holds_whatever_the_images_are() -> None:
    """Of every split of 6 images between shared classes and one that only version 2 knows."""
    outcomes = [(a, b) for a in (False, True) for b in (False, True)]
    for n_own in (1, 2):
        of_shared = itertools.product(outcomes, repeat=4)
        of_own = list(itertools.product((False, True), repeat=n_own))
        for shared, own in itertools.product(of_shared, of_own):
            answers = [*shared, *((False, is_right) for is_right in own)]
            only_a = sum(a and not b for a, b in answers)
            only_b = sum(b and not a for a, b in answers)
            lead_of_b = sum(b - a for a, b in shared)
            _, said = which_is_better(compared(only_a, only_b, only_in_b=("wasp",)), LABELS)
            if said == AHEAD.format(1):
                assert -lead_of_b / len(shared) >= (only_a - only_b) / len(answers)
            elif said != IN_PART.format(2, 1):
                assert lead_of_b <= 0
