"""A plot of held-out accuracy against depth, with 95 % intervals and the depth chosen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from icecore.cli.plots.style import BLUE, ORANGE, QUIET, TEXT, dress
from icecore.client import LayerTrial

MOST_NAMED: Final = 10
"""Of more layers only the depths are written, and the figures of the chosen one and the highest."""


def plot_depths(
    trials: Sequence[LayerTrial], out: Path, *, title: str, subtitle: str, chance: float
) -> None:
    """Write a PNG; `chance` is what always naming the largest class would reach.

    Raises:
        ValueError: no trial has a depth.
        OSError: `out` cannot be written.
    """
    shown = sorted((one for one in trials if one.depth is not None), key=lambda one: one.depth or 0)
    if not shown:
        raise ValueError("there is no depth to plot")
    figure = Figure(figsize=(8.6, 5.0), dpi=150, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.09, 0.175, 0.87, 0.59))
    depths = [one.depth or 0 for one in shown]
    estimates = [one.accuracy.estimate for one in shown]
    lows, highs = [one.accuracy.low for one in shown], [one.accuracy.high for one in shown]
    axes.fill_between(
        depths, lows, highs, color=BLUE, alpha=0.13, linewidth=0, label="95 % interval"
    )
    below = [estimate - low for estimate, low in zip(estimates, lows, strict=True)]
    above = [high - estimate for estimate, high in zip(estimates, highs, strict=True)]
    axes.errorbar(
        depths,
        estimates,
        yerr=(below, above),
        color=BLUE,
        linewidth=2,
        marker="o",
        markersize=6,
        elinewidth=1.2,
        capsize=4,
        label="held-out accuracy",
    )
    _set_scales(axes, shown, lows, highs, chance)
    _mark_chosen(axes, shown)
    _name_values(axes, shown)
    _dress(axes)
    figure.text(
        0.09, 0.93, title, fontsize=14, fontweight="bold", color=TEXT, ha="left", va="center"
    )
    figure.text(0.09, 0.865, subtitle, fontsize=9.5, color=QUIET, ha="left", va="center")
    figure.savefig(out, metadata={"Software": "icecore"})


def _mark_chosen(axes: Axes, trials: Sequence[LayerTrial]) -> None:
    for one in trials:
        if one.is_chosen and one.depth is not None:
            bottom = axes.get_ylim()[0]
            low = one.accuracy.low
            axes.vlines(one.depth, bottom, low, color=ORANGE, linewidth=1, linestyle=(0, (4, 3)))
            axes.plot(
                [one.depth],
                [one.accuracy.estimate],
                marker="o",
                markersize=12,
                markerfacecolor=ORANGE,
                markeredgecolor="white",
                markeredgewidth=2,
                linestyle="none",
                zorder=5,
                label=f"chosen: depth {one.depth}",
            )


def _name_values(axes: Axes, trials: Sequence[LayerTrial]) -> None:
    highest = max(trials, key=lambda one: one.accuracy.estimate)
    for one in trials:
        if len(trials) > MOST_NAMED and not one.is_chosen and one is not highest:
            continue
        axes.annotate(
            f"{100 * one.accuracy.estimate:.1f} %",
            (one.depth or 0, one.accuracy.high),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            fontweight="bold" if one.is_chosen else "normal",
            color=ORANGE if one.is_chosen else TEXT,
        )


def _set_scales(
    axes: Axes,
    trials: Sequence[LayerTrial],
    lows: Sequence[float],
    highs: Sequence[float],
    chance: float,
) -> None:
    margin = max(0.02, 0.16 * (max(highs) - min(lows)))
    bottom = max(0.0, min(lows) - margin)
    if chance >= bottom - 0.1:  # else it would squeeze the curve for nothing
        bottom = max(0.0, min(bottom, chance - margin))
        axes.axhline(
            chance, color=QUIET, linewidth=1, linestyle=":", label="always the largest class"
        )
    top = max(highs) + margin
    axes.set_ylim(bottom, top)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], min_n_ticks=2))
    axes.set_yticks([tick for tick in axes.get_yticks() if bottom <= tick <= min(1.0, top)])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axes.set_xticks([one.depth or 0 for one in trials])
    axes.set_xticklabels([_named(one, trials) for one in trials], fontsize=8.5)
    axes.margins(x=0.07)


def _named(trial: LayerTrial, trials: Sequence[LayerTrial]) -> str:
    """The depth, with the layer's name below in two lines where there is room for that."""
    if len(trials) > MOST_NAMED:
        return str(trial.depth)
    start, _, end = trial.layer.rpartition(".")
    return "\n".join([str(trial.depth), *filter(None, [start, end])])


def _dress(axes: Axes) -> None:
    axes.set_xlabel("depth: rank of the layer, from the image inwards", color=QUIET, fontsize=9.5)
    dress(axes)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.01),
        ncols=4,
        frameon=False,
        fontsize=9,
        labelcolor=TEXT,
        columnspacing=1.6,
    )
