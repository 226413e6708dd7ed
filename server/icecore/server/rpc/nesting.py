"""How many fields a message has at all depths, counted before protobuf makes objects of them.

Twenty million empty messages fit into 60 MB, and protobuf makes 24 bytes of each one of theirs.
"""

from functools import cache
from typing import Any, Final

from icecore.server.errors import InvalidArgument
from icecore.server.rpc.fields import BYTES, LARGE_BYTES, Unreadable, fields

MOST_NESTED: Final = 1 << 17
"""Of a large message: 1,024 examples with twenty keys of metadata each."""

_DEEPEST: Final = 100
"""As protobuf has it."""


def check(data: bytes, of: Any) -> None:
    """Return if protobuf may read a message.

    Numbers in packed lists are not counted: they grow to eight times their size at most.

    Args:
        of: the message's descriptor.

    Raises:
        InvalidArgument: it is large and has more than `MOST_NESTED` fields, or it is broken.
    """
    if len(data) <= LARGE_BYTES:
        return
    left = MOST_NESTED
    within = [(of, 0, len(data), 0)]
    try:
        while within:
            descriptor, start, stop, depth = within.pop()
            messages = _messages(descriptor)
            for number, kind, _, first, end in fields(data, start, stop, most=left):
                left -= 1
                inner = messages.get(number) if kind == BYTES else None
                if inner is not None and depth < _DEEPEST:
                    within.append((inner, first, end, depth + 1))
    except Unreadable:
        raise InvalidArgument(
            f"the message of {len(data):,} bytes is broken, or has more than {MOST_NESTED:,} "
            "fields: send less in each"
        ) from None


@cache
def _messages(descriptor: Any) -> dict[int, Any]:
    """Descriptors of those fields of a message that are messages themselves, by number."""
    return {
        field.number: field.message_type
        for field in descriptor.fields
        if field.message_type is not None
    }
