"""Which tensors are places to read codes from: what a network computes, step by step.

Behind learned weights: products, norms, activation functions, poolings, sums,
products of two maps, joins of maps, affine scalings. Not the insides of larger
operations, nor views and parts of a layer, nor scalings by a number; an output of the
graph is one even where it is one of these, since its author gave it a name to be read by.
"""

from collections.abc import Iterator

from icecore.server.backbones.graphs.geometry import Geometry
from icecore.server.backbones.graphs.graph import Graph
from icecore.server.backbones.graphs.insides import Insides, sees_less
from icecore.server.backbones.graphs.wiring import FUNCTIONS, PRODUCTS, VIEWS, Wiring

_ALWAYS = (
    *PRODUCTS,
    *FUNCTIONS,
    *("BatchNormalization", "LayerNormalization", "InstanceNormalization"),
    *("GroupNormalization", "RMSNormalization", "LRN", "LpNormalization"),
    *("MeanVarianceNormalization", "Softmax", "LogSoftmax"),
    *("MaxPool", "AveragePool", "LpPool"),
    *("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"),
)
_OF_SEVERAL = ("Add", "Sum", "Mul", "Max", "Min", "Mean")
_OUTPUTS = (*VIEWS, "Slice", "Gather", "Pad", "Resize", "Mul", "Div", "Add", "Sub")


def are_layers(wiring: Wiring, geometry: Geometry, insides: Insides) -> Iterator[str]:
    """Yield cores of the tensors that are layers if codes can be read from how they lie."""
    graph = wiring.graph
    outputs = {wiring.core(name) for name in graph.outputs}
    learned: set[str] = set()
    for place in wiring.places:
        node, read = wiring.node(place), wiring.inputs(place)
        weighs = node.op_type in PRODUCTS and bool(wiring.constants(place))
        if not weighs and learned.isdisjoint(read):
            continue
        learned.update(node.output)
        core = node.output[0]
        if core in insides.hidden or not graph.is_float(core):
            continue
        is_named = core in outputs and node.op_type in _OUTPUTS
        if is_named or core in insides.functions or _is_layer(wiring, geometry, place):
            yield core


def _is_layer(wiring: Wiring, geometry: Geometry, place: int) -> bool:
    node, read = wiring.node(place), wiring.inputs(place)
    if node.op_type in _ALWAYS:
        return True
    if node.op_type in ("ReduceMean", "ReduceMax"):
        return sees_less(geometry, read[0], node.output[0])
    if node.op_type == "Concat":
        return len(read) > 1 or _has_prefix(geometry, node.output[0])
    if node.op_type in _OF_SEVERAL and len(read) > 1:
        return True
    if node.op_type in ("Add", "Mul"):
        return any(_is_vector(wiring.graph, name) for name in wiring.constants(place))
    return False


def _has_prefix(geometry: Geometry, name: str) -> bool:
    view = geometry.view(name)
    return view is not None and view.prefix > 0


def _is_vector(graph: Graph, constant: str) -> bool:
    """Whether a constant has more than one value."""
    return any(size != 1 for size in graph.sizes(constant) or ())
