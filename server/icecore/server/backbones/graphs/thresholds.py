"""Which tensors training thresholded: nothing below zero comes through."""

import numpy as np
import onnx

from icecore.server.backbones.graphs.graph import Graph
from icecore.server.backbones.graphs.wiring import PRODUCTS, Wiring

SIGNED = (*PRODUCTS, "BatchNormalization", "Add", "Sum")
"""What makes values of both signs, unless a threshold comes behind it."""

_SUMS = ("Add", "Sum")


def is_threshold(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a node lets nothing below zero through: Relu, or Clip with minimum 0."""
    if node.op_type == "Relu":
        return True
    if node.op_type != "Clip":
        return False
    if any(a.name == "min" and a.f == 0.0 for a in node.attribute):
        return True
    minimum = graph.constant(node.input[1]) if len(node.input) > 1 and node.input[1] else None
    return minimum is not None and minimum.size == 1 and float(minimum.item()) == 0.0


def is_thresholded(wiring: Wiring, core: str) -> bool:
    """Whether a tensor comes out of a threshold, one left to a quantiser's zero point too.

    Quantisers drop a Relu whose output they quantise with the smallest code for
    zero: what is below becomes zero there. So a sum or product that is quantised
    like that had one, but for a sum of what is never below zero anyway.
    """
    graph = wiring.graph
    node = graph.maker(core)
    if node is None:
        return False
    if is_threshold(graph, node):
        return True
    if node.op_type not in SIGNED or not _starts_at_zero(graph, core):
        return False
    place = graph.place(core)
    read = () if place is None else wiring.inputs(place)
    return node.op_type not in _SUMS or not all(_starts_at_zero(graph, name) for name in read)


def _starts_at_zero(graph: Graph, tensor: str) -> bool:
    """Whether a tensor is quantised, and its zero is the smallest code."""
    quantisers = [n for n in graph.readers(tensor) if n.op_type == "QuantizeLinear"]
    return bool(quantisers) and all(_zero_is_least(graph, node) for node in quantisers)


def _zero_is_least(graph: Graph, node: onnx.NodeProto) -> bool:
    if len(node.input) < 3 or not node.input[2]:
        # Codes are uint8 from 0 on where nothing is said.
        return not any(a.name == "output_dtype" and a.i for a in node.attribute)
    zero = graph.constant(node.input[2])
    if zero is None or zero.dtype.kind not in "ui" or not zero.size:
        return False
    return bool(np.all(zero == np.iinfo(zero.dtype).min))
