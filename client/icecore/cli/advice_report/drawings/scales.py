"""The vertical axis that drawings share: accuracy in percent, no wider than what is shown."""

from collections.abc import Iterable

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from icecore.cli.plots.style import GRID, QUIET, TEXT, dress

LETTERS = 10.5


def set_accuracies(axes: Axes, shown: Iterable[float]) -> None:
    """Fit the vertical axis to accuracies, 0..1, and dress the axes."""
    values = list(shown) or [0.0, 1.0]
    low, high = min(values), max(values)
    margin = max(0.02, 0.08 * (high - low))
    axes.set_ylim(max(0.0, low - margin), min(1.005, high + margin))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], min_n_ticks=2))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    finish(axes, "images named right")


def finish(axes: Axes, up: str) -> None:
    """Dress the axes, and say what goes up above them, where it is read without a turned head."""
    dress(axes)
    axes.tick_params(labelsize=LETTERS, labelcolor=QUIET)
    axes.spines["bottom"].set_color(GRID)
    if up:
        axes.set_title(up, loc="left", fontsize=LETTERS, color=QUIET, pad=8)


def name_across(axes: Axes, text: str) -> None:
    axes.set_xlabel(text, fontsize=LETTERS, color=QUIET, labelpad=6)


def legend(axes: Axes, *, columns: int) -> None:
    """Put what lines and marks mean below the axes, where it hides nothing."""
    if not axes.get_legend_handles_labels()[0]:
        return
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.17),
        ncols=columns,
        frameon=False,
        fontsize=LETTERS,
        labelcolor=TEXT,
        handlelength=1.6,
        columnspacing=1.4,
    )
