"""The top of the page: what was tried, and what to do."""

from icecore.cli.advice_report import figures, places
from icecore.cli.advice_report.markup import Markup, join, named, paragraphs, tag
from icecore.cli.advice_report.words import steps, verdict
from icecore.client.advice_values import Advice


def introduction(advice: Advice) -> Markup:
    """Return the title, and what was tried in words that need no explanation."""
    names = places.backbones(advice)
    n_places = sum(places.depths(advice, name) for name in names)
    them = f"a network ({named(names[0])})" if len(names) == 1 else f"{len(names)} networks"
    if len(names) == 1:
        deep = f"at {figures.count(n_places, 'place')}"
    else:
        deep = f"at {n_places} places together"
    of_images = (
        f"{figures.count(advice.n_images, 'labelled image')} of "
        f"{figures.count(len(advice.classes), 'class', 'classes')}"
    )
    return join(
        tag("h1", "Can a ready-made network tell these images apart?"),
        tag("p", f"Collection {named(advice.collection_id)}: {of_images}", class_="quiet"),
        paragraphs(
            f"icecore took {them} that others have trained on other images, and read what it sees "
            f"in yours {deep}, from depth 1, right behind the image, to the last. At each place a "
            "small classifier, a probe, learnt your classes from a part of the images and was "
            "tested on the rest. The network itself was not changed."
        ),
    )


def to_do(advice: Advice) -> Markup:
    """Return the box that tells what to do."""
    first, *others = steps.steps(advice)
    command = steps.command(advice)
    how = (
        join(
            f" This command trains it, under a {steps.PLACEHOLDER} of your choice:",
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
        tag("ol", tag("li", first, how), *(tag("li", step) for step in others)),
        class_=f"lead {advice.verdict.kind}",
        aria_labelledby="to-do",
    )
