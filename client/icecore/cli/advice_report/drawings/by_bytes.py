"""Accuracy against the bytes of network up to a layer, and what those fit into."""

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from icecore.cli.advice_report import figures, places
from icecore.cli.advice_report.drawings.marks import mark
from icecore.cli.advice_report.drawings.scales import LETTERS, legend, name_across, set_accuracies
from icecore.cli.advice_report.drawings.svg import DASHES, SERIES, as_svg, drawing
from icecore.cli.advice_report.markup import Markup
from icecore.cli.advice_report.words.devices import MICROCONTROLLER, WITH_FLASH
from icecore.cli.plots.style import GRID, QUIET
from icecore.client.advice_values import Advice

_LIMITS = ((MICROCONTROLLER, "microcontroller"), (WITH_FLASH, "with a memory chip"))
_STEPS = tuple(float(first * 10**power) for power in range(12) for first in (1, 3))


def draw_bytes(advice: Advice) -> Markup:
    """Return the drawing; bytes on a logarithmic axis, for a first layer is tiny."""
    with drawing(3.5) as axes:
        axes.set_xscale("log")
        shown: list[float] = []
        for i, backbone in enumerate(places.backbones(advice)):
            layers = sorted(
                (one for one in advice.layers if one.place.backbone == backbone),
                key=lambda one: one.n_bytes,
            )
            colour = SERIES[i % len(SERIES)]
            across = [max(1, one.n_bytes) for one in layers]
            ups = [one.accuracy.estimate for one in layers]
            lows, highs = (
                [one.accuracy.low for one in layers],
                [one.accuracy.high for one in layers],
            )
            axes.fill_between(across, lows, highs, color=colour, alpha=0.15, linewidth=0)
            axes.plot(
                across,
                ups,
                color=colour,
                linestyle=DASHES[i % len(DASHES)],
                linewidth=1.4,
                marker="o",
                markersize=3.5,
            )
            shown += [*lows, *highs]
        spots: dict[object, tuple[float, float]] = {
            one.place: (max(1, one.n_bytes), one.accuracy.estimate) for one in advice.layers
        }
        mark(axes, advice, spots)
        set_accuracies(axes, shown)
        _set_bytes(axes, [max(1, one.n_bytes) for one in advice.layers])
        name_across(axes, "to store: the network up to there, and the probe")
        legend(axes, columns=2)
        return as_svg(
            axes,
            "by-bytes",
            title="Accuracy against bytes to store",
            description="The same figures as in the table of depths, against bytes.",
        )


def _set_bytes(axes: Axes, sizes: list[int]) -> None:
    low, high = min(sizes, default=1) / 1.5, max(sizes, default=1) * 1.5
    axes.set_xlim(low, high)
    ticks = [step for step in _STEPS if low <= step <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: figures.memory(round(value))))
    for i, (limit, name) in enumerate(_LIMITS):
        if low < limit < high:
            axes.axvline(limit, color=GRID, linewidth=1.4, zorder=0)
            axes.annotate(
                f"{name} up to here",
                (limit, 0.02 + 0.07 * i),
                xycoords=("data", "axes fraction"),
                xytext=(-4, 0),
                textcoords="offset points",
                ha="right",
                fontsize=LETTERS - 1.5,
                color=QUIET,
            )
