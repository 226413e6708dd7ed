"""Which classes are taken for which, from the counts of held-out answers."""

from dataclasses import dataclass

from icecore.cli.advice_report import figures
from icecore.cli.advice_report.markup import named
from icecore.client.advice_values import Advice, Confusion


@dataclass(frozen=True, slots=True)
class Mistake:
    """`n` of the `of` images of `label` were taken for `predicted`."""

    label: str
    predicted: str
    n: int
    of: int


@dataclass(frozen=True, slots=True)
class Recall:
    """`right` of the `of` images of a class were recognised."""

    label: str
    right: int
    of: int


def commonest(confusion: Confusion) -> list[Mistake]:
    """Return the mistakes that were made, most images first, then the larger share of a class."""
    found = [
        Mistake(confusion.classes[i], confusion.classes[j], n, sum(row))
        for i, row in enumerate(confusion.counts)
        for j, n in enumerate(row)
        if i != j and n
    ]
    return sorted(found, key=lambda one: (-one.n, -one.n / one.of, one.label, one.predicted))


def recalls(confusion: Confusion) -> list[Recall]:
    """Return of each class how many of its images were recognised, in order of the classes."""
    return [
        Recall(label, row[i], sum(row))
        for i, (label, row) in enumerate(zip(confusion.classes, confusion.counts, strict=True))
    ]


def told(mistake: Mistake) -> str:
    return (
        f"{mistake.n:,} of {figures.count(mistake.of, 'image')} of {named(mistake.label)} "
        f"{'was' if mistake.n == 1 else 'were'} taken for {named(mistake.predicted)}"
    )


def step(advice: Advice) -> str:
    """Return what to look at; "" where no image was named wrong."""
    found = commonest(advice.confusion)
    if not found:
        return ""
    return (
        "Look at the images that were named wrong (the report has pictures) and correct labels "
        f"that are not right. The commonest mistake: {told(found[0])}."
    )


def summary(confusion: Confusion) -> str:
    """Return how many images were named wrong."""
    n = sum(map(sum, confusion.counts))
    wrong = n - sum(one.right for one in recalls(confusion))
    if not n:
        return "No held-out answers came with this advice."
    if not wrong:
        return f"None of {figures.count(n, 'image')} was named wrong."
    return (
        f"{wrong:,} of {figures.count(n, 'image')} {'was' if wrong == 1 else 'were'} named wrong."
    )
