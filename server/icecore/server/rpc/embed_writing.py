"""An EmbedResponse written as bytes, in one copy of the codes.

Tap, dtype and shape are the same from call to call, so protobuf writes them once.
"""

from collections.abc import Sequence
from typing import Final

from icecore.server.embedding.gathering import Embedded, Timings
from icecore.server.rpc import answers
from icecore.server.storage.records import CodeArray
from icecore.v1 import codes_pb2, common_pb2
from icecore.wire import messages
from icecore.wire.taps import TapId

_BYTES: Final = 2
_CODES: Final = codes_pb2.EmbedResponse.CODES_FIELD_NUMBER << 3 | _BYTES
_TIMINGS: Final = codes_pb2.EmbedResponse.TIMINGS_FIELD_NUMBER << 3 | _BYTES
_DATA: Final = common_pb2.Codes.DATA_FIELD_NUMBER << 3 | _BYTES

_MOST_KEPT: Final = 2
"""Sizes of call of which heads are kept, with each set of few enough taps: at most 30 KB."""
_MOST_TAPS_KEPT: Final = 64


class Reading:
    """What is read, and written of it: the taps of one backbone, in the order asked.

    Args:
        n_values: of one image at all of them.
    """

    __slots__ = ("_heads", "n_values", "taps")

    def __init__(self, taps: tuple[TapId, ...], n_values: int) -> None:
        self.taps = taps
        self.n_values = n_values
        self._heads: dict[tuple[int, str], list[bytes]] = {}

    def written(self, embedded: Embedded) -> bytes:
        """Return the bytes of the response: the codes at each tap, and where the time went."""
        parts: list[bytes] = []
        for values, head in zip(embedded.codes, self._heads_of(embedded.codes), strict=True):
            parts += (head, _little_endian(values))
        parts.append(_timings(embedded.timings))
        return b"".join(parts)

    def _heads_of(self, codes: Sequence[CodeArray]) -> list[bytes]:
        """All that comes before the values, one a tap."""
        key = (len(codes[0]), codes[0].dtype.char)
        heads = self._heads.get(key)
        if heads is None:
            heads = [_head(tap, values) for tap, values in zip(self.taps, codes, strict=True)]
            if len(heads) <= _MOST_TAPS_KEPT:
                if len(self._heads) >= _MOST_KEPT:
                    self._heads.clear()
                self._heads[key] = heads
        return heads


def write(response: bytes) -> bytes:
    """A serializer for what is written already."""
    return response


def _little_endian(values: CodeArray) -> bytes:
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def _head(tap: TapId, values: CodeArray) -> bytes:
    """A Codes message of the response up to its data's bytes."""
    message = common_pb2.Codes(
        tap=messages.tap_to_message(tap),
        dtype=messages.dtype_to_message(values.dtype),
        shape=values.shape,
    )
    before = message.SerializeToString() + _length(_DATA, values.nbytes)
    return _length(_CODES, len(before) + values.nbytes) + before


def _timings(spent: Timings) -> bytes:
    timings = answers.timings(spent).SerializeToString()
    return _length(_TIMINGS, len(timings)) + timings


def _length(tag: int, n_bytes: int) -> bytes:
    """The tag of a field of bytes, below 16, and its length."""
    made = bytearray([tag])
    while n_bytes >= 0x80:
        made.append(n_bytes & 0x7F | 0x80)
        n_bytes >>= 7
    made.append(n_bytes)
    return bytes(made)
