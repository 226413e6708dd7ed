"""Accuracy against depth: a line and a band a backbone, and where the three places stand."""

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from icecore.cli.advice_report import figures, places
from icecore.cli.advice_report.drawings.marks import mark
from icecore.cli.advice_report.drawings.scales import legend, name_across, set_accuracies
from icecore.cli.advice_report.drawings.svg import DASHES, SERIES, as_svg, drawing
from icecore.cli.advice_report.markup import Markup
from icecore.cli.plots.style import QUIET
from icecore.client.advice_values import Advice


def draw_depths(advice: Advice) -> Markup:
    """Return the drawing; a backbone's own outputs stand behind its last depth."""
    spots: dict[object, tuple[float, float]] = {}
    shown: list[float] = []
    with drawing(3.7) as axes:
        for i, backbone in enumerate(places.backbones(advice)):
            colour, dashes = SERIES[i % len(SERIES)], DASHES[i % len(DASHES)]
            layers = [one for one in advice.layers if one.place.backbone == backbone]
            deep = sorted(
                (one for one in layers if one.place.depth is not None),
                key=lambda one: one.place.depth or 0,
            )
            across = [float(one.place.depth or 0) for one in deep]
            lows, highs = [one.accuracy.low for one in deep], [one.accuracy.high for one in deep]
            ups = [one.accuracy.estimate for one in deep]
            axes.fill_between(across, lows, highs, color=colour, alpha=0.15, linewidth=0)
            axes.plot(across, ups, color=colour, linewidth=2, linestyle=dashes)
            own = [one for one in layers if one.place.depth is None]
            end = max(across, default=0.0) + 0.5
            for j, one in enumerate(own, 1):
                found = one.accuracy
                axes.errorbar(
                    [end + j],
                    [found.estimate],
                    yerr=([found.estimate - found.low], [found.high - found.estimate]),
                    color=colour,
                    marker="^",
                    markersize=6,
                    elinewidth=1.2,
                    label=None if i or j > 1 else "the network's own answers",
                )
            spots |= {one.place: (x, y) for one, x, y in zip(deep, across, ups, strict=True)}
            spots |= {one.place: (end + j, one.accuracy.estimate) for j, one in enumerate(own, 1)}
            shown += [*lows, *highs, *(one.accuracy.low for one in own)]
            shown += [one.accuracy.high for one in own]
        mark(axes, advice, spots)
        shown += _best_baseline(axes, advice, min(shown, default=0.0))
        set_accuracies(axes, shown)
        axes.set_xlim(left=0.4)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12, min_n_ticks=1))
        name_across(axes, "depth: layers counted from the image")
        legend(axes, columns=2)
        return as_svg(
            axes, "by-depth", title="Accuracy against depth", description=_description(advice)
        )


def _best_baseline(axes: Axes, advice: Advice, lowest: float) -> list[float]:
    """Draw the best baseline where it does not squeeze the lines; return what that takes."""
    best = max((one.accuracy.estimate for one in advice.verdict.baselines), default=0.0)
    if not advice.verdict.baselines or best < lowest - 0.15:
        return []
    axes.axhline(
        best,
        color=QUIET,
        linewidth=1.2,
        linestyle=":",
        label="the best simpler way",
    )
    return [best]


def _description(advice: Advice) -> str:
    told = []
    for name, place in (
        ("chosen", advice.chosen),
        ("cheapest within a point of it", advice.cheapest),
        ("last", advice.last),
    ):
        found = places.at(advice, place)
        if found is not None:
            where = "own answers" if place.depth is None else f"depth {place.depth}"
            told.append(f"{name}, {where}: {figures.with_range(found.accuracy)}")
    return "; ".join(told)
