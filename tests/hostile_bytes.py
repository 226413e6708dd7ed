"""Hostile files below the level of ONNX: no protobuf, half of one, or far too much of one."""

import io
import random
import zipfile

import onnx
from onnx import TensorProto, helper

from hostile_parts import File, changed, network, number


def _honest() -> bytes:
    return network().SerializeToString()


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _noise() -> bytes:
    return random.Random(3).randbytes(4096)


def _archive() -> bytes:
    """What torch.save writes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("model/data.pkl", b"\x80\x02}q\x00.")
    return out.getvalue()


def _nested(n_times: int) -> bytes:
    """Graphs within graphs: attribute g (6) of a node's attribute (5) of a graph's node (1)."""
    content = b""
    for _ in range(n_times):
        content = _field(1, _field(5, _field(6, content)))
    return _field(7, content)


def _nested_types() -> bytes:
    """An input whose type is a sequence of sequences of sequences."""
    content = b""
    for _ in range(60):
        content = _field(4, _field(1, content))
    return _field(7, _field(11, _field(2, content)))


def _many(field: int, content: bytes = b"", n: int = 1_200_000) -> bytes:
    """An honest graph with a field of it repeated."""
    return _honest() + _field(7, _field(field, content) * n)


def _long_name(model: onnx.ModelProto) -> None:
    model.graph.node[0].output[0] = model.graph.node[1].input[0] = "c" * 1_000_000


def _escape_name(model: onnx.ModelProto) -> None:
    model.graph.node[0].output[0] = model.graph.node[1].input[0] = "\x1b[2Jgone"


def _name_of_no_text() -> bytes:
    return _honest().replace(b"\x0a\x02c1", b"\x0a\x02\xff\xfe").replace(b"c1", b"\xff\xfe")


def _long_attribute(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("many", [1] * 1_100_000))


def _dims(model: onnx.ModelProto) -> None:
    tensor = TensorProto(name="w3", data_type=TensorProto.FLOAT, float_data=[1.0])
    tensor.dims.extend([1] * 1000)
    model.graph.initializer.append(tensor)


def _constants(model: onnx.ModelProto) -> None:
    model.graph.initializer.extend(number(0, f"k{i}") for i in range(25_000))


def _outputs(model: onnx.ModelProto) -> None:
    for i in range(1_001):
        model.graph.node.append(helper.make_node("Relu", ["two"], [f"o{i}"]))
        model.graph.output.append(helper.make_tensor_value_info(f"o{i}", 1, None))


_NO_FILE = "not an ONNX file"

FILES: dict[str, File] = {
    "nothing": (b"", "invalid", "empty"),
    "text": (b"this is not a network\n" * 20, "invalid", _NO_FILE),
    "zeros": (bytes(4096), "invalid", ""),
    "noise": (_noise, "invalid", ""),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(500), "invalid", _NO_FILE),
    "torch archive": (_archive, "invalid", _NO_FILE),
    "first half": (lambda: _honest()[: len(_honest()) // 2], "invalid", "longer than what is left"),
    "last byte missing": (lambda: _honest()[:-1], "invalid", "longer than what is left"),
    "twice the file": (lambda: _honest() * 2, "invalid", "two"),
    "field longer than the file": (_varint(7 << 3 | 2) + _varint(1 << 60), "invalid", "longer"),
    "length of 2 to the 70": (b"\x3a" + b"\xff" * 10 + b"\x01", "invalid", _NO_FILE),
    "protobuf group": (b"\x3b\x3c" + bytes(30), "invalid", _NO_FILE),
    "graphs 12 deep": (lambda: _nested(12), "invalid", "graphs within graphs"),
    "graphs 5,000 deep": (lambda: _nested(5_000), "invalid", "graphs within graphs"),
    "types 60 deep": (_nested_types, "invalid", "messages within messages"),
    "a million empty nodes": (lambda: _many(1), "large", "nodes"),
    "a million empty constants": (lambda: _many(5), "large", "constants"),
    "a million values": (lambda: _many(13), "large", "fields"),
    "a million dimensions": (lambda: _many(5, b"\x08\x01" * 1_200_000, n=1), "large", "fields"),
    "a million texts in a tensor": (lambda: _many(5, b"\x32\x00" * 1_200_000, n=1), "large", ""),
    "a million metadata": (lambda: _honest() + _field(14, b"") * 1_200_000, "large", "fields"),
    "a million versions": (lambda: _honest() + _field(8, b"") * 1_200_000, "large", "fields"),
    "attribute of a million numbers": (changed(_long_attribute), "large", "fields"),
    "25,000 constants": (changed(_constants), "large", "constants"),
    "1,001 outputs": (changed(_outputs), "large", "outputs"),
    "name of a million letters": (changed(_long_name), "invalid", "characters"),
    "name that clears a terminal": (changed(_escape_name), "invalid", "printed"),
    "name that is no text": (_name_of_no_text, "invalid", ""),
    "thousand dimensions": (changed(_dims), "invalid", "dimensions"),
}
