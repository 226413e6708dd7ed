"""A confusion matrix of many classes, as shades; classes are numbered, the table names them."""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator

from icecore.cli.advice_report.drawings.scales import LETTERS
from icecore.cli.advice_report.drawings.svg import as_svg, drawing
from icecore.cli.advice_report.markup import Markup
from icecore.cli.plots.style import BLUE, QUIET
from icecore.client.advice_values import Confusion

_SHADES = LinearSegmentedColormap.from_list("shades", [f"{BLUE}00", f"{BLUE}ff"])
"""From nothing to blue, so that it stands on light and on dark paper."""


def draw_matrix(confusion: Confusion) -> Markup:
    """Return the drawing: the share of each class's images, a row a class."""
    counts = np.array(confusion.counts, np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    k = len(shares)
    with drawing(5.6) as axes:
        # The root lets rare mistakes be seen.
        axes.imshow(
            np.sqrt(shares),
            cmap=_SHADES,
            vmin=0.0,
            vmax=1.0,
            interpolation="nearest",
            extent=(0.5, k + 0.5, k + 0.5, 0.5),
        )
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(10, integer=True))
        axes.tick_params(labelsize=LETTERS, labelcolor=QUIET, length=0)
        for spine in axes.spines.values():
            spine.set_color(QUIET)
            spine.set_linewidth(0.6)
        axes.set_xlabel("named (number of the class)", fontsize=LETTERS, color=QUIET)
        axes.set_ylabel("is (number of the class)", fontsize=LETTERS, color=QUIET)
        return as_svg(
            axes,
            "matrix",
            title="Confusion matrix",
            description="What each class's images were named; the tables have the figures.",
        )
