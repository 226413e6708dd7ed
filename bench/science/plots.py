"""Accuracy against depth, several curves with their 95 % bands in one picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from icecore.cli.plots.style import BLUE, ORANGE, QUIET, TEXT, dress
from icecore.probes.intervals import Accuracy

COLOURS = (BLUE, ORANGE, "#2f855a", "#7c3aed", "#b91c1c", QUIET)


@dataclass(frozen=True, slots=True)
class Curve:
    """Accuracies by depth, as a share of the deepest, 0..1."""

    name: str
    depths: Sequence[float]
    accuracies: Sequence[Accuracy]


def plot(curves: Sequence[Curve], out: Path, title: str) -> None:
    """Write a PNG.

    Raises:
        OSError: `out` cannot be written.
    """
    figure = Figure(figsize=(8.6, 5.0), dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.09, 0.12, 0.87, 0.74))
    for curve, colour in zip(curves, COLOURS, strict=False):
        middle = [one.estimate for one in curve.accuracies]
        lows = [one.low for one in curve.accuracies]
        highs = [one.high for one in curve.accuracies]
        axes.fill_between(curve.depths, lows, highs, color=colour, alpha=0.12, linewidth=0)
        axes.plot(curve.depths, middle, color=colour, marker="o", markersize=4, label=curve.name)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.set_xlabel("depth, of the deepest layer's", color=QUIET, fontsize=9.5)
    dress(axes)
    axes.legend(loc="lower right", frameon=False, fontsize=9, labelcolor=TEXT)
    figure.text(0.09, 0.93, title, fontsize=13, fontweight="bold", color=TEXT)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, metadata={"Software": "icecore"})
