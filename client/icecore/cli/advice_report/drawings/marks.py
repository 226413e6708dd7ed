"""How the chosen, the cheapest and the last place are marked: by shape and by colour."""

from matplotlib.axes import Axes

from icecore.cli.advice_report import places
from icecore.cli.advice_report.drawings.svg import GREEN, PAPER
from icecore.cli.plots.style import ORANGE, TEXT
from icecore.client.advice_values import Advice, LayerPlace


def mark(axes: Axes, advice: Advice, spots: dict[object, tuple[float, float]]) -> None:
    """Mark the three places at their spots; a smaller mark lies on a larger one."""
    also = " (cheapest too)" if advice.cheapest == advice.chosen else ""
    marks = [
        (advice.chosen, "o", 11.0, ORANGE, PAPER, f"chosen: {_depth(advice.chosen)}{also}"),
        (advice.last, "s", 14.0, "none", TEXT, f"last: {_depth(advice.last)}"),
    ]
    if not also:
        name = f"cheapest within a point of it: {_depth(advice.cheapest)}"
        marks.insert(1, (advice.cheapest, "D", 6.5, GREEN, PAPER, name))
    for place, shape, size, face, edge, name in marks:
        found = places.at(advice, place)
        if found is None or place not in spots:
            continue
        across, up = spots[place]
        axes.plot(
            [across],
            [up],
            marker=shape,
            markersize=size,
            markerfacecolor=face,
            markeredgecolor=edge,
            markeredgewidth=1.6,
            linestyle="none",
            zorder=20 - size,
            label=name,
        )


def _depth(place: LayerPlace) -> str:
    return "own answers" if place.depth is None else f"depth {place.depth}"
