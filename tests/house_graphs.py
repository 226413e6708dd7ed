"""Graphs of a few nodes, each with one thing that files of others have."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_RANDOM = np.random.default_rng(11)
WEIGHT = _RANDOM.normal(size=(4, 3, 3, 3)).astype(np.float32)
TOKEN = _RANDOM.normal(size=(1, 1, 4)).astype(np.float32)


def node(op: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    """A node from names parted by spaces; `-` is an input left out."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(op, names, outputs.split(), **attributes)


def conv(result: str = "map", source: str = "image") -> onnx.NodeProto:
    """(n, 4, 8, 8) from an image of 8 x 8."""
    return node("Conv", f"{source} weight", result, pads=[1, 1, 1, 1])


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def graph(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, np.ndarray] | None = None,
    *,
    shape: Sequence[int | str | None] = ("n", 3, 8, 8),
    output: str = "out",
    out_shape: Sequence[int | str | None] | None = None,
    kind: int = TensorProto.FLOAT,
    opset: int = 13,
    ir_version: int = 8,
    functions: Sequence[onnx.FunctionProto] = (),
    domains: Sequence[str] = (),
) -> bytes:
    """An ONNX file with the input "image", the weight "weight" and one output."""
    weights = {"weight": WEIGHT, **(constants or {})}
    read = {name for one in nodes for name in _reads(one)}
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "small",
            [helper.make_tensor_value_info("image", kind, shape)],
            [helper.make_tensor_value_info(output, kind, out_shape or [None] * 4)],
            [numpy_helper.from_array(v, name) for name, v in weights.items() if name in read],
        ),
        opset_imports=[helper.make_opsetid("", opset)]
        + [helper.make_opsetid(domain, 1) for domain in domains],
        ir_version=ir_version,
        functions=functions,
    )
    return bytes(model.SerializeToString())


def ops(data: bytes) -> list[str]:
    return [one.op_type for one in onnx.load_model_from_string(data).graph.node]


def _reads(one: onnx.NodeProto) -> set[str]:
    read = set(one.input)
    for attribute in one.attribute:
        for inner in attribute.g.node:
            read |= _reads(inner)
    return read
