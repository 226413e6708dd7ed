"""What hostile files are made of: an honest small network, and ways to change it."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Change: TypeAlias = Callable[[onnx.ModelProto], None]
Made: TypeAlias = Callable[[], onnx.ModelProto]
Node: TypeAlias = tuple[str, list[str], list[str], dict[str, Any]]
"""Operator, what it reads, what it writes, attributes."""

File: TypeAlias = tuple[bytes | Callable[[], bytes | onnx.ModelProto], str, str]
"""The bytes or their maker, the kind of refusal, and a part of its sentence."""

SIDE = 16


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32) / 4


def number(value: Any, name: str, dtype: Any = np.int64) -> TensorProto:
    return numpy_helper.from_array(np.array(value, dtype), name)


def image(side: int = SIDE) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, side, side])


def network(
    nodes: Sequence[onnx.NodeProto] = (),
    constants: Sequence[TensorProto] = (),
    *,
    end: str = "two",
    side: int = SIDE,
    channels: int = 8,
) -> onnx.ModelProto:
    """An honest network; `nodes` may go on from its maps "one" and "two" to the tensor `end`.

    image -Conv-> -Relu-> "one" (n, 8, 16, 16) -Conv-> -Relu-> "two" ... `end` -mean-> "codes"
    """
    body = [
        helper.make_node("Conv", ["image", "w1"], ["c1"], "c1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["one"], "r1"),
        helper.make_node("Conv", ["one", "w2"], ["c2"], "c2", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["two"], "r2"),
        *nodes,
        helper.make_node("GlobalAveragePool", [end], ["codes"], "mean"),
    ]
    graph = helper.make_graph(
        body,
        "hostile",
        [image(side)],
        [helper.make_tensor_value_info("codes", TensorProto.FLOAT, ["n", None, 1, 1])],
        [
            numpy_helper.from_array(weights(channels, 3, 3, 3), "w1"),
            numpy_helper.from_array(weights(8, channels, 3, 3, seed=1), "w2"),
            *constants,
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def changed(*changes: Change) -> Made:
    """A maker of the honest network with changes."""

    def make() -> onnx.ModelProto:
        model = network()
        for change in changes:
            change(model)
        return model

    return make


def extended(
    nodes: Sequence[Node],
    constants: Sequence[TensorProto] = (),
    *,
    end: str = "end",
) -> Made:
    """A maker of the honest network with nodes after it."""

    def make() -> onnx.ModelProto:
        made = [
            helper.make_node(op, reads, writes, name=f"added{index}", **attributes)
            for index, (op, reads, writes, attributes) in enumerate(nodes)
        ]
        return network(made, constants, end=end)

    return make


def branch(nodes: Sequence[onnx.NodeProto], output: str, name: str = "branch") -> onnx.GraphProto:
    """A graph without inputs, as If takes it."""
    return helper.make_graph(
        nodes, name, [], [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)]
    )
