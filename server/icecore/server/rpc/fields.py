"""The fields of a message's bytes, one level deep, without parsing what is in them.

Python looks at one to three million fields a second and protobuf makes some 50 bytes of each:
64 MB of empty fields would hold up all callers for half a minute, or take 1.5 GB. So their
number is bounded here, before either begins.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

from icecore.server.errors import InvalidArgument

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
"""What has its length in front: bytes, texts, messages."""
FIXED32: Final = 5

MOST_FIELDS: Final = 8192
"""Of a large message: 4,096 layers or outputs, 1,024 images, and what stands beside them."""

LARGE_BYTES: Final = 1 << 20
"""Messages below cost protobuf little, whatever is in them."""

_LONGEST_TAG: Final = 5
_LONGEST_NUMBER: Final = 10

Field: TypeAlias = tuple[int, int, int, int, int]
"""Number and kind, where its tag begins, where its content does, and the byte after it."""


class Unreadable(Exception):
    """These are no such fields, or too many, as far as is known; protobuf shall say."""


def all_fields(data: bytes) -> list[Field] | None:
    """Return the fields of a whole message; None: they are for protobuf to judge.

    Raises:
        InvalidArgument: it is large and has too many fields, or has some that cannot be counted:
            it is broken, or has groups, which are not in this contract.
    """
    try:
        return list(fields(data, 0, len(data), most=MOST_FIELDS))
    except Unreadable:
        if len(data) > LARGE_BYTES:
            raise InvalidArgument(
                f"the message of {len(data):,} bytes is broken, or has more than {MOST_FIELDS:,} "
                "fields: send fewer images, or name fewer layers, in each"
            ) from None
        return None


def fields(data: bytes, at: int, end: int, *, most: int) -> Iterator[Field]:
    """Yield the fields of a message that lies from `at` to `end`.

    Raises:
        Unreadable: there are more than `most`, one is cut off, or one is a group.
    """
    n = 0
    while at < end:
        start = at
        tag = data[at]
        at += 1
        if tag >= 0x80:  # few have one of more than a byte, and a call takes as long as all else
            tag, at = _varint(data, start, end, _LONGEST_TAG)
        first = at
        kind = tag & 7
        if kind == BYTES:
            if at < end and (length := data[at]) < 0x80:
                first = at + 1
            else:
                length, first = _varint(data, at, end, _LONGEST_TAG)
            at = first + length
        elif kind == VARINT:
            if at < end and data[at] < 0x80:
                at += 1
            else:
                _, at = _varint(data, at, end, _LONGEST_NUMBER)
        elif kind == FIXED32:
            at += 4
        elif kind == FIXED64:
            at += 8
        else:
            raise Unreadable
        n += 1
        if at > end or n > most:
            raise Unreadable
        yield tag >> 3, kind, start, first, at


def _varint(data: bytes, at: int, end: int, longest: int) -> tuple[int, int]:
    """A number, and the place behind it."""
    value = shift = 0
    for place in range(at, min(end, at + longest)):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
    raise Unreadable
