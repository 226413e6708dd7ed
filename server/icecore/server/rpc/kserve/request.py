"""A ModelInferRequest whose raw contents lie where gRPC put them.

protobuf copies them once when it parses and again when they are asked for, which for a
tensor of 602 KB is more than half of all that is done with a request here. So they are
taken out by hand, and protobuf reads the rest. What it takes is the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from icecore.kserve import open_inference as pb

Buffer = bytes | memoryview

_RAW: Final = pb.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER
_BYTES: Final = 2
"""protobuf's kind of fields that have their length in front: bytes, texts, messages."""

_MOST_FIELDS: Final = 64
"""Looked at by hand: a few inputs, outputs and parameters. More are left to protobuf."""

_LONGEST_VARINT: Final = 5
"""Bytes; gRPC's messages end at 2 GiB."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request; `raw` are its raw contents, which `message` may or may not have too."""

    message: pb.ModelInferRequest
    raw: Sequence[Buffer]


def read(data: bytes) -> Request:
    """Return the request that `data` is.

    Raises:
        DecodeError: it is none.
    """
    apart = _apart(data)
    if apart is None:
        message = pb.ModelInferRequest.FromString(data)
        return Request(message, message.raw_input_contents)
    raw, rest = apart
    return Request(pb.ModelInferRequest.FromString(rest), raw)


def _apart(data: bytes) -> tuple[list[Buffer], bytes] | None:
    """The raw contents and the bytes of all other fields; None of what is for protobuf to judge."""
    whole = memoryview(data)
    raw: list[Buffer] = []
    rest: list[memoryview] = []
    at = 0
    for _ in range(_MOST_FIELDS):
        if at == len(data):
            return raw, b"".join(rest)
        tag, first = _varint(data, at)
        length, first = _varint(data, first)
        end = first + length
        if tag & 7 != _BYTES or end > len(data):
            return None  # this message has no other kind of fields
        if tag >> 3 == _RAW:
            raw.append(whole[first:end])
        else:
            rest.append(whole[at:end])
        at = end
    return None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number, and the place behind it; where there is none, one that is in no message."""
    value = 0
    for place, byte in enumerate(data[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    return 1 << 62, at
