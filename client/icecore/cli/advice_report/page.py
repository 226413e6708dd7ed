"""The whole page: one file that needs no network and no script."""

from typing import Final

from icecore.cli.advice_json import advice_json
from icecore.cli.advice_report.markup import Markup, data_block, join, plain, tag
from icecore.cli.advice_report.sections.enough import enough
from icecore.cli.advice_report.sections.measured import measured, unsaid, words_told
from icecore.cli.advice_report.sections.mistakes import mistakes
from icecore.cli.advice_report.sections.summary import how_good, introduction, to_do
from icecore.cli.advice_report.sections.where import where
from icecore.cli.advice_report.sections.why import why
from icecore.cli.advice_report.style import CSS
from icecore.cli.advice_report.words.commands import UNKNOWN, Origin
from icecore.client.advice_values import Advice

DATA: Final = "icecore-advice"
"""The id of the JSON in the page."""

_POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""A browser that reads it loads nothing and runs nothing, whatever is in the page."""

_PARTS: Final = (
    ("good", "How good?"),
    ("why", "Why"),
    ("where", "Where"),
    ("enough", "Enough images?"),
    ("mistakes", "The mistakes"),
    ("measured", "How it was measured"),
    ("unsaid", "What it does not say"),
    ("words", "Words"),
)


def page(advice: Advice, origin: Origin = UNKNOWN) -> str:
    """Return the report as HTML. The same advice and origin give the same page."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="generator", content="icecore"),
        tag("title", f"Advice on {plain(advice.collection_id)}"),
        tag("style", Markup(CSS)),
    )
    links = [join(tag("a", name, href=f"#{place}"), " ") for place, name in _PARTS]
    main = tag(
        "main",
        introduction(advice),
        to_do(advice, origin),
        tag("nav", *links, aria_label="Parts of this report"),
        how_good(advice),
        why(advice),
        where(advice),
        enough(advice),
        mistakes(advice),
        measured(advice),
        unsaid(),
        words_told(),
        data_block(DATA, advice_json(advice)),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', main), lang='en')}\n"
