"""Cutting: the part of a graph that some taps need, with their pooling inside.

ONNX Runtime runs a graph to its end whatever is asked of it, so a shallow tap is
cheap only where the graph ends there.
"""

from collections.abc import Sequence

import onnx
from onnx import TensorProto, helper

from icecore.server.backbones.graphs.graph import Graph
from icecore.server.backbones.graphs.layers import Layer, is_threshold, layers_of
from icecore.server.backbones.running.poolings import Heads, codes_shape
from icecore.server.errors import LayerNotFound
from icecore.wire.taps import Activation, TapId

_PREFIX = "icecore."


def cut(data: bytes, taps: Sequence[TapId]) -> bytes:
    """Return the ONNX file that makes the codes of `taps` and nothing else.

    Its outputs are float32, one a tap in the same order, (n, d) or (n, c, h, w).
    The taps' digest is not looked at.

    Raises:
        GraphInvalid: as `Graph`.
        LayerNotFound: a tap's layer is not in the graph.
    """
    graph = Graph(data)
    layers = {layer.name: layer for layer in layers_of(graph)}
    heads = Heads(_free_prefix(graph))
    outputs = []
    sources = []
    for tap in taps:
        if tap.layer not in layers:
            raise LayerNotFound(f"layer {tap.layer!r} is not in the graph")
        layer = layers[tap.layer]
        source = _source(graph, tap)
        sources.append(source)
        name = _head(graph, heads, source, layer, tap)
        shape: list[str | int | None] = ["n", *codes_shape(layer, tap.pooling)]
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    return _part(graph, sources, heads, outputs).SerializeToString()


def _source(graph: Graph, tap: TapId) -> str:
    """The tensor that a tap reads: before the threshold with activation NONE."""
    maker = graph.maker(tap.layer)
    if tap.activation is Activation.NONE and maker is not None and is_threshold(graph, maker):
        return maker.input[0]
    return tap.layer


def _head(graph: Graph, heads: Heads, source: str, layer: Layer, tap: TapId) -> str:
    """Add what comes after the tensor; return the output's name."""
    tensor = heads.relu(source) if tap.activation is Activation.RELU else source
    shape = graph.shape(layer.name)
    if shape is not None and len(shape) == 2:
        tensor = heads.as_map(tensor)
    return heads.pool(tensor, layer, tap.pooling)


def _part(
    graph: Graph,
    sources: Sequence[str],
    heads: Heads,
    outputs: Sequence[onnx.ValueInfoProto],
) -> onnx.ModelProto:
    """The sub-graph up to `sources`, followed by the heads."""
    whole = graph.model
    kept = [graph.nodes[index] for index in graph.ancestors(sources)]
    needed = {graph.input, *sources} | {name for node in kept for name in graph.reads(node)}
    part = onnx.ModelProto(ir_version=whole.ir_version, producer_name="icecore")
    part.opset_import.extend(whole.opset_import)
    part.functions.extend(whole.functions)
    part.graph.name = whole.graph.name or "backbone"
    part.graph.input.extend(value for value in whole.graph.input if value.name in needed)
    part.graph.initializer.extend(t for t in whole.graph.initializer if t.name in needed)
    part.graph.sparse_initializer.extend(
        t for t in whole.graph.sparse_initializer if t.values.name in needed
    )
    part.graph.node.extend(kept)
    part.graph.initializer.extend(heads.constants)
    part.graph.node.extend(heads.nodes)
    part.graph.output.extend(outputs)
    return part


def _free_prefix(graph: Graph) -> str:
    """A start that no name in the graph has, so that what is added clashes with nothing."""
    names = {tensor.name for tensor in graph.model.graph.initializer} | {graph.input}
    for node in graph.nodes:
        names |= {node.name, *node.input, *node.output}
    prefix = _PREFIX
    while any(name.startswith(prefix) for name in names):
        prefix += "."
    return prefix
