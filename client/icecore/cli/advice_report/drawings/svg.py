"""A figure as SVG that lives in the page: its colours and its fonts are the page's own."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from icecore.cli.advice_report.markup import Markup
from icecore.cli.plots.style import BLUE, GRID, ORANGE, QUIET, TEXT

GREEN: Final = "#0b8a6a"
PURPLE: Final = "#a3478f"
SERIES: Final = (BLUE, PURPLE, GREEN, ORANGE)
"""Of several backbones; told apart without colour by their dashes too."""

DASHES: Final[tuple[Any, ...]] = ("solid", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))

PAPER: Final = "#ffffff"
VARIABLES: Final = {
    BLUE: "var(--blue)",
    ORANGE: "var(--orange)",
    GREEN: "var(--green)",
    PURPLE: "var(--purple)",
    TEXT: "var(--text)",
    QUIET: "var(--quiet)",
    GRID: "var(--line)",
    PAPER: "var(--paper)",
}
_WIDTH: Final = 6.1
"""Inches; so narrow that letters of 10 points can still be read on a phone."""

_FONT = re.compile(r"font: (?:(\w+) )?([\d.]+)px [^;]*")
_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"


@contextmanager
def drawing(height: float) -> Iterator[Axes]:
    """Give axes to draw on, by settings that no file of the reader's changes."""
    with matplotlib.rc_context(matplotlib.rcParamsDefault):
        matplotlib.rcParams["svg.fonttype"] = "none"
        matplotlib.rcParams["svg.hashsalt"] = "icecore"
        figure = Figure(figsize=(_WIDTH, height), facecolor="none")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.set_facecolor("none")
        yield axes


def as_svg(axes: Axes, place: str, *, title: str, description: str) -> Markup:
    """Return what was drawn, to be called inside `drawing`.

    Args:
        axes: of the figure.
        place: an id that no other drawing of the page has.
        title: what it shows, for those who do not see it.
        description: the same in a sentence with figures.
    """
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("the axes are of no figure")
    text = io.BytesIO()
    figure.savefig(
        text, format="svg", bbox_inches="tight", pad_inches=0.04, metadata={"Date": None}
    )
    # Our own text, so no hostile XML.
    root = ElementTree.fromstring(text.getvalue())  # noqa: S314
    for metadata in root.findall(f"{_SVG}metadata"):
        root.remove(metadata)
    for element in root.iter():
        _adopt(element, place)
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.attrib |= {"role": "img", "aria-labelledby": f"{place}-title {place}-description"}
    for at, (name, said) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(name, {"id": f"{place}-{_IDS[name]}"})
        element.text = said
        root.insert(at, element)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


_IDS: Final = {"title": "title", "desc": "description"}


def _adopt(element: ElementTree.Element, place: str) -> None:
    """Make ids the drawing's own, colours the page's, and drop namespaces, which HTML knows."""
    element.tag = element.tag.removeprefix(_SVG)
    if "id" in element.attrib:
        element.attrib["id"] = f"{place}-{element.attrib['id']}"
    if _LINK in element.attrib:
        link = element.attrib.pop(_LINK)
        element.attrib["href"] = f"#{place}-{link[1:]}" if link.startswith("#") else link
    if "clip-path" in element.attrib:
        element.attrib["clip-path"] = element.attrib["clip-path"].replace("#", f"#{place}-")
    style = element.attrib.get("style")
    if style is not None:
        for colour, variable in VARIABLES.items():
            style = style.replace(colour, variable)
        element.attrib["style"] = _FONT.sub(_inherited, style)


def _inherited(found: re.Match[str]) -> str:
    weight = f"font-weight: {found[1]}; " if found[1] else ""
    return f"{weight}font-size: {found[2]}px"
