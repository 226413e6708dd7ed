"""Where in a network: the layers of an advice found again, and what they are called in words."""

from icecore.cli.advice_report.markup import named
from icecore.client.advice_values import Advice, LayerAdvice, LayerPlace


def at(advice: Advice, place: LayerPlace) -> LayerAdvice | None:
    """Return the layer that stands at `place`, None where the advice has none."""
    return next((one for one in advice.layers if one.place == place), None)


def highest(advice: Advice) -> LayerPlace:
    """Return where the highest figure stands, the chosen place where no layer was judged."""
    best = max(advice.layers, key=lambda one: one.accuracy.estimate, default=None)
    return advice.chosen if best is None else best.place


def backbones(advice: Advice) -> list[str]:
    """Return the backbones judged, in the order asked."""
    return list(dict.fromkeys(one.place.backbone for one in advice.layers))


def depths(advice: Advice, backbone: str) -> int:
    """Return how many depths of a backbone were tried."""
    return sum(
        one.place.backbone == backbone and one.place.depth is not None for one in advice.layers
    )


def counted(advice: Advice) -> str:
    """Return where figures stand: "33 depths and the network's own answers"."""
    names = backbones(advice)
    n_depths = sum(depths(advice, name) for name in names)
    n_answers = len(advice.layers) - n_depths
    text = f"{n_depths:,} {'depth' if n_depths == 1 else 'depths'}"
    match n_answers:
        case 0:
            return text
        case 1:
            return f"{text} and the network's own answers"
        case _:
            return f"{text} and {n_answers} networks' own answers"


def told(place: LayerPlace, advice: Advice) -> str:
    """Return "depth 25", of which backbone where there are several."""
    what = "the network's own answers" if place.depth is None else f"depth {place.depth}"
    return f"{what} of {named(place.backbone)}" if len(backbones(advice)) > 1 else what


def used(place: LayerPlace, advice: Advice) -> str:
    """Return the same with the word before it: "at depth 25", "on the network's own answers"."""
    return f"{'on' if place.depth is None else 'at'} {told(place, advice)}"
