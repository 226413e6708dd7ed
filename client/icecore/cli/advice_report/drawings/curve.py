"""The learning curve: what was measured on parts of the images, and the forecast to three times."""

from matplotlib.ticker import FuncFormatter, MaxNLocator

from icecore.cli.advice_report import figures
from icecore.cli.advice_report.drawings.scales import LETTERS, legend, name_across, set_accuracies
from icecore.cli.advice_report.drawings.svg import as_svg, drawing
from icecore.cli.advice_report.markup import Markup
from icecore.cli.plots.style import BLUE, ORANGE, QUIET
from icecore.client.advice_values import Advice


def draw_curve(advice: Advice) -> Markup:
    """Return the drawing; the fan is the forecast's 90 % range."""
    found = advice.sufficiency
    shown = [one.accuracy for one in found.points]
    with drawing(3.4) as axes:
        sizes = [one.n_images for one in found.points]
        axes.plot(
            sizes,
            shown,
            color=BLUE,
            linewidth=1.2,
            marker="o",
            markersize=6,
            label="measured on parts of your images",
        )
        ahead = [one.n_images for one in found.forecasts]
        lows, highs = [one.low for one in found.forecasts], [one.high for one in found.forecasts]
        axes.fill_between(
            ahead, lows, highs, color=ORANGE, alpha=0.18, linewidth=0, label="90 % range"
        )
        axes.plot(
            ahead,
            [one.estimate for one in found.forecasts],
            color=ORANGE,
            linewidth=2,
            linestyle=(0, (4, 2)),
            marker="D",
            markersize=5,
            label="forecast",
        )
        if ahead:
            axes.axvline(ahead[0], color=QUIET, linewidth=1, linestyle=":")
            axes.annotate(
                "today",
                (ahead[0], 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(4, -2),
                textcoords="offset points",
                va="top",
                fontsize=LETTERS,
                color=QUIET,
            )
        set_accuracies(axes, [*shown, *lows, *highs])
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        name_across(axes, "labelled images to learn from")
        legend(axes, columns=2)
        told = "; ".join(
            f"{figures.count(one.n_images, 'image')}: {figures.percent(one.estimate)} "
            f"({figures.percent_range(one.low, one.high)})"
            for one in found.forecasts
        )
        return as_svg(axes, "curve", title="Learning curve and forecast", description=told)
