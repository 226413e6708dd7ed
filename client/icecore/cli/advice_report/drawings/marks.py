"""How the chosen, the cheapest and the last place are marked: by shape and by colour."""

from matplotlib.axes import Axes

from icecore.cli.advice_report import places
from icecore.cli.advice_report.drawings.svg import GREEN, PAPER
from icecore.cli.plots.style import ORANGE, TEXT
from icecore.client.advice_values import Advice


def mark(axes: Axes, advice: Advice, spots: dict[object, tuple[float, float]]) -> None:
    """Mark the three places at their spots; a smaller mark lies on a larger one."""
    depth = f"depth {advice.chosen.depth}" if advice.chosen.depth else "own answers"
    cheap = f"depth {advice.cheapest.depth}" if advice.cheapest.depth else "own answers"
    last = f"depth {advice.last.depth}" if advice.last.depth else "own answers"
    for place, shape, size, face, edge, name in (
        (advice.chosen, "o", 11, ORANGE, PAPER, f"chosen: {depth}"),
        (advice.cheapest, "D", 6.5, GREEN, PAPER, f"cheapest within a point of it: {cheap}"),
        (advice.last, "s", 14, "none", TEXT, f"last: {last}"),
    ):
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
