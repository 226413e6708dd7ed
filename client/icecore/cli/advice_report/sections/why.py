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
    ours = Row(
        ("The probe on the network", "", *_accuracy(advice.accuracy), "", ""), is_marked=True
    )
    rows = [ours]
    for one in advice.verdict.baselines:
        told = baselines.told(one.name)
        rows.append(
            Row(
                (
                    baselines.start(told.phrase),
                    told.what,
                    *_accuracy(one.accuracy),
                    figures.signed(one.difference),
                    figures.signed_range(one.low, one.high),
                )
            )
        )
    return section(
        "why",
        "Why: is it better than something simpler?",
        paragraphs(
            "A network is worth its cost only if simpler ways do worse. Each of them learnt from "
            "the same images and answered for the same images as the probe.",
            verdict.reason(advice),
        ),
        tag("figure", draw_baselines(advice)),
        table(
            "Images named right. The lead is the probe's, in points (images of a hundred); a lead "
            f"below {figures.points(advice.verdict.margin)} counts as none.",
            ("", "What it is", "right", "95 % range", "lead", "90 % range"),
            rows,
            texts=2,
        ),
    )


def _accuracy(found: Accuracy) -> tuple[str, str]:
    return figures.percent(found.estimate), figures.percent_range(found.low, found.high)
