"""Tables beside the plots: a caption, named columns, rows that begin with what they are of."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from icecore.cli.advice_report.markup import Markup, join, tag


@dataclass(frozen=True, slots=True)
class Row:
    """Cells of a row, the first of which heads it; `note` stands out."""

    cells: Sequence[str]
    is_marked: bool = False


def table(caption: str, titles: Sequence[str], rows: Iterable[Row], *, texts: int = 1) -> Markup:
    """Return a table that scrolls by itself where it is too wide.

    Args:
        caption: what it shows.
        titles: one a column.
        rows: cells, escaped unless they are `Markup`.
        texts: how many columns, from the first on, are texts; numbers stand to the right.
    """
    head = tag(
        "tr", *(tag("th", title, scope="col", class_=_kind(i, texts)) for i, title in _each(titles))
    )
    body = join(*(_row(row, texts) for row in rows))
    inside = tag("table", tag("caption", caption), tag("thead", head), tag("tbody", body))
    # With a tab stop, so that it can be scrolled without a mouse.
    return tag("div", inside, class_="wide", tabindex="0", role="group", aria_label=caption)


def folded(summary: str, *children: str) -> Markup:
    """Return what is shown when it is asked for."""
    return tag("details", tag("summary", summary), *children)


def _row(row: Row, texts: int) -> Markup:
    cells = [
        tag("th", cell, scope="row") if i == 0 else tag("td", cell, class_=_kind(i, texts))
        for i, cell in _each(row.cells)
    ]
    return tag("tr", *cells, class_="marked" if row.is_marked else None)


def _each(cells: Sequence[str]) -> Iterable[tuple[int, str]]:
    return enumerate(cells)


def _kind(place: int, texts: int) -> str | None:
    return "number" if place >= texts else None
