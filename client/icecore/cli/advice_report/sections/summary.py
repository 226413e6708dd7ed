"""The top of the page: what to do, and how good it will be."""

import re
from typing import Final

from icecore.cli.advice_report import figures, places
from icecore.cli.advice_report.markup import Markup, join, named, paragraphs, section, tag
from icecore.cli.advice_report.words import standing, steps, verdict
from icecore.cli.advice_report.words.commands import UNKNOWN, Origin
from icecore.cli.advice_report.words.glossary import CAUTION
from icecore.cli.advice_report.words.stance import headline
from icecore.client.advice_values import Advice

_OPTION: Final = re.compile(r"(?<=\s)(--[a-z-]+)(?=\s|$)", re.MULTILINE)


def introduction(advice: Advice) -> Markup:
    """Return the title, and which images it is about."""
    of_images = (
        f"{figures.count(advice.n_images, 'labelled image')} of "
        f"{figures.count(len(advice.classes), 'class', 'classes')}"
    )
    return join(
        tag("h1", "Can a ready-made network tell these images apart?"),
        tag("p", f"Collection {named(advice.collection_id)}: {of_images}", class_="quiet"),
    )


def to_do(advice: Advice, origin: Origin = UNKNOWN) -> Markup:
    """Return the box that tells what to do."""
    found = steps.steps(advice, origin)
    kind = advice.verdict.kind
    return tag(
        "section",
        tag("h2", "What to do", id="to-do"),
        tag("p", headline(advice), class_="answer"),
        tag("p", tag("b", standing.label(advice), class_="chip"), " ", standing.answers(advice)),
        tag("p", CAUTION),
        tag("ol", *(tag("li", one.text, _commands(one)) for one in found)),
        tag(
            "p",
            "A point is one image of a hundred. The verdict in a word: ",
            tag("b", kind),
            f", {verdict.MEANINGS[kind]}",
            class_="quiet",
        ),
        class_=f"lead {kind.lower()}",
        aria_labelledby="to-do",
    )


def how_good(advice: Advice) -> Markup:
    """Return what to expect of the probe, and what was done to find that out."""
    names = places.backbones(advice)
    if len(names) == 1:
        took = f"a network ({named(names[0])}) that others have trained"
        read = "what it sees in yours"
        kept = "The network itself was"
    else:
        took = f"{len(names)} networks that others have trained"
        read = "what they see in yours"
        kept = "The networks themselves were"
    beside = steps.further(advice)
    more = (
        join(
            tag("h3", "What else there is to know"), tag("ul", *(tag("li", one) for one in beside))
        )
        if beside
        else Markup("")
    )
    return section(
        "good",
        "How good will it be?",
        paragraphs(
            verdict.expectation(advice),
            f"To find that out icecore took {took} on other images, and read {read} at "
            f"{figures.count(len(advice.layers), 'place')}: {places.counted(advice)}, from depth "
            "1, right behind the image, to the last. At each place a small classifier, a probe, "
            f"learnt your classes from a part of the images and was tested on the rest. {kept} not "
            "changed.",
        ),
        more,
    )


def _commands(step: steps.Step) -> Markup:
    if not step.commands:
        return Markup("")
    parts = _OPTION.split("\n".join(step.commands))
    # Every second one is an option, which no line may end in the middle of.
    told = (tag("span", part) if place % 2 else part for place, part in enumerate(parts))
    return tag("pre", tag("code", *told))
