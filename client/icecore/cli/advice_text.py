"""An advice for a terminal: what to do, how good it will be, why, and some depths of all."""

from collections.abc import Sequence
from textwrap import wrap

from icecore.cli.advice_report import figures, places
from icecore.cli.advice_report.words import (
    baselines,
    joined,
    scenario,
    standing,
    steps,
    sufficiency,
    verdict,
)
from icecore.cli.advice_report.words.commands import UNKNOWN, Origin
from icecore.cli.advice_report.words.glossary import CAUTION, LIMITS
from icecore.cli.advice_report.words.stance import headline
from icecore.cli.jobs import percent
from icecore.cli.output import Column, print_line, print_table
from icecore.client import Advice, LayerPlace

WIDTH = 96

CHOICE = (
    "The highest of so many figures is partly luck, so each layer is judged by its own figure and "
    "its neighbours' together; of those that are then about as good the cheapest is chosen."
)

_ISOLATES = str.maketrans("", "", "\u2066\u2067\u2068\u2069")


def print_advice(advice: Advice, origin: Origin = UNKNOWN) -> None:
    """Print what a person needs to know what to do; the other depths are in JSON and report."""
    _say(headline(advice))
    _say(standing.told(advice))
    _say(CAUTION)
    print_line()
    print_line("What to do:")
    for number, step in enumerate(steps.steps(advice, origin), 1):
        _say(step.text, first=f"{number}. ")
        for command in step.commands:
            print_line(f"   {command}")
    print_line()
    _say(verdict.expectation(advice))
    _say(verdict.reason(advice))
    _say(f"The verdict in a word: {advice.verdict.kind}, {verdict.MEANINGS[advice.verdict.kind]}")
    print_line()
    _print_baselines(advice)
    print_line()
    _print_layers(advice)
    _say(CHOICE)
    if together := joined.told(advice):
        _say(together)
    print_line()
    print_line(sufficiency.HEADLINES[advice.sufficiency.kind])
    _say(sufficiency.explanation(advice))
    print_line()
    for sentence in (scenario.rule(advice), scenario.likeness(advice), scenario.agreement(advice)):
        _say(sentence)
    if beside := steps.further(advice):
        print_line()
        print_line("What else there is to know:")
        for text in beside:
            _say(text, first="- ")
    print_line()
    _say(_judged(advice))
    _say(LIMITS[0])


def _print_layers(advice: Advice) -> None:
    is_one = len(places.backbones(advice)) == 1
    marks = (
        (advice.chosen, "chosen"),
        (advice.cheapest, "cheapest within a point of it"),
        (places.highest(advice), "highest figure"),
        (advice.last, "last"),
    )
    rows: list[tuple[str, ...]] = []
    told = {place for place, _ in marks}
    for place in (one.place for one in advice.layers if one.place in told):
        layer = places.at(advice, place)
        if layer is None:
            continue
        estimate, interval = percent(layer.accuracy)
        rows.append(
            (
                figures.listed([text for one, text in marks if one == place]),
                _depth(place, advice),
                *(() if is_one else (place.backbone,)),
                estimate,
                interval,
                figures.memory(layer.n_bytes),
                figures.work(layer.macs),
            )
        )
    print_table(
        [
            Column("where in the network"),
            Column("depth", is_number=True),
            *([] if is_one else [Column("backbone")]),
            Column("accuracy", is_number=True),
            Column("95 % interval", is_number=True),
            Column("to store", is_number=True),
            Column("multiply-adds", is_number=True),
        ],
        rows,
    )


def _depth(place: LayerPlace, advice: Advice) -> str:
    if place.depth is None:
        return "outputs"
    return f"{place.depth} of {places.depths(advice, place.backbone)}"


def _print_baselines(advice: Advice) -> None:
    rows = []
    for one in advice.verdict.baselines:
        estimate, interval = percent(one.accuracy)
        rows.append(
            (
                baselines.told(one.name).phrase,
                estimate,
                interval,
                f"{100 * one.difference:+.1f} points",
                f"{100 * one.low:+.1f} to {100 * one.high:+.1f}",
            )
        )
    print_table(
        [
            Column("without what the network learnt"),
            Column("accuracy", is_number=True),
            Column("95 % interval", is_number=True),
            Column("the probe's lead", is_number=True),
            Column("90 % interval", is_number=True),
        ],
        rows,
    )


def _judged(advice: Advice) -> str:
    some = (
        "" if advice.n_images == advice.n_labelled else f" of {advice.n_labelled:,} labelled ones"
    )
    copies = advice.n_images - advice.n_different_images
    copied = f" ({copies:,} of them copies)" if copies else ""
    n_places = f"{figures.count(len(advice.layers), 'place')} ({places.counted(advice)})"
    return (
        f"Judged on {figures.count(advice.n_images, 'image')}{some}{copied} of "
        f"{figures.count(len(advice.classes), 'class', 'classes')}, each by a probe that did not "
        f"learn from it, at {n_places}, in {figures.seconds(advice.seconds)}."
    )


def _say(text: str, *, first: str = "") -> None:
    """Print a sentence or some, broken between words."""
    plain = text.translate(_ISOLATES)
    lines: Sequence[str] = wrap(
        plain, WIDTH, initial_indent=first, subsequent_indent=" " * len(first)
    )
    for line in lines:
        print_line(line)
