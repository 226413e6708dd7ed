"""Where a tap reads: the tensor of a graph that holds a layer's values."""

from icecore.server.backbones.graphs.graph import Graph
from icecore.server.backbones.graphs.layers import Layer, is_threshold
from icecore.wire.taps import Activation


def source_of(graph: Graph, layer: Layer, activation: Activation) -> str:
    """Return the tensor that a tap at `layer` reads, before any Relu that RELU asks for.

    In an int8 graph that is what the layer's tensor is dequantised to, as a cut
    there keeps the int8 kernels. With NONE it is what comes before the network's
    own threshold; where a quantiser left the threshold to the zero point, the
    tensor before it is quantised.
    """
    if activation is Activation.NONE and layer.thresholded:
        maker = graph.maker(layer.name)
        if maker is None or not is_threshold(graph, maker):
            return layer.name
        return str(maker.input[0])
    return _dequantised(graph, layer.name) or layer.name


def _dequantised(graph: Graph, tensor: str) -> str | None:
    """The first output of tensor -> QuantizeLinear -> DequantizeLinear; None where there is none."""
    for quantise in graph.readers(tensor):
        if quantise.op_type != "QuantizeLinear" or quantise.input[0] != tensor:
            continue
        for dequantise in graph.readers(quantise.output[0]):
            if dequantise.op_type == "DequantizeLinear":
                return str(dequantise.output[0])
    return None
