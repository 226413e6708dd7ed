"""Layers of the toy, worked out by hand, and of networks with other thresholds."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from icecore.server.backbones.graphs.layers import Layer, read_layers
from icecore.server.backbones.graphs.layouts import Layout
from icecore.server.errors import GraphInvalid
from small_graphs import SmallGraph
from toys import toy_graph


def network(nodes: list[onnx.NodeProto], output: str, *, opset: int = 13, rank: int = 4) -> bytes:
    """A graph over a (n, 3, 8, 8) image with weights w (3, 3, 3, 3) and bounds 0, 1, 6."""
    constants = {
        "w": np.ones((3, 3, 3, 3), np.float32),
        "zero": np.array(0, np.float32),
        "one": np.array(1, np.float32),
        "six": np.array(6, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None] * rank)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return bytes(model.SerializeToString())


def conv(source: str, name: str, stride: int = 1) -> onnx.NodeProto:
    return helper.make_node(
        "Conv", [source, "w"], [name], pads=[1, 1, 1, 1], strides=[stride, stride]
    )


def swish(source: str, name: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Sigmoid", [source], [f"{name}.gate"]),
        helper.make_node("Mul", [source, f"{name}.gate"], [name]),
    ]


def depths(layers: tuple[Layer, ...]) -> dict[str, int]:
    return {layer.name: layer.depth for layer in layers if layer.depth is not None}


def test_the_toys_layers_are_those_worked_out_by_hand() -> None:
    layers = {layer.name: layer for layer in read_layers(toy_graph())}
    assert list(layers) == [
        "one.conv",
        "one",
        "two.conv",
        "two",
        "branch",
        "sum",
        "three",
        "pooled",
        "logits",
    ]
    # 4 * 3 + 4 parameters; 8 * 8 * 4 outputs of 3 products each.
    assert layers["one"] == Layer("one", 1, 4, 8, 8, 1, True, 4, 16, 768, "Relu", 1)
    # and 6 * 4 * 9 + 6; 4 * 4 * 6 outputs of 36 products each.
    assert layers["two"] == Layer("two", 2, 6, 4, 4, 2, True, 6, 16 + 222, 768 + 3456, "Clip", 3)
    # and 6 * 6 * 9 + 6; 4 * 4 * 6 outputs of 54 products each; 3 + 2 * 2 pixels.
    assert layers["three"] == Layer(
        "three", 3, 6, 4, 4, 2, True, 6, 238 + 330, 4224 + 5184, "Relu", 7
    )
    assert layers["sum"].depth is None
    assert not layers["sum"].thresholded
    assert layers["logits"] == Layer(
        *("logits", None, 5, 1, 1, 8, False, 5, 568 + 35, 9408 + 30, "Gemm", 8, 0, "logits"),
        layout=Layout.VECTOR,
    )


def test_only_a_clip_at_zero_is_a_threshold() -> None:
    nodes = [
        conv("image", "a"),
        helper.make_node("Clip", ["a", "zero", "six"], ["at0"]),
        helper.make_node("Clip", ["at0", "one", "six"], ["at1"]),
        helper.make_node("Clip", ["at1", "", "six"], ["open"]),
        helper.make_node("Relu", ["open"], ["relu"]),
    ]
    assert depths(read_layers(network(nodes, "relu"))) == {"at0": 1, "relu": 2}


def test_a_bound_made_by_a_constant_node_counts() -> None:
    zero = numpy_helper.from_array(np.array(0, np.float32))
    nodes = [
        helper.make_node("Constant", [], ["nought"], value=zero),
        conv("image", "a"),
        helper.make_node("Clip", ["a", "nought"], ["at0"]),
    ]
    assert depths(read_layers(network(nodes, "at0"))) == {"at0": 1}


def test_a_network_without_thresholds_is_ranked_by_its_residual_sums() -> None:
    nodes = [
        conv("image", "a"),
        *swish("a", "a2"),
        conv("a2", "b"),
        helper.make_node("Add", ["b", "a"], ["sum1"]),
        *swish("sum1", "c"),
        conv("c", "d"),
        helper.make_node("Add", ["d", "one"], ["shifted"]),
        helper.make_node("Add", ["shifted", "sum1"], ["sum2"]),
    ]
    layers = read_layers(network(nodes, "sum2"))
    assert depths(layers) == {"sum1": 1, "sum2": 2}
    assert {layer.name for layer in layers if layer.role == "block"} == {"sum1", "sum2"}
    assert not any(layer.thresholded for layer in layers)


def test_a_network_with_neither_is_ranked_by_the_last_map_of_each_size() -> None:
    nodes = [conv("image", "a"), conv("a", "b"), conv("b", "c", stride=2), conv("c", "d")]
    assert depths(read_layers(network(nodes, "d"))) == {"b": 1, "d": 2}


def test_stride_multiplies_over_convolutions_and_pools() -> None:
    nodes = [
        conv("image", "a", stride=2),
        helper.make_node("MaxPool", ["a"], ["pool"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Relu", ["pool"], ["relu"]),
    ]
    layers = {layer.name: layer for layer in read_layers(network(nodes, "relu"))}
    assert (layers["a"].stride, layers["pool"].stride, layers["relu"].stride) == (2, 4, 4)


def test_shared_weights_count_once_and_products_each_time() -> None:
    nodes = [conv("image", "a"), conv("a", "b"), helper.make_node("Relu", ["b"], ["relu"])]
    relu = read_layers(network(nodes, "relu"))[-1]
    assert relu.params == 81
    assert relu.macs == 2 * 64 * 3 * 27


def test_what_does_not_depend_on_the_image_is_no_layer() -> None:
    nodes = [
        helper.make_node("Relu", ["w"], ["positive"]),
        helper.make_node("Conv", ["image", "positive"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["relu"]),
    ]
    assert [layer.name for layer in read_layers(network(nodes, "relu"))] == ["a", "relu"]


def test_shapes_that_do_not_fit_are_refused() -> None:
    nodes = [helper.make_node("Conv", ["image", "zero"], ["a"])]
    with pytest.raises(GraphInvalid):
        read_layers(network(nodes, "a"))


def test_a_graph_without_maps_is_refused() -> None:
    nodes = [helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0, axes=[0, 1, 2, 3])]
    with pytest.raises(GraphInvalid, match="no float32 tensor"):
        read_layers(network(nodes, "mean", rank=0))


def test_only_the_last_product_has_the_logits() -> None:
    """A vector that is put out on the way is read further."""
    net = SmallGraph(8)
    flat = net.node("Flatten", [net.relu(net.conv("image", 4))])
    net.node("Gemm", [flat, net.weights(256, 6)], "features")
    net.node("Gemm", ["features", net.weights(6, 5)], "scores")
    net.node("Softmax", ["scores"], "shares", axis=-1)

    def roles(*outputs: str) -> dict[str, str]:
        return {x.name: x.role for x in read_layers(net.to_bytes(*outputs)) if x.role}

    assert roles("features", "shares") == {"scores": "logits", "shares": "probabilities"}


def test_tokens_without_their_prefix_are_a_grid_again() -> None:
    net = SmallGraph(16)
    patches = net.conv("image", 8, "patches", kernel=4, stride=4, pads=[0] * 4)
    line = net.node("Reshape", [patches, net.constant([0, 8, 16], dtype=np.int64)])
    grid = net.node("Transpose", [line], perm=[0, 2, 1])
    one = net.node("ReduceMean", [grid], axes=[1])
    net.node("Concat", [one, grid], "tokens", axis=1)
    bounds = [net.constant([v], dtype=np.int64) for v in (1, 2**62, 1, 1)]
    net.relu(net.node("Slice", ["tokens", *bounds]), "grid")
    turned = net.node("Transpose", ["grid"], perm=[0, 2, 1])
    back = net.node("Reshape", [turned, net.constant([0, 8, 4, 4], dtype=np.int64)])
    net.relu(back, "map")
    net.relu(net.node("Gather", ["tokens", net.constant(0, dtype=np.int64)], axis=1), "one")
    found = {layer.name: layer for layer in read_layers(net.to_bytes("map", "one"))}
    shown = {
        name: (layer.layout, layer.prefix_tokens, layer.height, layer.width, layer.stride)
        for name, layer in found.items()
    }
    assert shown["tokens"] == (Layout.TOKENS, 1, 4, 4, 4)
    assert shown["grid"] == (Layout.TOKENS, 0, 4, 4, 4)
    assert shown["map"] == (Layout.MAP, 0, 4, 4, 4)
    assert shown["one"] == (Layout.VECTOR, 0, 1, 1, 16)
