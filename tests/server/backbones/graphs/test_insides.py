"""Gates, written-out functions and attention hold no layers of their own, and gates no depth."""

import numpy as np
import pytest

from icecore.server.backbones.graphs.layers import Layer, read_layers
from small_graphs import SmallGraph


def layers(net: SmallGraph, *outputs: str) -> dict[str, Layer]:
    return {layer.name: layer for layer in read_layers(net.to_bytes(*outputs))}


@pytest.mark.parametrize("side", [16, 2])
def test_a_squeeze_gates_relu_is_no_layer_and_has_no_depth(side: int) -> None:
    """Also where the map has one place, as a gate then has as many values as what it gates."""
    net = SmallGraph(side)
    trunk = net.relu(net.conv("image", 8, "conv", stride=2), "relu")
    gated = net.squeeze_gate(trunk, "gated")
    net.relu(net.conv(gated, 8, "next"), "last")
    found = layers(net, "last")
    assert list(found) == ["conv", "relu", "gated", "next", "last"]
    assert {name: layer.depth for name, layer in found.items() if layer.depth} == {
        "relu": 1,
        "last": 2,
    }


def test_a_gate_whose_values_are_read_elsewhere_too_is_no_inside() -> None:
    """A network that squeezes and goes on with the squeeze has codes there."""
    net = SmallGraph()
    trunk = net.relu(net.conv("image", 8, "conv"), "relu")
    pooled = net.node("GlobalAveragePool", [trunk], "pooled")
    net.node("Mul", [trunk, net.relu(net.conv(pooled, 8, "wide", kernel=1), "thin")], "gated")
    net.conv("thin", 4, "head", kernel=1)
    assert layers(net, "gated", "head")["thin"].depth == 2


def test_a_gate_squeezed_from_another_map_is_inside_too() -> None:
    net = SmallGraph()
    early = net.relu(net.conv("image", 8, "first"), "early")
    squeezed = net.node("GlobalAveragePool", [early])
    gate = net.conv(net.relu(net.conv(squeezed, 2, kernel=1)), 8, kernel=1)
    late = net.relu(net.conv(early, 8, "second"), "late")
    net.node("Mul", [late, gate], "gated")
    assert list(layers(net, "gated")) == ["first", "early", "second", "late", "gated"]


def hard_swish_divided_last(net: SmallGraph, x: str, name: str) -> None:
    shifted = net.node("Add", [x, net.constant(3.0)])
    clipped = net.node("Clip", [shifted, net.constant(0.0), net.constant(6.0)])
    net.node("Div", [net.node("Mul", [x, clipped]), net.constant(6.0)], name)


def hard_swish_divided_first(net: SmallGraph, x: str, name: str) -> None:
    shifted = net.node("Add", [x, net.constant(3.0)])
    clipped = net.node("Clip", [shifted, net.constant(0.0), net.constant(6.0)])
    net.node("Mul", [x, net.node("Div", [clipped, net.constant(6.0)])], name)


def gelu_halved_last(net: SmallGraph, x: str, name: str) -> None:
    error = net.node("Erf", [net.node("Div", [x, net.constant(2**0.5)])])
    whole = net.node("Mul", [x, net.node("Add", [error, net.constant(1.0)])])
    net.node("Mul", [whole, net.constant(0.5)], name)


def gelu_halved_first(net: SmallGraph, x: str, name: str) -> None:
    error = net.node("Erf", [net.node("Mul", [x, net.constant(0.7)])])
    half = net.node("Mul", [x, net.constant(0.5)])
    net.node("Mul", [half, net.node("Add", [error, net.constant(1.0)])], name)


def gelu_by_tanh(net: SmallGraph, x: str, name: str) -> None:
    cube = net.node("Mul", [net.node("Mul", [x, x]), x])
    inner = net.node("Add", [x, net.node("Mul", [cube, net.constant(0.04)])])
    bent = net.node("Tanh", [net.node("Mul", [inner, net.constant(0.8)])])
    half = net.node("Mul", [x, net.constant(0.5)])
    net.node("Mul", [half, net.node("Add", [bent, net.constant(1.0)])], name)


def swish_by_division(net: SmallGraph, x: str, name: str) -> None:
    grown = net.node("Exp", [net.node("Neg", [x])])
    net.node("Div", [x, net.node("Add", [grown, net.constant(1.0)])], name)


def mish(net: SmallGraph, x: str, name: str) -> None:
    net.node("Mul", [x, net.node("Tanh", [net.node("Softplus", [x])])], name)


def prelu_by_two_relus(net: SmallGraph, x: str, name: str) -> None:
    below = net.node("Relu", [net.node("Neg", [x])])
    sloped = net.node("Mul", [below, net.weights(8, 1, 1)])
    net.node("Sub", [net.node("Relu", [x]), sloped], name)


@pytest.mark.parametrize(
    "write",
    [
        hard_swish_divided_last,
        hard_swish_divided_first,
        gelu_halved_last,
        gelu_halved_first,
        gelu_by_tanh,
        swish_by_division,
        mish,
        prelu_by_two_relus,
    ],
    ids=lambda write: write.__name__,
)
def test_of_a_function_written_out_only_the_result_is_a_layer(write: object) -> None:
    """And the Clip at 0 inside of a HardSwish thresholds nothing."""
    net = SmallGraph()
    net.conv("image", 8, "conv")
    assert callable(write)
    write(net, "conv", "active")
    net._channels["active"] = 8
    net.conv("active", 8, "next")
    found = layers(net, "next")
    assert list(found) == ["conv", "active", "next"]
    assert not any(layer.thresholded for layer in found.values())
    assert [name for name, layer in found.items() if layer.depth] == ["active"]


def test_a_norm_written_out_is_one_layer() -> None:
    net = SmallGraph()
    rows = net.node("Transpose", [net.conv("image", 8, "conv")], perm=[0, 2, 3, 1])
    net.layer_norm(rows, 8, "norm")
    net.conv(net.node("Transpose", ["norm"], perm=[0, 3, 1, 2]), 8, "next", kernel=1)
    found = layers(net, "next")
    assert list(found) == ["conv", "norm", "next"]
    # Its mean is over channels, so it sees no more of the image.
    assert [layer.receptive_field for layer in found.values()] == [3, 3, 3]


def test_of_attention_only_the_projection_is_a_layer() -> None:
    net = SmallGraph()
    patches = net.conv("image", 8, "patches", kernel=4, stride=4, pads=[0] * 4)
    line = net.node("Reshape", [patches, net.constant([0, 8, 16], dtype=np.int64)])
    tokens = net.node("Transpose", [line], perm=[0, 2, 1])
    made = []
    for _ in range(3):
        one = net.node("Add", [net.node("MatMul", [tokens, net.weights(8, 8)]), net.weights(8)])
        cut = net.node("Reshape", [one, net.constant([0, 16, 2, 4], dtype=np.int64)])
        made.append(net.node("Transpose", [cut], perm=[0, 2, 1, 3]))
    query, key, value = made
    scores = net.node("MatMul", [query, net.node("Transpose", [key], perm=[0, 1, 3, 2])])
    weights = net.node("Softmax", [net.node("Mul", [scores, net.constant(0.5)])], axis=-1)
    context = net.node("Transpose", [net.node("MatMul", [weights, value])], perm=[0, 2, 1, 3])
    joined = net.node("Reshape", [context, net.constant([0, 16, 8], dtype=np.int64)])
    projected = net.node("MatMul", [joined, net.weights(8, 8)])
    net.node("Add", [projected, net.weights(8)], "projected")
    net.node("Add", [tokens, "projected"], "sum")
    net.node("Relu", ["sum"], "relu")
    found = layers(net, "relu")
    assert list(found) == ["patches", "projected", "sum", "relu"]
    # 3 inputs by 8 by 8 and twice 16 by 16 by 8 of 16 tokens, then the projection.
    assert found["projected"].macs == 16 * 8 * 48 + 16 * 8 * 24 + 2 * 16 * 16 * 8 + 16 * 8 * 8
    assert [layer.receptive_field for layer in found.values()] == [4, 16, 16, 16]


def test_pixels_made_ready_inside_of_the_graph_are_no_layers() -> None:
    net = SmallGraph()
    scaled = net.node("Div", ["image", net.constant(255.0)])
    centred = net.node("Sub", [scaled, net.constant(np.full((3, 1, 1), 0.5))])
    ready = net.node("Mul", [centred, net.constant(np.full((3, 1, 1), 4.0))])
    net.relu(net.conv(ready, 4, "conv"), "relu")
    assert list(layers(net, "relu")) == ["conv", "relu"]


def test_views_are_no_layers_unless_the_graph_puts_them_out() -> None:
    net = SmallGraph()
    net.node("GlobalAveragePool", [net.relu(net.conv("image", 8, "conv"), "relu")], "pooled")
    net.node("Flatten", ["pooled"], "flat")
    net.node("Gemm", ["flat", net.weights(8, 5)], "logits")
    assert list(layers(net, "logits")) == ["conv", "relu", "pooled", "logits"]
    assert list(layers(net, "logits", "flat")) == ["conv", "relu", "pooled", "flat", "logits"]
