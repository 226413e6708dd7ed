"""Which tensor a tap reads: a float layer's own, in int8 graphs what that is rounded to."""

import numpy as np
import pytest

from icecore.server.backbones.graphs.graph import Graph
from icecore.server.backbones.graphs.layers import Layer, layers_of
from icecore.server.backbones.graphs.sources import source_of
from icecore.wire.taps import Activation
from small_graphs import SmallGraph


def quantised(net: SmallGraph, tensor: str, zero: int, dtype: type = np.uint8) -> str:
    """Add what rounds a tensor; return the rounded one."""
    settings = [net.constant(0.1), net.constant(zero, dtype=dtype)]
    codes = net.node("QuantizeLinear", [tensor, *settings], f"{tensor}.codes")
    return net.node("DequantizeLinear", [codes, *settings], f"{tensor}.rounded")


def read(net: SmallGraph, *outputs: str) -> tuple[Graph, dict[str, Layer]]:
    graph = Graph(net.to_bytes(*outputs))
    return graph, {layer.name: layer for layer in layers_of(graph)}


def test_a_float_layer_is_read_as_it_is_and_none_reads_before_the_threshold() -> None:
    net = SmallGraph()
    net.conv(net.relu(net.conv("image", 4, "conv"), "relu"), 4, "next")
    graph, found = read(net, "next")
    assert source_of(graph, found["relu"], Activation.AS_TRAINED) == "relu"
    assert source_of(graph, found["relu"], Activation.RELU) == "relu"
    assert source_of(graph, found["relu"], Activation.NONE) == "conv"
    assert source_of(graph, found["next"], Activation.NONE) == "next"


@pytest.mark.parametrize(
    ("zero", "dtype", "is_least"),
    [(0, np.uint8, True), (128, np.uint8, False), (-128, np.int8, True), (0, np.int8, False)],
)
def test_a_threshold_left_to_the_zero_point_is_one(zero: int, dtype: type, is_least: bool) -> None:
    """The quantiser dropped the Relu and gave its name to the convolution's output."""
    net = SmallGraph()
    net.conv("image", 4, "relu")
    net._channels["relu.rounded"] = 4
    quantised(net, "relu", zero, dtype)
    net.conv("relu.rounded", 4, "next")
    graph, found = read(net, "next")
    assert list(found) == ["relu", "next"]
    assert found["relu"].thresholded == is_least
    assert source_of(graph, found["relu"], Activation.AS_TRAINED) == "relu.rounded"
    assert source_of(graph, found["relu"], Activation.NONE) == (
        "relu" if is_least else "relu.rounded"
    )


def test_a_relu_that_was_kept_is_looked_at_through_the_rounding_before_it() -> None:
    net = SmallGraph()
    rounded = quantised(net, net.conv("image", 4, "conv"), 128)
    quantised(net, net.relu(rounded, "relu"), 0)
    net._channels["relu.rounded"] = 4
    net.conv("relu.rounded", 4, "next")
    graph, found = read(net, "next")
    assert [name for name, layer in found.items() if layer.thresholded] == ["relu"]
    assert source_of(graph, found["relu"], Activation.AS_TRAINED) == "relu.rounded"
    assert source_of(graph, found["relu"], Activation.NONE) == "conv.rounded"


def test_a_sum_of_what_is_never_below_zero_was_not_thresholded() -> None:
    """Its zero is the smallest code because nothing below was ever seen."""
    net = SmallGraph()
    left = quantised(net, net.relu(net.conv("image", 4), "left"), 0)
    right = quantised(net, net.relu(net.conv("image", 4), "right"), 0)
    quantised(net, net.node("Add", [left, right], "sum"), 0)
    quantised(net, net.node("MaxPool", ["sum.rounded"], "pool", kernel_shape=[2, 2]), 0)
    _, found = read(net, "pool.rounded")
    assert [name for name, layer in found.items() if layer.thresholded] == ["left", "right"]


def test_a_rounded_output_gives_its_layer_the_outputs_name() -> None:
    """Quantisers keep a graph's outputs and rename what they round."""
    net = SmallGraph()
    settings = [net.constant(0.1), net.constant(0, dtype=np.uint8)]
    codes = net.node("QuantizeLinear", [net.conv("image", 4, "inner"), *settings])
    net.node("DequantizeLinear", [codes, *settings], "relu")
    graph, found = read(net, "relu")
    assert list(found) == ["relu"]
    assert found["relu"].thresholded
    assert source_of(graph, found["relu"], Activation.AS_TRAINED) == "relu"
    assert source_of(graph, found["relu"], Activation.NONE) == "inner"


def test_int8_weights_count_as_the_floats_they_stand_for() -> None:
    net = SmallGraph()
    weight = net.constant(np.ones((4, 3, 3, 3)), dtype=np.int8)
    bias = net.constant(np.ones(4), dtype=np.int32)
    scales = net.constant(np.ones(4))
    rounded = [
        net.node("DequantizeLinear", [weight, scales], axis=0),
        net.node("DequantizeLinear", [bias, scales], axis=0),
    ]
    net.node("Conv", [quantised(net, "image", 0), *rounded], "conv", pads=[1] * 4)
    _, found = read(net, "conv")
    assert (found["conv"].params, found["conv"].macs) == (4 * 27 + 4, 16 * 16 * 4 * 27)
