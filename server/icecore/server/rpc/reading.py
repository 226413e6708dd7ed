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
from icecore.server.rpc import nesting

Deserializer: TypeAlias = Callable[[bytes], Any]


@dataclass(slots=True, eq=False)
class Read:
    """A message with its size, or an error in its place: a deserializer that raises loses it.

    It is opened once and forgets the message then: gRPC holds on to what was read last in a
    cycle that only the garbage collector breaks, some hundred calls later.
    """

    n_bytes: int
    message: Any = None
    error: IcecoreError | None = None


def core_limit(max_bytes: int) -> int:
    """Return what gRPC itself is told."""
    return 2 * max_bytes


def limited(read: Deserializer, max_bytes: int) -> Deserializer:
    """Return a deserializer that gives a Read.

    Args:
        read: one that looks at what it reads first, or a message's own `FromString`, as
            generated handlers have it: then its fields are counted here.
    """
    of = getattr(getattr(read, "__self__", None), "DESCRIPTOR", None)

    def deserialize(data: bytes) -> Read:
        n_bytes = len(data)
        if n_bytes > max_bytes:
            return Read(
                n_bytes,
                error=MessageTooLarge(
                    f"the message has {n_bytes:,} bytes, but {max_bytes:,} are the most: "
                    "send fewer or smaller images in each"
                ),
            )
        try:
            if of is not None:
                nesting.check(data, of)
            return Read(n_bytes, read(data))
        except DecodeError:
            error = InvalidArgument("the bytes are not a message of this method's type")
            return Read(n_bytes, error=error)
        except IcecoreError as error:
            return Read(n_bytes, error=error)

    return deserialize


def opened(read: Read) -> Any:
    """Return the message.

    Raises:
        IcecoreError: it was refused.
    """
    if read.error is not None:
        raise read.error
    message, read.message = read.message, None
    return message
