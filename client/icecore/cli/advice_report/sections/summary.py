"""The top of the page: what was tried, and what to do."""

from icecore.cli.advice_report import figures, places
from icecore.cli.advice_report.markup import Markup, join, named, paragraphs, tag
from icecore.cli.advice_report.words import steps, verdict
from icecore.client.advice_values import Advice, VerdictKind

UNDECIDED = VerdictKind.UNDECIDED


def introduction(advice: Advice) -> Markup:
    """Return the title, and what was tried in words that need no explanation."""
    names = places.backbones(advice)
    n_places = sum(places.depths(advice, name) for name in names)
    if len(names) == 1:
        took = f"a network ({named(names[0])}) that others have trained"
        read = f"it sees in yours at {figures.count(n_places, 'place')}"
        kept = "The network itself was"
    else:
        took = f"{len(names)} networks that others have trained"
        read = f"they see in yours at {n_places} places in all"
        kept = "The networks themselves were"
    of_images = (
        f"{figures.count(advice.n_images, 'labelled image')} of "
        f"{figures.count(len(advice.classes), 'class', 'classes')}"
    )
    return join(
        tag("h1", "Can a ready-made network tell these images apart?"),
        tag("p", f"Collection {named(advice.collection_id)}: {of_images}", class_="quiet"),
        paragraphs(
            f"icecore took {took} on other images, and read what {read}, from depth 1, right "
            "behind the image, to the last. At each place a small classifier, a probe, learnt "
            "your classes from a part of the images and was tested on the rest. "
            f"{kept} not changed."
        ),
    )


def to_do(advice: Advice) -> Markup:
    """Return the box that tells what to do."""
    first, *others = steps.steps(advice)
    command = steps.command(advice)
    is_one = len(places.backbones(advice)) == 1
    folder = "" if is_one else f", from {steps.FOLDER}, the folder with your images"
    how = (
        join(
            f" This command trains it, under a {steps.PLACEHOLDER} of your choice{folder}:",
            tag("pre", tag("code", command)),
        )
        if command
        else Markup("")
    )
    return tag(
        "section",
        tag("h2", "What to do", id="to-do"),
        tag("p", verdict.HEADLINES[advice.verdict.kind], class_="answer"),
        tag("p", verdict.expectation(advice)),
        tag("p", verdict.reason(advice)) if advice.verdict.kind is UNDECIDED else Markup(""),
        tag("ol", tag("li", first, how), *(tag("li", step) for step in others)),
        tag("p", "A point is one image of a hundred.", class_="quiet"),
        class_=f"lead {advice.verdict.kind}",
        aria_labelledby="to-do",
    )
