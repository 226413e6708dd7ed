"""Bytes of a request to its message, with limits that answer in our words.

gRPC's own refusal of a message over the limit carries no reason, so gRPC is
told twice the limit and the limit itself is kept here, before anything is parsed.
Beyond twice the limit gRPC refuses with the same status, RESOURCE_EXHAUSTED.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from google.protobuf.message import DecodeError

from icecore.server.errors import IcecoreError, InvalidArgument, MessageTooLarge

Deserializer: TypeAlias = Callable[[bytes], Any]


@dataclass(frozen=True, slots=True)
class Refused:
    """Stands where a message would; a deserializer that raises loses the status."""

    error: IcecoreError


def core_limit(max_bytes: int) -> int:
    """Return what gRPC itself is told."""
    return 2 * max_bytes


def limited(read: Deserializer, max_bytes: int) -> Deserializer:
    """Return a deserializer that gives a message, or Refused."""

    def deserialize(data: bytes) -> Any:
        if len(data) > max_bytes:
            return Refused(
                MessageTooLarge(
                    f"the message has {len(data):,} bytes, but {max_bytes:,} are the most: "
                    "send fewer or smaller images in each"
                )
            )
        try:
            return read(data)
        except DecodeError:
            return Refused(InvalidArgument("the bytes are not a message of this method's type"))

    return deserialize


def opened(message: Any) -> Any:
    """Return the message.

    Raises:
        IcecoreError: it was refused.
    """
    if isinstance(message, Refused):
        raise message.error
    return message
