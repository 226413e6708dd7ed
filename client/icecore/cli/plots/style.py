"""How icecore's plots look."""

from matplotlib.axes import Axes

BLUE = "#2563a8"
ORANGE = "#d9730d"
TEXT = "#1f2937"
QUIET = "#6b7280"
GRID = "#e5e7eb"


def dress(axes: Axes) -> None:
    """Take away what is not read: ticks, frame; leave faint lines across."""
    axes.tick_params(colors=QUIET, length=0)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
