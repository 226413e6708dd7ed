"""What to do: the few sentences at the top of the report."""

import shlex
from typing import Final

from icecore.cli.advice_report import figures, places
from icecore.cli.advice_report.words import mistakes, scenario, sufficiency, verdict
from icecore.cli.output import printable
from icecore.client.advice_values import Advice

PLACEHOLDER: Final = "NAME"
FOLDER: Final = "DIR"


def steps(advice: Advice) -> list[str]:
    """Return what to do, in order, each in a sentence or two."""
    used = verdict.is_to_be_used(advice)
    found = [
        verdict.action(advice),
        verdict.settling(advice),
        sufficiency.step(advice),
        mistakes.step(advice) if used else "",
        smaller(advice) if used else "",
        scenario.step(advice),
    ]
    return [one for one in found if one]


def command(advice: Advice) -> str:
    """Return the command that trains the probe; "" where none is advised."""
    if not verdict.is_to_be_used(advice):
        return ""
    place = advice.chosen
    layer = place.layer if place.depth is None else str(place.depth)
    if len(places.backbones(advice)) > 1:
        # A collection keeps to one backbone, which may be another.
        source = [FOLDER, "--backbone", place.backbone]
    else:
        source = ["--collection", advice.collection_id]
    flags = ["--layer", layer, "--kind", advice.kind]
    return printable(shlex.join(["icecore", "train-probe", PLACEHOLDER, *source, *flags]))


def smaller(advice: Advice) -> str:
    """Return what to do on a small device; "" where the best place is also the cheapest."""
    if advice.cheapest == advice.chosen:
        return ""
    best, cheap = places.at(advice, advice.chosen), places.at(advice, advice.cheapest)
    if best is None or cheap is None:
        return ""
    did = (
        "did as well"
        if cheap.accuracy.estimate >= best.accuracy.estimate
        else "came within a point"
    )
    return (
        f"If it has to run on a small or slow device, use {places.told(cheap.place, advice)} "
        f"instead: on your images it {did}, with "
        f"{figures.memory(cheap.n_bytes)} instead of {figures.memory(best.n_bytes)} to store and "
        f"{figures.work(cheap.macs)} instead of {figures.work(best.macs)} multiply-adds an image."
    )
