"""The layers of a graph: every place where codes can be read, and its costs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import onnx

from icecore.server.backbones.graphs.graph import Graph
from icecore.server.backbones.graphs.layouts import Layout
from icecore.server.errors import GraphInvalid


@dataclass(frozen=True, slots=True)
class Layer:
    """One place in a backbone where codes can be read.

    `name` is the ONNX tensor's. `depth` ranks the network's own thresholds
    (Relu, Clip at 0) from 1 in topological order; where it has none, its
    blocks; None elsewhere. A vector (n, d) is a map of d channels, 1 x 1.
    `stride` is in input pixels between two neighbouring positions. `dims` are
    the values of average-pooled codes. `params` and `macs` (multiply-
    accumulates an image) count all that is needed from the input to here.
    """

    name: str
    depth: int | None
    channels: int
    height: int
    width: int
    stride: int
    thresholded: bool
    dims: int
    params: int
    macs: int
    op: str
    receptive_field: int = 0
    prefix_tokens: int = 0
    role: str = ""
    layout: Layout = Layout.MAP


def read_layers(data: bytes) -> tuple[Layer, ...]:
    """Return the layers of an ONNX file in topological order.

    Raises:
        GraphInvalid: as `Graph` and `layers_of`.
    """
    return layers_of(Graph(data))


def layers_of(graph: Graph) -> tuple[Layer, ...]:
    """Return the layers of a graph in topological order.

    Raises:
        GraphInvalid: nothing in it can be read as codes.
    """
    costs = _Costs(graph)
    strides = _strides(graph)
    layers = [
        _layer(graph, node, name, size, strides[name], costs)
        for node in graph.nodes
        for name in node.output
        if graph.is_data(name) and (size := _map_size(graph, name)) is not None
    ]
    if not layers:
        raise GraphInvalid("the graph has no float32 tensor of shape (n, c, h, w) or (n, d)")
    ranked = {layer.name for layer in layers if layer.thresholded} or _blocks(graph, layers)
    depths = {
        name: depth
        for depth, name in enumerate((layer.name for layer in layers if layer.name in ranked), 1)
    }
    return tuple(replace(layer, depth=depths.get(layer.name)) for layer in layers)


def is_threshold(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a node lets nothing below zero through: Relu, or Clip with minimum 0."""
    if node.op_type == "Relu":
        return True
    if node.op_type != "Clip":
        return False
    if graph.opset < 11:
        return any(a.name == "min" and a.f == 0.0 for a in node.attribute)
    minimum = graph.constant(node.input[1]) if len(node.input) > 1 and node.input[1] else None
    return minimum is not None and minimum.size == 1 and float(minimum.item()) == 0.0


def _layer(
    graph: Graph,
    node: onnx.NodeProto,
    name: str,
    size: tuple[int, int, int],
    stride: int,
    costs: "_Costs",
) -> Layer:
    channels, height, width = size
    params, macs = costs.up_to(name)
    return Layer(
        name=name,
        depth=None,
        channels=channels,
        height=height,
        width=width,
        stride=stride,
        thresholded=is_threshold(graph, node),
        dims=channels,
        params=params,
        macs=macs,
        op=node.op_type,
    )


def _map_size(graph: Graph, tensor: str) -> tuple[int, int, int] | None:
    """Channels, height and width; None for what is neither a map nor a vector."""
    match graph.shape(tensor):
        case (_, int(channels), int(height), int(width)) if channels and height and width:
            return channels, height, width
        case (_, int(dims)) if dims:
            return dims, 1, 1
    return None


def _blocks(graph: Graph, layers: Sequence[Layer]) -> set[str]:
    """Residual sums; where there are none either, the last map of each size."""
    sums = {
        layer.name
        for layer in layers
        if layer.op == "Add" and layer.height > 1 and _is_sum(graph, layer.name)
    }
    if sums:
        return sums
    last = {(layer.height, layer.width): layer.name for layer in layers}
    return set(last.values())


def _is_sum(graph: Graph, tensor: str) -> bool:
    node = graph.maker(tensor)
    return node is not None and all(
        graph.is_data(name) and graph.shape(name) == graph.shape(tensor) for name in node.input
    )


def _strides(graph: Graph) -> dict[str, int]:
    """Input pixels a step, for every tensor that depends on the image."""
    strides = {graph.input: 1}
    for node in graph.nodes:
        before = [strides[name] for name in node.input if name in strides]
        if not before:
            continue
        stride = max(before)
        for name in node.output:
            match graph.shape(name):
                case (_, _, 1, 1) | (_, _):
                    strides[name] = max(stride, graph.height)
                case _:
                    strides[name] = stride * _step(graph, node)
    return strides


def _step(graph: Graph, node: onnx.NodeProto) -> int:
    """How many positions of a node's input make one of its output, down the height."""
    for attribute in node.attribute:
        if attribute.name == "strides" and node.op_type != "ConvTranspose":
            return int(attribute.ints[0])
    before, after = graph.shape(node.input[0]), graph.shape(node.output[0])
    if node.op_type in ("Slice", "Gather", "SpaceToDepth") and before and after:
        rows = (before[-2], after[-2]) if len(before) == len(after) == 4 else (None, None)
        if rows[0] and rows[1]:
            return max(1, round(rows[0] / rows[1]))
    return 1


class _Costs:
    """Parameters and multiply-accumulates of each node, summed over ancestors."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._macs = [_macs(graph, node) for node in graph.nodes]
        self._weights = [_weights(graph, node) for node in graph.nodes]

    def up_to(self, tensor: str) -> tuple[int, int]:
        needed = self._graph.ancestors([tensor])
        weights: dict[str, int] = {}
        for index in needed:
            weights.update(self._weights[index])
        return sum(weights.values()), sum(self._macs[index] for index in needed)


def _weights(graph: Graph, node: onnx.NodeProto) -> dict[str, int]:
    """Float constants that a node reads, by name, with their number of values.

    Running means and variances are statistics, and single numbers (the bounds of
    a Clip, say) are settings: neither is a parameter.
    """
    names = node.input[:3] if node.op_type == "BatchNormalization" else node.input
    shapes = {name: graph.weight_shape(name) for name in names}
    return {name: prod(shape) for name, shape in shapes.items() if shape and prod(shape) > 1}


def _macs(graph: Graph, node: onnx.NodeProto) -> int:
    """Multiply-accumulates an image of Conv, ConvTranspose, Gemm and MatMul."""
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return 0
    before, after = graph.shape(node.input[0]), graph.shape(node.output[0])
    weight = graph.weight_shape(node.input[1])
    if not before or not after or not weight or None in before[1:] or None in after[1:]:
        return 0
    n_in, n_out = prod(d or 1 for d in before[1:]), prod(d or 1 for d in after[1:])
    if node.op_type == "Conv":
        return n_out * prod(weight[1:])
    if node.op_type == "ConvTranspose":
        return n_in * prod(weight[1:])
    return n_out * (before[-1] or 1)
