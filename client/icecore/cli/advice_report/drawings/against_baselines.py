"""The probe beside the baselines: a dot and a bar for each, on one axis."""

from matplotlib.ticker import MaxNLocator, PercentFormatter

from icecore.cli.advice_report import figures
from icecore.cli.advice_report.drawings.scales import LETTERS, finish, name_across
from icecore.cli.advice_report.drawings.svg import as_svg, drawing
from icecore.cli.advice_report.markup import Markup
from icecore.cli.advice_report.words import baselines
from icecore.cli.plots.style import BLUE, GRID, QUIET, TEXT
from icecore.client.advice_values import Advice


def draw_baselines(advice: Advice) -> Markup:
    """Return the drawing, the probe on top; a name stands above its bar, so that it may be long."""
    rows = [
        ("the probe on the network", advice.accuracy),
        *(
            (baselines.in_plot(one.name, i), one.accuracy)
            for i, one in enumerate(advice.verdict.baselines)
        ),
    ]
    with drawing(0.9 + 0.52 * len(rows)) as axes:
        for i, (name, found) in enumerate(rows):
            colour = QUIET if i else BLUE
            axes.hlines(i, 0, 1, color=GRID, linewidth=0.8, zorder=0)
            axes.errorbar(
                [found.estimate],
                [i],
                xerr=([found.estimate - found.low], [found.high - found.estimate]),
                color=colour,
                marker="o" if i == 0 else "s",
                markersize=9 if i == 0 else 7,
                elinewidth=3 if i == 0 else 2,
                capsize=0,
            )
            axes.annotate(
                f"{name}: {figures.percent(found.estimate)}",
                (0, i),
                xytext=(0, 6),
                textcoords="offset points",
                fontsize=LETTERS,
                fontweight="bold" if i == 0 else "normal",
                color=TEXT,
            )
        axes.axvline(advice.accuracy.estimate, color=BLUE, linewidth=1, linestyle=":", zorder=0)
        axes.set_ylim(len(rows) - 0.5, -0.8)
        axes.set_yticks([])
        axes.set_xlim(0.0, 1.005)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
        finish(axes, "")
        axes.grid(visible=False)
        name_across(axes, "images named right, with 95 % range")
        told = "; ".join(f"{name}: {figures.with_range(found)}" for name, found in rows)
        return as_svg(
            axes, "against-baselines", title="The probe beside the baselines", description=told
        )
