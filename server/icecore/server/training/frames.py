"""How trainer and worker talk: frames of bytes over pipes, each with its length before it.

A message is a frame of JSON; arrays and files follow as frames of their own. Nothing of
a tenant's touches the disk on this way.
"""

import asyncio
import json
import struct
from collections.abc import Mapping
from typing import BinaryIO, Final, cast

_LENGTH: Final = struct.Struct("<Q")
_PIECE: Final = 1 << 20  # what is written between two looks at the pipe's room


def write_frame(stream: BinaryIO, data: bytes) -> None:
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def write_message(stream: BinaryIO, message: Mapping[str, object]) -> None:
    write_frame(stream, json.dumps(message).encode())


def read_frame(stream: BinaryIO) -> bytes:
    """Return the next frame.

    Raises:
        EOFError: the other end is gone.
    """
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    return _exactly(stream, length)


def read_message(stream: BinaryIO) -> dict[str, object]:
    """As `read_frame`, of JSON."""
    return cast(dict[str, object], json.loads(read_frame(stream)))


async def send_frame(writer: asyncio.StreamWriter, data: bytes | memoryview) -> None:
    """Send a frame, at the reader's pace.

    Raises:
        OSError: the other end is gone.
    """
    view = memoryview(data).cast("B") if len(data) else memoryview(b"")
    writer.write(_LENGTH.pack(view.nbytes))
    for start in range(0, view.nbytes, _PIECE):
        writer.write(view[start : start + _PIECE])
        await writer.drain()
    await writer.drain()


async def send_message(writer: asyncio.StreamWriter, message: Mapping[str, object]) -> None:
    await send_frame(writer, json.dumps(message).encode())


async def receive_frame(reader: asyncio.StreamReader) -> bytes:
    """Return the next frame.

    Raises:
        EOFError: the other end is gone (IncompleteReadError is one).
    """
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    return await reader.readexactly(length)


async def receive_message(reader: asyncio.StreamReader) -> dict[str, object]:
    """As `receive_frame`, of JSON."""
    return cast(dict[str, object], json.loads(await receive_frame(reader)))


def _exactly(stream: BinaryIO, length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError(f"{len(data)} of {length} bytes came before the other end was gone")
    return data
