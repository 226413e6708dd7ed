"""Where in the network: accuracy against depth and against what it costs to get there."""

from icecore.cli.advice_report import figures, places
from icecore.cli.advice_report.drawings.by_bytes import draw_bytes
from icecore.cli.advice_report.drawings.by_depth import draw_depths
from icecore.cli.advice_report.drawings.svg import DASHES, SERIES, VARIABLES
from icecore.cli.advice_report.markup import Markup, join, label, paragraphs, section, tag
from icecore.cli.advice_report.tables import Row, folded, table
from icecore.cli.advice_report.words import devices, scenario
from icecore.cli.advice_report.words.baselines import start
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
        paragraphs(_flattery(advice), scenario.rule(advice), scenario.agreement(advice)),
        paragraphs(scenario.likeness(advice)),
        tag("h3", "What does it cost to run?"),
        paragraphs(
            "Only the network up to the chosen layer has to be stored and run. Here are the same "
            "accuracies against bytes to store:"
        ),
        tag("figure", draw_bytes(advice), _key(advice)),
        _costs(advice),
        folded(f"All {figures.count(len(advice.layers), 'layer')}", _all(advice)),
    )


def _names(advice: Advice) -> list[tuple[str, LayerPlace]]:
    """The three places, those that are one and the same under one name."""
    found: dict[LayerPlace, list[str]] = {}
    for name, place in (
        ("best", advice.chosen),
        ("cheapest within a point of the best", advice.cheapest),
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
                        start(name),
                        places.told(place, advice),
                        label(place.layer),
                        *_accuracy(layer),
                    ),
                    is_marked=place == advice.chosen,
                )
            )
    return table(
        "Where the best, the cheapest within a point of it, and the last layer stand",
        ("", "place", "layer", "right", "95 % range"),
        rows,
        texts=3,
    )


def _flattery(advice: Advice) -> str:
    best = places.at(advice, advice.chosen)
    if best is None or best.accuracy.estimate <= advice.accuracy.estimate:
        return ""
    return (
        f"The best of {len(advice.layers)} owes something to luck. Alone, "
        f"{places.told(advice.chosen, advice)} comes to {figures.percent(best.accuracy.estimate)}; "
        f"the figure at the top, {figures.percent(advice.accuracy.estimate)}, comes from images "
        "that had no part in choosing the layer, and is the one to expect."
    )


def _costs(advice: Advice) -> Markup:
    told = []
    for name, place in _names(advice):
        layer = places.at(advice, place)
        if layer is not None:
            what = f"{start(name)}, {places.told(place, advice)}"
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
        "Every layer, with what it takes to get there",
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
