"""A picture of search results: each query at the left, what was found beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont, ImageOps

from icecore.cli.output import printable

TILE = 132
FRAME = 4
GAP = 14
CAPTION = 36
MARGIN = 32
HEADER = 84
QUERY_GAP = 46

BACKGROUND = (255, 255, 255)
TEXT = (31, 41, 55)
QUIET = (107, 114, 128)
RULE = (229, 231, 235)
SAME = (22, 148, 96)
OTHER = (214, 69, 65)
PLAIN = (55, 65, 81)


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture with its label above a quiet second line."""

    path: Path
    label: str
    below: str
    is_same: bool | None = None
    """Whether its class is the query's, which colours the frame; None for the query."""


def draw_sheet(rows: Sequence[Sequence[Tile]], out: Path, *, title: str, subtitle: str) -> None:
    """Write a PNG of rows, each a query and its hits, best first.

    Raises:
        OSError: a picture cannot be read, or `out` not be written.
    """
    columns = max(len(row) for row in rows)
    width = 2 * MARGIN + columns * TILE + (columns - 2) * GAP + QUERY_GAP
    row_height = TILE + CAPTION + GAP
    height = MARGIN + HEADER + len(rows) * row_height + MARGIN - GAP
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN - 6), _cut(title, _font(22, True), width), TEXT, _font(22, True))
    pen.text((MARGIN, MARGIN + 27), _cut(subtitle, _font(14), width), QUIET, _font(14))
    first = MARGIN + TILE + QUERY_GAP
    top = MARGIN + HEADER - 22
    pen.text((MARGIN, top), "query", QUIET, _font(13))
    pen.text((first, top), "nearest in the collection, best first", QUIET, _font(13))
    for place, row in enumerate(rows):
        y = MARGIN + HEADER + place * row_height
        rule = first - QUERY_GAP // 2
        pen.line((rule, y, rule, y + TILE), RULE, 2)
        for column, tile in enumerate(row):
            x = MARGIN if column == 0 else first + (column - 1) * (TILE + GAP)
            _put(sheet, pen, tile, x, y)
    sheet.save(out, optimize=True)


def _put(sheet: Image.Image, pen: ImageDraw.ImageDraw, tile: Tile, x: int, y: int) -> None:
    colour = PLAIN if tile.is_same is None else SAME if tile.is_same else OTHER
    pen.rectangle((x, y, x + TILE - 1, y + TILE - 1), fill=colour)
    inner = TILE - 2 * FRAME
    with Image.open(tile.path) as file:
        file.draft("RGB", (inner, inner))
        picture = ImageOps.exif_transpose(file).convert("RGBA")
    small = ImageOps.fit(picture, (inner, inner), Image.Resampling.LANCZOS)
    paper = Image.new("RGBA", small.size, (*BACKGROUND, 255))
    sheet.paste(Image.alpha_composite(paper, small).convert("RGB"), (x + FRAME, y + FRAME))
    mark = "" if tile.is_same is None else "= " if tile.is_same else "≠ "
    pen.text(
        (x, y + TILE + 3), _cut(mark + tile.label, _font(13, True), TILE), colour, _font(13, True)
    )
    pen.text((x, y + TILE + 19), _cut(tile.below, _font(12), TILE), QUIET, _font(12))


def _font(size: int, is_bold: bool = False) -> ImageFont.FreeTypeFont:
    # matplotlib's: it comes with the command line, and has more letters than Pillow's own.
    name = "DejaVuSans-Bold.ttf" if is_bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", name), size)


def _cut(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Return text that fits, its end replaced by dots where it does not."""
    text = printable(text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
