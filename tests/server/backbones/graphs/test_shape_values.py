"""Chains that compute shapes give what ONNX Runtime gives, and nothing large is made."""

import tracemalloc

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from icecore.server.backbones.graphs.graph import Graph
from icecore.server.backbones.graphs.layers import read_layers
from icecore.server.backbones.graphs.layouts import Layout
from icecore.server.backbones.graphs.shape_values import MAX_VALUES, values_of
from small_graphs import SmallGraph

node = helper.make_node


def whole(value: object) -> np.ndarray:
    return np.asarray(value, np.int64)


CONSTANTS = {
    "zero": whole(0),
    "one": whole(1),
    "two": whole(2),
    "minus": whole([-1]),
    "axis": whole([0]),
    "three": whole([3]),
    "wanted": whole([-1, 1, 32]),
}

CHAIN = [
    node("Shape", ["x"], ["shape"]),
    node("Shape", ["x"], ["tail"], start=1, end=3),
    node("Size", ["x"], ["size"]),
    node("Gather", ["shape", "zero"], ["n"]),
    node("Unsqueeze", ["n", "axis"], ["n1"]),
    node("Concat", ["n1", "minus", "tail"], ["joined"], axis=0),
    node("Slice", ["joined", "axis", "three"], ["front"]),
    node("Squeeze", ["n1"], ["n0"]),
    node("Mul", ["n0", "two"], ["twice"]),
    node("Sub", ["twice", "one"], ["less"]),
    node("Div", ["less", "two"], ["half"]),
    node("Mod", ["less", "two"], ["rest"]),
    node("Neg", ["less"], ["below"]),
    node("Div", ["below", "two"], ["towards zero"]),
    node("Range", ["zero", "n0", "one"], ["counted"]),
    node("ConstantOfShape", ["three"], ["noughts"], value=numpy_helper.from_array(whole([0]))),
    node("Add", ["noughts", "one"], ["ones"]),
    node("Equal", ["wanted", "minus"], ["open"]),
    node("Where", ["open", "ones", "wanted"], ["settled"]),
    node("Max", ["n0", "two"], ["most"]),
    node("Cast", ["less"], ["small"], to=TensorProto.INT32),
    node("Expand", ["n1", "three"], ["thrice"]),
    node("Reshape", ["joined", "minus"], ["line"]),
]


def test_values_are_onnx_runtimes() -> None:
    made = [one.output[0] for one in CHAIN]
    graph = helper.make_graph(
        CHAIN,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None] * 4)],
        [onnx.ValueInfoProto(name=name) for name in made],
        [numpy_helper.from_array(value, name) for name, value in CONSTANTS.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    expected = session.run(None, {"x": np.zeros((7, 3, 4, 5), np.float32)})
    found = values_of(CHAIN, CONSTANTS, {"x": (7, 3, 4, 5)})
    assert list(found) == made
    for name, value in zip(made, expected, strict=True):
        assert np.array_equal(found[name], value), name


@pytest.mark.parametrize(
    "bomb",
    [
        node("ConstantOfShape", ["huge"], ["made"]),
        node("Expand", ["one", "huge"], ["made"]),
        node("Range", ["zero", "far", "one"], ["made"]),
        node("Range", ["zero", "far", "zero"], ["made"]),
        node("Gather", ["axis", "two"], ["made"]),
        node("Unsqueeze", ["one", "huge"], ["made"]),
        node("Slice", ["axis", "axis", "wanted"], ["made"]),
        node("ConstantOfShape", ["three"], ["floats"]),
    ],
)
def test_what_would_be_large_or_does_not_fit_has_no_value(bomb: onnx.NodeProto) -> None:
    constants = {**CONSTANTS, "huge": whole([1 << 40, 1 << 20]), "far": whole(MAX_VALUES + 1)}
    assert values_of([bomb], constants, {}) == {}


def test_what_would_be_large_is_not_made_first() -> None:
    zero = numpy_helper.from_array(whole([0]))
    bombs = [
        node("ConstantOfShape", ["many"], ["filled"], value=zero),
        node("Expand", ["one", "many"], ["spread"]),
        node("Range", ["zero", "far", "one"], ["counted"]),
    ]
    constants = {**CONSTANTS, "many": whole([4_000_000]), "far": whole(4_000_000)}
    tracemalloc.start()
    assert values_of(bombs, constants, {}) == {}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("batch", [None, 1])
def test_a_class_token_expanded_to_the_batch_is_followed(batch: int | None) -> None:
    """As torch's script exporter writes it: Where(Equal(shape, -1), ones, shape)."""
    net = SmallGraph(16, batch=batch)
    patches = net.conv("image", 8, "patches", kernel=4, stride=4, pads=[0] * 4)
    line = net.node("Reshape", [patches, net.constant([0, 8, 16], dtype=np.int64)])
    grid = net.node("Transpose", [line], perm=[0, 2, 1])
    n = net.node("Gather", [net.node("Shape", [grid]), net.constant(0, dtype=np.int64)])
    axis = net.constant([0], dtype=np.int64)
    ends = [net.constant([v], dtype=np.int64) for v in (-1, -1)]
    shape = net.node("Concat", [net.node("Unsqueeze", [n, axis]), *ends], axis=0)
    minus = net.constant([-1] * 3, dtype=np.int64)
    ones = net.constant([1] * 3, dtype=np.int64)
    sizes = net.node("Where", [net.node("Equal", [shape, minus]), ones, shape])
    token = net.node("Expand", [net.weights(1, 1, 8, name="token"), sizes])
    net.node("Concat", [token, grid], "tokens", axis=1)
    net.relu("tokens", "active")
    data = net.to_bytes("active")
    assert Graph(data).shape("tokens") == (batch, 17, 8)
    layer = {layer.name: layer for layer in read_layers(data)}["tokens"]
    assert (layer.layout, layer.prefix_tokens, layer.height, layer.width) == (
        Layout.TOKENS,
        1,
        4,
        4,
    )
    assert layer.params == 8 * 48 + 8
