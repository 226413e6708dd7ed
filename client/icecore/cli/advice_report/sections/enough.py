"""Are there enough images? The learning curve, its forecast, and the weakest classes."""

from icecore.cli.advice_report import figures
from icecore.cli.advice_report.drawings.curve import draw_curve
from icecore.cli.advice_report.markup import Markup, join, label, paragraphs, section, tag
from icecore.cli.advice_report.tables import Row, table
from icecore.cli.advice_report.words import sufficiency
from icecore.client.advice_values import Advice


def enough(advice: Advice) -> Markup:
    """Return the plot, the forecast as a table, and which classes are recognised least."""
    found = advice.sufficiency
    return section(
        "enough",
        "Are there enough images?",
        paragraphs(
            f"{sufficiency.HEADLINES[found.kind]} {sufficiency.explanation(advice)}",
            "The probe was taught with parts of your images. How fast it got better tells how it "
            "would go on; the shaded fan is where the forecast lies in 9 of 10 cases. Nothing is "
            f"said beyond three times today's images. {sufficiency.forecast(advice)}",
            _today(advice),
        ),
        tag("figure", draw_curve(advice)),
        table(
            "Forecast",
            ("images", "right", "90 % range"),
            [
                Row(
                    (
                        f"{one.n_images:,}{' (today)' if i == 0 else ''}",
                        figures.percent(one.estimate),
                        figures.percent_range(one.low, one.high),
                    )
                )
                for i, one in enumerate(found.forecasts)
            ],
        ),
        _weakest(advice),
    )


def _today(advice: Advice) -> str:
    """Why today's figure here is not the one at the top, and which to go by."""
    told = "The forecast follows the curve and not its last point"
    forecasts, top = advice.sufficiency.forecasts, advice.accuracy.estimate
    if not forecasts or figures.percent(forecasts[0].estimate) == figures.percent(top):
        return f"{told}: go by what more images add to it."
    return (
        f"{told}: for today it has {figures.percent(forecasts[0].estimate)}, where "
        f"{figures.percent(top)} was found at the top. Both are estimates from the same images, "
        "so go by what more images add, not by where the forecast ends."
    )


def _weakest(advice: Advice) -> Markup:
    weak = advice.sufficiency.weakest_classes
    if not weak:
        return Markup("")
    return join(
        tag("h3", "Which classes need them most?"),
        table(
            "Classes that are recognised less often than images are on the whole",
            ("class", "its images", "recognised", "95 % range"),
            [
                Row(
                    (
                        label(one.label),
                        f"{one.n_images:,}",
                        figures.percent(one.recall.estimate),
                        figures.percent_range(one.recall.low, one.recall.high),
                    )
                )
                for one in weak
            ],
        ),
    )
