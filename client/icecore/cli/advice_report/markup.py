"""HTML made of tags whose texts are escaped, so that no name can become markup."""

import base64
import html
import json
from typing import Any, Final

from icecore.cli.output import printable

LONGEST_NAME: Final = 40
"""Characters of a label, id or layer that are shown; `title` has more of it."""

LONGEST_TITLE: Final = 500

_HEAD, _TAIL = 26, 13
_ISOLATE, _END = "\u2068", "\u2069"
_VOID: Final = frozenset({"img", "meta", "br", "col"})
_JPEG_STARTS, _JPEG_ENDS = b"\xff\xd8\xff", b"\xff\xd9"
LARGEST_THUMBNAIL: Final = 24 * 1024
"""Bytes of a JPEG of 96 pixels a side that are believed to be one."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: str | None) -> Markup:
    """Return an element. Children that are no `Markup`, and all attributes, are escaped.

    An attribute that is None is left out; `class_` and `aria_label` become `class`
    and `aria-label`.
    """
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{told}>")
    return Markup(f"<{name}{told}>{join(*children)}</{name}>")


def join(*children: str) -> Markup:
    """Return elements and texts one after another; texts are escaped."""
    return Markup(
        "".join(child if isinstance(child, Markup) else html.escape(child) for child in children)
    )


def plain(name: str, longest: int = LONGEST_NAME) -> str:
    """Return a name on one line without control characters, its middle left out if it is long."""
    text = printable(name)
    if len(text) <= longest:
        return text
    return f"{text[:_HEAD]}…{text[-_TAIL:]}"


def named(name: str) -> str:
    """Return a name for a sentence: in quotes, and keeping its writing direction to itself."""
    return f"“{_ISOLATE}{plain(name)}{_END}”"


def label(name: str) -> Markup:
    """Return a name for a cell or a caption; all of it is told where the mouse rests."""
    short = plain(name)
    full = printable(name)[:LONGEST_TITLE]
    return tag("bdi", short, title=None if short == full else full)


def section(place: str, heading: str, *children: str) -> Markup:
    """Return a part of the page under its heading, which others can link to."""
    return tag("section", tag("h2", heading, id=place), *children, aria_labelledby=place)


def paragraphs(*texts: str) -> Markup:
    """Return each text that is not empty as a paragraph."""
    return join(*(tag("p", text) for text in texts if text))


def thumbnail(jpeg: bytes, alt: str) -> Markup:
    """Return an image, or an empty frame where the bytes are no small JPEG."""
    is_jpeg = (
        len(jpeg) <= LARGEST_THUMBNAIL
        and jpeg.startswith(_JPEG_STARTS)
        and jpeg.rstrip(b"\0").endswith(_JPEG_ENDS)
    )
    if not is_jpeg:
        return tag("span", "no picture kept", class_="thumb none", role="img", aria_label=alt)
    source = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"
    return tag("img", src=source, alt=alt, class_="thumb")


def data_block(place: str, value: Any) -> Markup:
    """Return JSON that programs find in the page; no text in it can end the block."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(f'<script type="application/json" id="{html.escape(place)}">{text}</script>')
