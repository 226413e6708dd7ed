"""A plot of what codes are like and cost against depth: channels, map size, cost."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    MaxNLocator,
    NullLocator,
    PercentFormatter,
)

from icecore.cli.plots.style import BLUE, ORANGE, QUIET, TEXT, dress
from icecore.client import Layer

_LEFT, _WIDTH = 0.10, 0.86
_PANELS = ((0.655, 0.20), (0.385, 0.20), (0.085, 0.235))
"""Bottom and height of each panel."""
_MANY = 10
_NAME = 22


def plot_layers(layers: Sequence[Layer], out: Path, *, name: str) -> None:
    """Write a PNG of the layers that have a depth.

    Raises:
        ValueError: none has.
        OSError: `out` cannot be written.
    """
    ranked = [one for one in layers if one.depth is not None]
    if not ranked:
        raise ValueError("there is no depth to plot")
    figure = Figure(figsize=(8.6, 8.0), dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    channels, size, cost = (
        figure.add_axes((_LEFT, bottom, _WIDTH, height)) for bottom, height in _PANELS
    )
    depths = [one.depth or 0 for one in ranked]
    _plot_channels(channels, depths, ranked)
    _plot_size(size, depths, ranked)
    _plot_cost(cost, depths, ranked, whole=max(layers, key=lambda one: one.macs))
    for axes in (channels, size, cost):
        dress(axes)
        axes.set_xlim(0.3, depths[-1] + 0.7)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=18, min_n_ticks=1))
    cost.set_xlabel("depth: rank of the layer, from the image inwards", color=QUIET, fontsize=9.5)
    figure.text(_LEFT, 0.963, name, fontsize=14, fontweight="bold", color=TEXT, va="center")
    figure.text(_LEFT, 0.93, _subtitle(ranked), fontsize=9.5, color=QUIET, va="center")
    figure.savefig(out, metadata={"Software": "icecore"})


def _plot_channels(axes: Axes, depths: Sequence[int], layers: Sequence[Layer]) -> None:
    _title(axes, "Channels: values of the average-pooled codes")
    width = 0.72 * min(1.0, len(depths) / _MANY)  # few bars would be blocks
    axes.bar(depths, [one.channels for one in layers], width=width, color=BLUE)
    axes.set_ylim(bottom=0)


def _plot_size(axes: Axes, depths: Sequence[int], layers: Sequence[Layer]) -> None:
    _title(axes, "Map: positions a side, and what one of them sees of the image, pixels")
    sides = [one.height for one in layers]
    fields = [max(1, one.receptive_field) for one in layers]
    axes.plot(depths, sides, color=BLUE, linewidth=2, drawstyle="steps-mid", label="map")
    axes.plot(depths, fields, color=ORANGE, linewidth=2, marker="o", markersize=3, label="sees")
    axes.set_yscale("log", base=2)
    powers = _powers(min(*sides, *fields), max(*sides, *fields))
    axes.set_ylim(powers[0] / 1.2, powers[-1] * 1.2)
    axes.yaxis.set_major_locator(FixedLocator([float(power) for power in powers]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    _legend(axes)


def _plot_cost(axes: Axes, depths: Sequence[int], layers: Sequence[Layer], *, whole: Layer) -> None:
    _title(axes, "Cost from the image to there, share of the whole network")
    axes.plot(
        depths,
        [one.macs / max(1, whole.macs) for one in layers],
        color=BLUE,
        linewidth=2,
        marker="o",
        markersize=3,
        label=f"multiply-accumulates (all: {_millions(whole.macs)})",
    )
    axes.plot(
        depths,
        [one.params / max(1, whole.params) for one in layers],
        color=ORANGE,
        linewidth=2,
        marker="o",
        markersize=3,
        label=f"parameters (all: {_millions(whole.params)})",
    )
    axes.set_ylim(0, 1.04)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    _legend(axes)


def _powers(low: int, high: int) -> list[int]:
    """Powers of two from the last not above `low` to the first not below `high`."""
    first, last = low.bit_length() - 1, (high - 1).bit_length()
    return [2**power for power in range(first, max(first, last) + 1)]


def _millions(n: int) -> str:
    return f"{n / 1e6:,.{2 if n >= 1e5 else 4}f} M" if n < 1e8 else f"{n / 1e6:,.0f} M"


def _short(name: str) -> str:
    """A long name's end, which tells it from others."""
    return name if len(name) <= _NAME else f"…{name[1 - _NAME :]}"


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=10.5, color=TEXT, pad=8)


def _legend(axes: Axes) -> None:
    axes.legend(frameon=False, fontsize=9, labelcolor=TEXT, loc="best")


def _subtitle(layers: Sequence[Layer]) -> str:
    what = "thresholded layers" if any(one.thresholded for one in layers) else "blocks"
    n_values = sum(one.dims for one in layers)
    return (
        f"{len(layers)} {what}, from {_short(layers[0].name)!r} to {_short(layers[-1].name)!r}; "
        f"{n_values:,} values in all"
    )
