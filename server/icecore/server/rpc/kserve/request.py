"""A ModelInferRequest whose raw contents lie where gRPC put them.

protobuf copies them once when it parses and again when they are asked for, which for a
tensor of 602 KB is more than half of all that is done with a request here. So they are
taken out by hand, and protobuf reads the rest. What it takes is the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from icecore.kserve import open_inference as pb
from icecore.server.rpc import nesting
from icecore.server.rpc.fields import BYTES, all_fields

Buffer = bytes | memoryview

MOST_PIXELS_BYTES: Final = 8 << 20
"""Of `uint_contents`, where each pixel is one byte or two. Protobuf and numpy take 10 ms a megabyte
for them, in which nobody else is answered; raw contents take none."""

_LONG: Final = {
    pb.InferTensorContents.DESCRIPTOR.fields_by_name["uint_contents"].full_name: MOST_PIXELS_BYTES
}
"""The typed contents that images come in as numbers of no fixed size; others are refused anyway."""

_RAW: Final = pb.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER


@dataclass(frozen=True, slots=True)
class Request:
    """A request; `raw` are its raw contents, which `message` may or may not have too."""

    message: pb.ModelInferRequest
    raw: Sequence[Buffer]


def read(data: bytes) -> Request:
    """Return the request that `data` is.

    Raises:
        DecodeError: it is none.
        InvalidArgument: it has too many fields, or numbers in lists.
    """
    apart = _apart(data)
    if apart is None:  # small
        message = pb.ModelInferRequest.FromString(data)
        return Request(message, message.raw_input_contents)
    raw, rest = apart
    nesting.check(rest, pb.ModelInferRequest.DESCRIPTOR, long=_LONG)
    return Request(pb.ModelInferRequest.FromString(rest), raw)


def _apart(data: bytes) -> tuple[list[Buffer], bytes] | None:
    """The raw contents and the bytes of all other fields; None of what is for protobuf to judge."""
    found = all_fields(data)
    if found is None:
        return None
    whole = memoryview(data)
    raw: list[Buffer] = []
    rest: list[memoryview] = []
    for number, kind, start, first, end in found:
        if number == _RAW and kind == BYTES:
            raw.append(whole[first:end])
        else:
            rest.append(whole[start:end])
    return raw, b"".join(rest)
