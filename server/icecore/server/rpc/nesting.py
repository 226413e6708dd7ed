"""What a message has at all depths, fields and numbers in lists, counted before protobuf reads it.

Twenty million empty messages fit into 60 MB, and protobuf makes 24 bytes of each one of theirs.
As many numbers of a byte fit into a packed list, and of each it makes eight.
"""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor

from icecore.server.errors import InvalidArgument
from icecore.server.rpc.fields import BYTES, LARGE_BYTES, Unreadable, fields

MOST_NESTED: Final = 1 << 17
"""Of a large message: 1,024 examples with twenty keys of metadata each."""

_DEEPEST: Final = 100
"""As protobuf has it."""

_FIXED: Final = frozenset(
    {
        FieldDescriptor.TYPE_FLOAT,
        FieldDescriptor.TYPE_DOUBLE,
        FieldDescriptor.TYPE_FIXED32,
        FieldDescriptor.TYPE_FIXED64,
        FieldDescriptor.TYPE_SFIXED32,
        FieldDescriptor.TYPE_SFIXED64,
    }
)
_TEXTS: Final = frozenset({FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES})

_NOTHING: Final[Mapping[str, int]] = MappingProxyType({})


def check(data: bytes, of: Any, *, long: Mapping[str, int] = _NOTHING) -> None:
    """Return if protobuf may read a message.

    Of a packed list each byte counts, since it may be a number; but floats and other numbers
    of a fixed size are copied as they are, which costs nothing that counts.

    Args:
        of: the message's descriptor.
        long: lists that may have more numbers than that: how many bytes of them, by the
            field's full name.

    Raises:
        InvalidArgument: it is large and has more than `MOST_NESTED` fields and numbers, or a
            list more than `long` says, or it is broken.
    """
    if len(data) <= LARGE_BYTES:
        return
    left = MOST_NESTED
    left_of = dict(long)
    within = [(of, 0, len(data), 0)]
    try:
        while within:
            descriptor, start, stop, depth = within.pop()
            counted = _counted(descriptor)
            for number, kind, _, first, end in fields(data, start, stop, most=left):
                left -= 1
                if left < 0:  # `most` was fixed before the lists of this message
                    raise Unreadable
                field = counted.get(number) if kind == BYTES else None
                if field is None or first == end:
                    continue
                if field.message_type is None:
                    name = field.full_name
                    if name in left_of:
                        left_of[name] = _less(left_of[name], end - first)
                    else:
                        left = _less(left, end - first)
                elif depth < _DEEPEST:
                    within.append((field.message_type, first, end, depth + 1))
    except Unreadable:
        longest = "".join(
            f", or more than {most:,} bytes of {name.rpartition('.')[2]}"
            for name, most in long.items()
        )
        raise InvalidArgument(
            f"the message of {len(data):,} bytes is broken, or has more than {MOST_NESTED:,} "
            f"fields and numbers in lists{longest}: send less in each"
        ) from None


def _less(left: int, n_bytes: int) -> int:
    if n_bytes > left:
        raise Unreadable
    return left - n_bytes


@cache
def _counted(descriptor: Any) -> dict[int, Any]:
    """Those fields of a message that are messages themselves, or lists of numbers, by number.

    Whether such a list was declared packed makes no difference to who reads it.
    """
    return {field.number: field for field in descriptor.fields if _counts(field)}


def _counts(field: Any) -> bool:
    if field.message_type is not None:
        return True
    return field.is_repeated and field.type not in _FIXED and field.type not in _TEXTS
