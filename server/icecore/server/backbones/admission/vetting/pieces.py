"""The pieces of a protobuf, counted before it is parsed.

A piece takes 2 bytes in a file and a hundred in memory, so a small file can hold
millions. This walks over the bytes, keeps nothing, and stops at the first that is one too many.
"""

from typing import Final, NamedTuple

import onnx

from icecore.server.backbones.admission.limits import AdmissionLimits
from icecore.server.errors import GraphInvalid, GraphTooLarge

MAX_DEPTH: Final = 64
"""Messages within messages; protobuf's own parser gives up at 100."""

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


class _Kind:
    """One kind of message: which of its fields are messages too, by number."""

    def __init__(self) -> None:
        self.inside: dict[int, _Kind] = {}


def _kinds() -> dict[str, _Kind]:
    """Every kind of message that an ONNX file can hold, by name; as onnx itself describes them."""
    kinds: dict[str, _Kind] = {}
    waiting = [onnx.ModelProto.DESCRIPTOR]
    while waiting:
        described = waiting.pop()
        kind = kinds.setdefault(described.name, _Kind())
        for field in described.fields:
            if field.message_type is not None:
                if field.message_type.name not in kinds:
                    waiting.append(field.message_type)
                kind.inside[field.number] = kinds.setdefault(field.message_type.name, _Kind())
    return kinds


_KINDS: Final = _kinds()
_MODEL, _GRAPH, _NODE = (_KINDS[name] for name in ("ModelProto", "GraphProto", "NodeProto"))
_CONSTANTS: Final = (_KINDS["TensorProto"], _KINDS["SparseTensorProto"])


class _Open(NamedTuple):
    """A message that has been entered and not yet left."""

    kind: _Kind
    end: int
    n_graphs: int


def count_pieces(data: bytes, limits: AdmissionLimits) -> int:
    """Return the number of pieces of an ONNX file.

    Raises:
        GraphInvalid: the bytes are no protobuf, end too early, or nest too deep.
        GraphTooLarge: there are more pieces, nodes or constants than allowed.
    """
    position = n_pieces = n_nodes = n_constants = 0
    stack = [_Open(_MODEL, len(data), 0)]
    while stack:
        kind, end, n_graphs = stack[-1]
        if position == end:
            stack.pop()
            continue
        n_pieces += 1
        if n_pieces > limits.max_fields:
            raise GraphTooLarge(
                f"the file has more than {limits.max_fields:,} fields, which is the most"
            )
        key, position = _number(data, position, end)
        field, wire = key >> 3, key & 7
        if wire == _VARINT:
            _, position = _number(data, position, end)
        elif wire == _EIGHT_BYTES:
            position += 8
        elif wire == _FOUR_BYTES:
            position += 4
        elif wire == _BYTES:
            length, position = _number(data, position, end)
            inside = kind.inside.get(field)
            if position + length > end:
                raise _cut_short(data)
            if inside is None:
                position += length
                continue
            n_nodes += inside is _NODE
            n_constants += inside in _CONSTANTS
            n_graphs += inside is _GRAPH
            _require_few(n_nodes, n_constants, limits)
            if n_graphs - 1 > limits.max_nesting:
                raise GraphInvalid(
                    f"the graph has more than {limits.max_nesting} graphs within graphs"
                )
            if len(stack) >= MAX_DEPTH:
                raise GraphInvalid(f"the file has more than {MAX_DEPTH} messages within messages")
            stack.append(_Open(inside, position + length, n_graphs))
        else:
            raise GraphInvalid(f"the file's {len(data):,} bytes are not an ONNX file")
        if position > end:
            raise _cut_short(data)
    return n_pieces


def _require_few(n_nodes: int, n_constants: int, limits: AdmissionLimits) -> None:
    if n_nodes > limits.max_nodes:
        raise GraphTooLarge(
            f"the graph has more than {limits.max_nodes:,} nodes, which is the most"
        )
    if n_constants > limits.max_constants:
        raise GraphTooLarge(
            f"the graph has more than {limits.max_constants:,} constants, which is the most"
        )


def _number(data: bytes, position: int, end: int) -> tuple[int, int]:
    """The varint at a position, and where it ends."""
    value = shift = 0
    while position < end:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            break
    raise _cut_short(data)


def _cut_short(data: bytes) -> GraphInvalid:
    return GraphInvalid(
        f"the file's {len(data):,} bytes are not an ONNX file, or not a whole one: "
        "a field says that it is longer than what is left"
    )
