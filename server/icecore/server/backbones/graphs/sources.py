"""Where a tap reads: the tensor of a graph that holds a layer's values."""

from icecore.server.backbones.graphs.graph import Graph
from icecore.server.backbones.graphs.layers import Layer
from icecore.server.backbones.graphs.thresholds import is_threshold
from icecore.server.backbones.graphs.wiring import WRAPPINGS
from icecore.wire.taps import Activation


def source_of(graph: Graph, layer: Layer, activation: Activation) -> str:
    """Return the tensor that a tap at `layer` reads, before any Relu that RELU asks for.

    In an int8 graph that is what the layer's tensor is dequantised to, as a cut
    there keeps the int8 kernels. With NONE it is what comes before the network's
    own threshold; where a quantiser left the threshold to the zero point, the
    tensor before it is quantised.
    """
    if activation is Activation.NONE and layer.thresholded:
        name, maker = layer.name, graph.maker(layer.name)
        while maker is not None and maker.op_type in WRAPPINGS:
            name, maker = maker.input[0], graph.maker(maker.input[0])
        return maker.input[0] if maker is not None and is_threshold(graph, maker) else name
    return _dequantised(graph, layer.name) or layer.name


def _dequantised(graph: Graph, tensor: str) -> str | None:
    """What tensor -> QuantizeLinear -> DequantizeLinear makes first; None where that is not."""
    for quantise in graph.readers(tensor):
        if quantise.op_type != "QuantizeLinear" or quantise.input[0] != tensor:
            continue
        for dequantise in graph.readers(quantise.output[0]):
            if dequantise.op_type == "DequantizeLinear":
                return str(dequantise.output[0])
    return None
