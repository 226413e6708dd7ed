"""The mistakes: which class is taken for which, and what such images look like."""

from collections.abc import Sequence
from typing import Final

from icecore.cli.advice_report import figures
from icecore.cli.advice_report.drawings.matrix import draw_matrix
from icecore.cli.advice_report.markup import (
    Markup,
    join,
    label,
    named,
    paragraphs,
    plain,
    section,
    tag,
    thumbnail,
)
from icecore.cli.advice_report.tables import Row, folded, table
from icecore.cli.advice_report.words import mistakes as words
from icecore.cli.advice_report.words.recall_range import recall
from icecore.client.advice_values import Advice, ConfusedImage, Confusion

CELLS: Final = 12
"""Classes whose matrix is a table with figures; of more it is a picture of shades."""

LISTED: Final = 20
PAIRS: Final = 8
EACH: Final = 6
"""Mistakes that are listed, that are shown with pictures, and pictures for each."""


def mistakes(advice: Advice) -> Markup:
    """Return the matrix, the classes' recall, the commonest mistakes, and images of them."""
    confusion = advice.confusion
    found = words.commonest(confusion)
    few = len(confusion.classes) <= CELLS
    return section(
        "mistakes",
        "The mistakes",
        paragraphs(words.summary(confusion)),
        _matrix(confusion) if few else tag("figure", draw_matrix(confusion)),
        _recalls(advice, numbered=False)
        if few
        else folded("Every class", _recalls(advice, numbered=True)),
        _list(found[:LISTED]) if found and not few else Markup(""),
        _pictures(confusion, found[:PAIRS]),
    )


def _matrix(confusion: Confusion) -> Markup:
    rows = []
    for i, (name, row) in enumerate(zip(confusion.classes, confusion.counts, strict=True)):
        of = max(1, sum(row))
        cells = [
            tag(
                "td",
                f"{n:,}",
                class_="right" if i == j else None,
                style=f"background: rgba(var(--heat), {0.55 * n / of:.2f})",
            )
            for j, n in enumerate(row)
        ]
        rows.append(tag("tr", tag("th", label(name), scope="row"), *cells))
    heads = [tag("th", label(name), scope="col") for name in confusion.classes]
    caption = "Each row is what the images are, each column what they were named"
    inside = tag(
        "table",
        tag("caption", f"{caption}; framed cells are right."),
        tag("thead", tag("tr", tag("th", "is \\ named", scope="col"), *heads)),
        tag("tbody", *rows),
        class_="matrix",
    )
    return tag("div", inside, class_="wide", tabindex="0", role="group", aria_label=caption)


def _recalls(advice: Advice, *, numbered: bool) -> Markup:
    rows = []
    for i, one in enumerate(words.recalls(advice.confusion), 1):
        found = recall(advice, one.label, one.right, one.of)
        rows.append(
            Row(
                (
                    label(one.label),
                    *((str(i),) if numbered else ()),
                    f"{one.right:,} of {one.of:,}",
                    "" if found is None else figures.percent(found.estimate),
                    "" if found is None else figures.percent_range(found.low, found.high),
                )
            )
        )
    number = ("number",) if numbered else ()
    return table(
        "How many images of each class are recognised (recall)",
        ("class", *number, "recognised", "share", "95 % range"),
        rows,
    )


def _list(found: Sequence[words.Mistake]) -> Markup:
    return table(
        "The commonest mistakes",
        ("is", "was named", "images", "of"),
        [
            Row((label(one.label), label(one.predicted), f"{one.n:,}", f"{one.of:,}"))
            for one in found
        ],
        texts=2,
    )


def _pictures(confusion: Confusion, found: Sequence[words.Mistake]) -> Markup:
    shown = []
    n_shown = 0
    for one in found:
        wrong = _examples(confusion, one.label, one.predicted)
        if not wrong:
            continue
        n_shown += len(wrong[:EACH])
        both = (one.label, one.predicted)
        right = [image for name in both for image in _examples(confusion, name, name)[:2]]
        beside = (
            join(
                tag(
                    "p",
                    "Beside them, images of both classes that were named right:",
                    class_="quiet",
                ),
                tag("div", *(_figure(image) for image in right), class_="pictures fine"),
            )
            if right
            else Markup("")
        )
        shown.append(
            join(
                tag("h3", f"{words.told(one)}"),
                tag("div", *(_figure(image) for image in wrong[:EACH]), class_="pictures wrong"),
                beside,
            )
        )
    if not shown:
        return Markup("")
    n_wrong = sum(one.n for one in words.commonest(confusion))
    some = "" if n_shown == n_wrong else f" These are {n_shown:,} of the {n_wrong:,} mistakes."
    return join(
        paragraphs(
            "Look at each picture below: is the label right? Could you tell the class from this "
            f"picture alone?{some}"
        ),
        *shown,
    )


def _examples(confusion: Confusion, name: str, predicted: str) -> list[ConfusedImage]:
    return [one for one in confusion.examples if one.label == name and one.predicted == predicted]


def _figure(image: ConfusedImage) -> Markup:
    alt = f"{plain(image.example_id)}: is {named(image.label)}, was named {named(image.predicted)}"
    told = label(image.example_id)
    if image.label == image.predicted:
        told = join(label(image.label), tag("br"), told)
    return tag("figure", thumbnail(image.thumbnail, alt), tag("figcaption", told))
