"""An EmbedResponse written as bytes, in one copy of the codes.

Tap, dtype and shape are the same from call to call, so protobuf writes them once.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from icecore.server.embedding.gathering import Embedded
from icecore.server.rpc import answers
from icecore.server.storage.records import CodeArray
from icecore.v1 import codes_pb2, common_pb2
from icecore.wire import messages
from icecore.wire.taps import TapId

_BYTES: Final = 2
_CODES: Final = codes_pb2.EmbedResponse.CODES_FIELD_NUMBER << 3 | _BYTES
_TIMINGS: Final = codes_pb2.EmbedResponse.TIMINGS_FIELD_NUMBER << 3 | _BYTES
_DATA: Final = common_pb2.Codes.DATA_FIELD_NUMBER << 3 | _BYTES


def written(embedded: Embedded, taps: Sequence[TapId]) -> bytes:
    """Return the bytes of the response: the codes at each tap, and where the time went."""
    parts: list[bytes] = []
    for values, tap in zip(embedded.codes, taps, strict=True):
        data = _little_endian(values)
        labels = (tap.backbone, tap.depth)  # not compared, but written
        head = _head(tap, labels, values.dtype.char, values.shape)
        before = head + _length(_DATA, len(data))
        parts += [_length(_CODES, len(before) + len(data)), before, data]
    timings = answers.timings(embedded.timings).SerializeToString()
    parts += [_length(_TIMINGS, len(timings)), timings]
    return b"".join(parts)


def write(response: bytes) -> bytes:
    """A serializer for what is written already."""
    return response


def _little_endian(values: CodeArray) -> bytes:
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


@lru_cache(maxsize=1024)
def _head(tap: TapId, _labels: tuple[str, int], dtype: str, shape: tuple[int, ...]) -> bytes:
    """A Codes message without its data."""
    message = common_pb2.Codes(
        tap=messages.tap_to_message(tap),
        dtype=messages.dtype_to_message(np.dtype(dtype)),
        shape=shape,
    )
    return message.SerializeToString()


def _length(tag: int, n_bytes: int) -> bytes:
    """The tag of a field of bytes, below 16, and its length."""
    made = bytearray([tag])
    while n_bytes >= 0x80:
        made.append(n_bytes & 0x7F | 0x80)
        n_bytes >>= 7
    made.append(n_bytes)
    return bytes(made)
