"""Where in the network: accuracy against depth and against what it costs to get there."""

from icecore.cli.advice_report import figures, places
from icecore.cli.advice_report.drawings.by_bytes import draw_bytes
from icecore.cli.advice_report.drawings.by_depth import draw_depths
from icecore.cli.advice_report.drawings.svg import DASHES, SERIES, VARIABLES
from icecore.cli.advice_report.markup import Markup, join, label, paragraphs, section, tag
from icecore.cli.advice_report.tables import Row, folded, table
from icecore.cli.advice_report.words import baselines, devices, joined, scenario
from icecore.client.advice_values import Advice, LayerAdvice, LayerPlace


def where(advice: Advice) -> Markup:
    """Return both plots, the three places in words, and all layers in a table."""
    return section(
        "where",
        "Where in the network?",
        paragraphs(
            "Early layers see edges and colours and are cheap to reach; later ones see what the "
            "network was trained for. Which serves best depends on the images. The shaded band is "
            "the 95 % range.",
        ),
        tag("figure", draw_depths(advice), _key(advice)),
        _three(advice),
        paragraphs(_choice(advice), scenario.rule(advice), scenario.agreement(advice)),
        paragraphs(scenario.likeness(advice), *filter(None, [joined.told(advice)])),
        tag("h3", "What does it cost to run?"),
        paragraphs(
            "Only the network up to the chosen layer has to be stored and run. Here are the same "
            "accuracies against bytes to store:"
        ),
        tag("figure", draw_bytes(advice), _key(advice)),
        _costs(advice),
        folded(
            f"All {figures.count(len(advice.layers), 'place')}: {places.counted(advice)}",
            _all(advice),
        ),
    )


def _names(advice: Advice) -> list[tuple[str, LayerPlace]]:
    """The three places, those that are one and the same under one name."""
    found: dict[LayerPlace, list[str]] = {}
    for name, place in (
        ("chosen", advice.chosen),
        ("cheapest within a point of it", advice.cheapest),
        ("last", advice.last),
    ):
        found.setdefault(place, []).append(name)
    return [(figures.listed(names), place) for place, names in found.items()]


def _three(advice: Advice) -> Markup:
    rows = []
    for name, place in _names(advice):
        layer = places.at(advice, place)
        if layer is not None:
            rows.append(
                Row(
                    (
                        baselines.start(name),
                        places.told(place, advice),
                        label(place.layer),
                        *_accuracy(layer),
                    ),
                    is_marked=place == advice.chosen,
                )
            )
    return table(
        "Where the chosen layer, the cheapest within a point of it, and the last one stand",
        ("", "place", "layer", "right", "95 % range"),
        rows,
        texts=3,
    )


def _choice(advice: Advice) -> str:
    """How a layer is chosen, and why its own figure is not the one to expect."""
    text = (
        f"The highest of {len(advice.layers)} figures is partly luck, so the choice does not go by "
        "it alone: each depth is judged by its own figure and its neighbours' together, and of "
        "those that are then about as good, the one that is cheapest to reach is taken. "
    )
    chosen = places.at(advice, advice.chosen)
    if chosen is not None:
        there = baselines.start(places.told(advice.chosen, advice))
        text += f"{there} by itself: {figures.with_range(chosen.accuracy)}. "
    return (
        f"{text}The figure at the top, {figures.percent(advice.accuracy.estimate)}, comes from "
        "images that had no part in choosing, and is the one to expect."
    )


def _costs(advice: Advice) -> Markup:
    told = []
    for name, place in _names(advice):
        layer = places.at(advice, place)
        if layer is not None:
            what = f"{baselines.start(name)}, {places.told(place, advice)}"
            told.append(tag("li", f"{what}: {devices.cost(layer)}."))
    return tag("ul", *told)


def _all(advice: Advice) -> Markup:
    several = len(places.backbones(advice)) > 1
    rows = [
        Row(
            (
                "answers" if one.place.depth is None else str(one.place.depth),
                label(one.place.layer),
                *((label(one.place.backbone),) if several else ()),
                *_accuracy(one),
                figures.memory(one.n_bytes),
                figures.work(one.macs),
            ),
            is_marked=one.place == advice.chosen,
        )
        for one in advice.layers
    ]
    network = ("network",) if several else ()
    return table(
        "Every place, with what it takes to get there",
        ("depth", "layer", *network, "right", "95 % range", "to store", "multiply-adds"),
        rows,
        texts=2 + len(network),
    )


def _accuracy(layer: LayerAdvice) -> tuple[str, str]:
    found = layer.accuracy
    return figures.percent(found.estimate), figures.percent_range(found.low, found.high)


def _key(advice: Advice) -> Markup:
    """Which line is which network; names stand here, for in a drawing they could do harm."""
    names = places.backbones(advice)
    if len(names) < 2:
        return Markup("")
    items = []
    for i, name in enumerate(names):
        dashes = DASHES[i % len(DASHES)]
        line = tag(
            "line",
            x1="0",
            y1="5",
            x2="32",
            y2="5",
            stroke=VARIABLES[SERIES[i % len(SERIES)]],
            stroke_width="3",
            stroke_dasharray=None
            if dashes == "solid"
            else " ".join(f"{3 * d:g}" for d in dashes[1]),
        )
        sample = tag("svg", line, viewBox="0 0 32 10", aria_hidden="true")
        items.append(tag("li", join(sample, label(name))))
    return tag("ul", *items, class_="key")
