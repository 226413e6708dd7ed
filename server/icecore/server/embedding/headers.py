"""What the first bytes of an image file say, read before any decoder sees them.

Decoders allocate by the size in the header (libwebp already when it opens the
file), so that size is read here and checked first. Nothing is decoded, and
the work is bounded: this is done on the event loop too.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

ACCEPTED = ("JPEG", "PNG", "WEBP")

MOST_SEGMENTS: Final = 512
"""Of a JPEG before its first scan. Colour profiles may have 255, maps of depth as many."""

MOST_STRAY_BYTES: Final = 1 << 16
"""Of a JPEG, between those segments: some cameras fill up to their own blocks."""

_PNG = b"\x89PNG\r\n\x1a\n"
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))
_SOS = 0xDA
# With a length: frames, tables, scans, applications' data, comments. No decoder reads others.
_SEGMENTS = frozenset((*range(0xC0, 0xD0), *range(0xDA, 0xF0), 0xFE)) - {0xC8}
_FILL = re.compile(rb"\xff+")

# Formats that people send by mistake, by their first bytes; only to say so.
_OTHERS = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"II*\x00", "a TIFF"),
    (b"MM\x00*", "a TIFF"),
    (b"%PDF", "a PDF"),
    (b"<svg", "an SVG"),
    (b"<?xml", "XML"),
    (b"<!DOCTYPE", "HTML"),
    (b"<html", "HTML"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x00\x00\x01\x00", "an ICO"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000"),
)


@dataclass(frozen=True, slots=True)
class Header:
    """`width` and `height` are 0 where the file ends before it says them."""

    format: str
    width: int
    height: int


def read_header(data: bytes) -> Header | None:
    """Return format and size in pixels, or None if it is none of `ACCEPTED`."""
    if data[:8] == _PNG:
        if data[12:16] != b"IHDR" or len(data) < 24:
            return Header("PNG", 0, 0)
        return Header("PNG", _big(data[16:20]), _big(data[20:24]))
    if data[:3] == b"\xff\xd8\xff":
        return Header("JPEG", *_jpeg_size(data))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Header("WEBP", *_webp_size(data))
    return None


def first_scan(data: bytes) -> int:
    """Return where a JPEG's first scan begins; -1: not within what is looked at of it.

    Then no decoder is to see it either: Pillow would walk all of it, byte by byte.
    """
    return next((at for marker, at in _segments(data) if marker == _SOS), -1)


def is_cut_short(data: bytes, header: Header) -> bool:
    """Return whether the file lacks its end: PNG's IEND, JPEG's EOI, RIFF's length."""
    if header.format == "PNG":
        return b"IEND" not in data[-64:] and b"\x00\x00\x00\x00IEND\xaeB`\x82" not in data
    if header.format == "JPEG":
        return b"\xff\xd9" not in data[-64:]
    return len(data) < 8 + int.from_bytes(data[4:8], "little")


def name_format(data: bytes) -> str:
    """Return what else the bytes seem to be ("a GIF"), or "" if that is not known."""
    start = data[:64].lstrip()
    for magic, name in _OTHERS:
        if start.startswith(magic) or data.startswith(magic):
            return name
    if data[4:8] == b"ftyp":
        return {b"avif": "an AVIF", b"avis": "an AVIF"}.get(data[8:12], "a HEIF or MP4")
    return ""


def _big(two_or_four: bytes) -> int:
    return int.from_bytes(two_or_four, "big")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Read the first frame header (ITU T.81, B.2.2)."""
    for marker, at in _segments(data):
        if marker in _SOF and at + 9 <= len(data):
            return _big(data[at + 7 : at + 9]), _big(data[at + 5 : at + 7])
    return 0, 0


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Walk the segments up to the first scan (ITU T.81, B.1): each one's marker and place.

    Stray bytes between them are skipped, as libjpeg does, but not for ever.
    """
    at, end, n_left = 2, len(data) - 3, MOST_STRAY_BYTES
    for _ in range(MOST_SEGMENTS):
        if at >= end:
            return
        marker = data[at + 1]
        if data[at] != 0xFF or marker == 0xFF:
            found = _after_stray(data, at, at + n_left)
            if found < 0:
                return
            n_left -= found - at
            at = found
        elif marker in _SEGMENTS:
            yield marker, at
            if marker == _SOS:
                return
            at += 2 + max(2, data[at + 2] << 8 | data[at + 3])
        elif marker == 0x00 or marker in _ALONE:
            at += 2
        else:
            return


def _after_stray(data: bytes, at: int, most: int) -> int:
    """Return where the next marker begins, by the last 0xFF before it; -1: not before `most`."""
    first = data.find(b"\xff", at, most)
    fill = _FILL.match(data, first, most) if first >= 0 else None
    return -1 if fill is None or fill.end() == most else fill.end() - 1


def _webp_size(data: bytes) -> tuple[int, int]:
    """Read the first chunk (RFC 9649: VP8X, VP8L, VP8)."""
    kind, body = data[12:16], data[20:30]
    if len(body) < 10:
        return 0, 0
    if kind == b"VP8X":
        return (
            1 + int.from_bytes(body[4:7], "little"),
            1 + int.from_bytes(body[7:10], "little"),
        )
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return (
            int.from_bytes(body[6:8], "little") & 0x3FFF,
            int.from_bytes(body[8:10], "little") & 0x3FFF,
        )
    return 0, 0
