"""Where the weights lie in an ONNX file, so that they can be copied without being parsed.

It reads protobuf's wire format and believes the file only as far as its own length;
what it is given has been parsed before.
"""

from collections.abc import Iterator

import onnx

_MODEL_GRAPH = 7
_GRAPH_INITIALIZER = 5
_TENSOR_NAME = 8
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}

Span = tuple[int, int]
"""First byte, and the one after the last."""


def split(data: bytes) -> tuple[onnx.ModelProto, dict[str, Span]]:
    """Return the model without its initializers, and where each one's TensorProto lies.

    Raises:
        ValueError: not the bytes of a ModelProto.
    """
    view = memoryview(data)
    rest = bytearray()
    spans: dict[str, Span] = {}
    for field, start, first, end in _fields(view, 0, len(view)):
        if field != _MODEL_GRAPH:
            rest += view[start:end]
            continue
        graph = bytearray()
        for inner, inner_start, inner_first, inner_end in _fields(view, first, end):
            if inner == _GRAPH_INITIALIZER:
                spans[_name(view, inner_first, inner_end)] = (inner_first, inner_end)
            else:
                graph += view[inner_start:inner_end]
        rest += _field(_MODEL_GRAPH, len(graph)) + graph
    return onnx.ModelProto.FromString(bytes(rest)), spans


def join(model: onnx.ModelProto, data: bytes, spans: Iterator[Span]) -> bytes:
    """Return the file of `model` with the initializers that lie at `spans` of `data` added.

    A message that occurs twice is merged, so they are a second graph after the first.
    """
    view = memoryview(data)
    tensors: list[bytes | memoryview] = []
    for first, end in spans:
        tensors += [_field(_GRAPH_INITIALIZER, end - first), view[first:end]]
    length = sum(map(len, tensors))
    return b"".join([model.SerializeToString(), _field(_MODEL_GRAPH, length), *tensors])


def _fields(view: memoryview, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, first byte of the tag, of the content, and the one after, of each field."""
    while at < end:
        start = at
        tag, at = _varint(view, at, end)
        kind = tag & 7
        if kind == _BYTES:
            length, first = _varint(view, at, end)
            at = first + length
        elif kind == _VARINT:
            first = at
            _, at = _varint(view, at, end)
        elif kind in _FIXED_SIZES:
            first, at = at, at + _FIXED_SIZES[kind]
        else:
            raise ValueError(f"wire type {kind} at byte {start:,} is none of protobuf's")
        if at > end:
            raise ValueError(f"the field at byte {start:,} ends behind the message")
        yield tag >> 3, start, first, at


def _name(view: memoryview, first: int, end: int) -> str:
    name = ""
    for field, _, start, stop in _fields(view, first, end):
        if field == _TENSOR_NAME:
            name = bytes(view[start:stop]).decode()
    return name


def _varint(view: memoryview, at: int, end: int) -> tuple[int, int]:
    """A number, and the place behind it."""
    value = shift = 0
    while at < end and shift < 70:
        byte = view[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError(f"there is no number before byte {at:,}")


def _field(number: int, length: int) -> bytes:
    """Tag and length in front of a field's bytes."""
    made = bytearray([number << 3 | _BYTES])
    while length >= 0x80:
        made.append(length & 0x7F | 0x80)
        length >>= 7
    made.append(length)
    return bytes(made)
