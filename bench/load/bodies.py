"""Requests of which no two are the same, so that no cache answers instead of the network.

A body is written once; only some bytes in it change: the first value of a
tensor in its last places, or the comment of a JPEG.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

SENTINEL = b"\xff\x1d\xa7\x5e\x90\x3c\x42\x7b\x08\x61\xee\x2d"
"""Bytes that a body holds nowhere else, where a change is to go."""

SENTINEL_DIGITS = b"icecore-bench-number"


class Hole(Enum):
    """What is written into a body for each request."""

    FLOAT = "float"
    """4 bytes: a float32 from 1 to 2."""
    DIGITS = "digits"
    """20 bytes: a number in decimal digits."""


@dataclass(frozen=True)
class Body:
    """A message with holes at `offsets`, all of them filled anew for each request."""

    data: bytes
    hole: Hole
    offsets: tuple[int, ...]
    n_images: int = 1

    def filled(self, number: int) -> bytes:
        """Return the message number `number`; 8 million differ."""
        message = bytearray(self.data)
        for place, offset in enumerate(self.offsets):
            one = number * len(self.offsets) + place
            if self.hole is Hole.FLOAT:
                struct.pack_into("<I", message, offset, 0x3F800000 | one & 0x7FFFFF)
            else:
                message[offset : offset + 20] = b"%020d" % one
        return bytes(message)


def tensor_body(
    tensor: npt.NDArray[Any], write: Callable[[bytes], bytes], n_images: int = 1
) -> Body:
    """Return what `write` makes of a float32 tensor's bytes, its first value open.

    `write` puts its argument into the message unchanged, once for each of `n_images`.
    """
    return bytes_body(tensor.astype("<f4", copy=False).tobytes(), write, n_images)


def bytes_body(data: bytes, write: Callable[[bytes], bytes], n_images: int = 1) -> Body:
    """Return what `write` makes of some bytes, the first four of them open."""
    message = bytearray(write(SENTINEL + data[len(SENTINEL) :]))
    offsets = _places(message, SENTINEL, n_images)
    for offset in offsets:
        message[offset : offset + len(SENTINEL)] = data[: len(SENTINEL)]
    return Body(bytes(message), Hole.FLOAT, offsets, n_images)


def jpeg_body(jpeg: bytes, write: Callable[[bytes], bytes], n_images: int = 1) -> Body:
    """Return what `write` makes of a JPEG's bytes with a comment, which is open."""
    message = write(with_comment(jpeg, SENTINEL_DIGITS))
    return Body(message, Hole.DIGITS, _places(message, SENTINEL_DIGITS, n_images), n_images)


def with_comment(jpeg: bytes, comment: bytes) -> bytes:
    """Return the same image with one more comment, behind all that comes before its tables."""
    if jpeg[:2] != b"\xff\xd8":
        raise ValueError("no JPEG")
    segment = b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment
    at = 2
    while jpeg[at] == 0xFF and 0xE0 <= jpeg[at + 1] <= 0xEF:  # APP0 to APP15 stay in front
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4])
    return jpeg[:at] + segment + jpeg[at:]


def as_tensor(data: bytes, shape: Sequence[int]) -> npt.NDArray[np.float32]:
    return np.frombuffer(data, "<f4").reshape(shape)


def _places(message: bytes | bytearray, sentinel: bytes, count: int) -> tuple[int, ...]:
    found, at = [], message.find(sentinel)
    while at >= 0:
        found.append(at)
        at = message.find(sentinel, at + 1)
    if len(found) != count:
        raise ValueError(f"the message holds the image {len(found)} times, not {count}")
    return tuple(found)
