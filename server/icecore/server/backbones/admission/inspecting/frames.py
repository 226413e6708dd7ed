"""How the server and its inspector talk: over pipes, each message with its length before it.

A reader says how much it takes at most, so that neither end can fill the other's memory.
"""

import json
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO, Final

_LENGTH: Final = struct.Struct("<Q")
MAX_MESSAGE_BYTES: Final = 4 << 20


def write_frame(stream: BinaryIO, data: bytes) -> None:
    stream.write(_LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def write_message(stream: BinaryIO, message: Mapping[str, object]) -> None:
    write_frame(stream, json.dumps(message).encode())


def read_frame(stream: BinaryIO, *, max_bytes: int) -> bytes:
    """Return the next frame.

    Raises:
        EOFError: the other end is gone.
        FrameTooLarge: it has more than `max_bytes`, none of which were read.
    """
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    if length > max_bytes:
        raise FrameTooLarge(f"a frame has {length:,} bytes, but {max_bytes:,} are the most")
    return _exactly(stream, length)


def read_message(stream: BinaryIO) -> dict[str, Any]:
    """As `read_frame`, of a JSON object."""
    message = json.loads(read_frame(stream, max_bytes=MAX_MESSAGE_BYTES))
    if not isinstance(message, dict):
        raise ValueError("a message is no JSON object")
    return message


class FrameTooLarge(ValueError):
    """The other end says that more is coming than is taken."""


def _exactly(stream: BinaryIO, length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError(f"{len(data):,} of {length:,} bytes came before the other end was gone")
    return data
