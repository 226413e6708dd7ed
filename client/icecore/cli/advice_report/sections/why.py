"""Why: the probe beside what is simpler."""

from icecore.cli.advice_report import figures
from icecore.cli.advice_report.drawings.against_baselines import draw_baselines
from icecore.cli.advice_report.markup import Markup, paragraphs, section, tag
from icecore.cli.advice_report.tables import Row, table
from icecore.cli.advice_report.words import baselines, verdict
from icecore.client import Accuracy
from icecore.client.advice_values import Advice


def why(advice: Advice) -> Markup:
    """Return the verdict's reason, a plot, and a table with each lead."""
    rows = [Row(("The probe on the network", *_accuracy(advice.accuracy), "", ""), is_marked=True)]
    meanings = []
    for one in advice.verdict.baselines:
        told = baselines.told(one.name)
        name = baselines.start(told.phrase)
        meanings.append(tag("li", tag("b", f"{name}: "), told.what))
        lead = figures.signed(one.difference), figures.signed_range(one.low, one.high)
        rows.append(Row((name, *_accuracy(one.accuracy), *lead)))
    return section(
        "why",
        "Why: is it better than something simpler?",
        paragraphs(
            "A network is worth its cost only if simpler ways do worse. Each of them learnt from "
            "the same images and answered for the same images as the probe.",
            verdict.reason(advice),
        ),
        tag("figure", draw_baselines(advice)),
        tag("ul", *meanings, class_="quiet"),
        table(
            "Images named right. The lead is the probe's, in points (images of a hundred); a lead "
            f"below {figures.points(advice.verdict.margin)} counts as none.",
            ("", "right", "95 % range", "lead", "90 % range"),
            rows,
        ),
    )


def _accuracy(found: Accuracy) -> tuple[str, str]:
    return figures.percent(found.estimate), figures.percent_range(found.low, found.high)
