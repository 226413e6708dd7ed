"""What costs less than a network, told in everyday words."""

from dataclasses import dataclass
from typing import Final

from icecore.cli.advice_report.markup import named

MAJORITY: Final = "majority"
PIXELS: Final = "pixels"
HOG: Final = "hog"
TWIN: Final = "random twin"


@dataclass(frozen=True, slots=True)
class Told:
    """A baseline in words.

    `phrase` fits into a sentence, `what` says what it means, `instead` what to do where it wins,
    `open` what is still possible where it is not beaten.
    """

    phrase: str
    what: str
    instead: str
    open: str


_TOLD: Final = {
    MAJORITY: Told(
        "always guessing the commonest class",
        "No looking at all: the class with the most images is named for every image.",
        "Check the labels, and whether the difference between the classes can be seen in the "
        "images at all.",
        "Guessing may do as well.",
    ),
    PIXELS: Told(
        "comparing raw pixels",
        "The image made small, and its pixel values used as they are. No network.",
        "Train a simple classifier on the pixels of the shrunken images. It needs no network, and "
        "icecore does not make it: scikit-learn is a tool that does.",
        "Raw pixels without a network may do as well.",
    ),
    HOG: Told(
        "comparing edges only (HOG)",
        "How many edges run in which direction, counted over parts of the image (“histogram of "
        "oriented gradients”). No network.",
        "Train a simple classifier on edges (HOG). It needs no network, and icecore does not make "
        "it: scikit-image and scikit-learn are tools that do.",
        "Edges without a network may do as well.",
    ),
    TWIN: Told(
        "the same network before it learnt anything",
        "The same construction filled with random numbers, three times over; the mean is shown.",
        "What this network learnt from other images is of no use here. Judge another one, best one "
        "that was trained on images more like yours.",
        "What the network learnt from other images may not matter.",
    ),
}


def told(name: str) -> Told:
    """Return the words for a baseline; one that is not known is called by its name."""
    known = _TOLD.get(name)
    if known is not None:
        return known
    called = named(name)
    return Told(
        f"the baseline {called}",
        "A cheaper way.",
        f"Use {called} instead.",
        f"The baseline {called} may do as well.",
    )


def in_plot(name: str, place: int) -> str:
    """Return the words for a plot, where no foreign name may stand."""
    known = _TOLD.get(name)
    return f"baseline {place + 1}" if known is None else known.phrase


def start(phrase: str) -> str:
    """Return a phrase as the beginning of a sentence."""
    return phrase[:1].upper() + phrase[1:]
