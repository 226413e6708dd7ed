"""The layers of a graph: every place where codes can be read, and its costs."""

from dataclasses import dataclass, replace

from icecore.server.backbones.graphs.axes import layout_of
from icecore.server.backbones.graphs.blocks import blocks_of
from icecore.server.backbones.graphs.costs import Costs
from icecore.server.backbones.graphs.geometry import Geometry
from icecore.server.backbones.graphs.graph import Graph
from icecore.server.backbones.graphs.insides import Insides
from icecore.server.backbones.graphs.layouts import Layout
from icecore.server.backbones.graphs.places import are_layers
from icecore.server.backbones.graphs.roles import roles_of
from icecore.server.backbones.graphs.thresholds import is_thresholded
from icecore.server.backbones.graphs.views import View
from icecore.server.backbones.graphs.wiring import Wiring
from icecore.server.errors import GraphInvalid

BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Layer:
    """One place in a backbone where codes can be read.

    `name` is the ONNX tensor's, in an int8 graph that of the float network.
    `depth` ranks the network's own thresholds (Relu, Clip at 0) from 1 in
    topological order; where it has none, its blocks; None elsewhere. `dims` are
    the values of average-pooled codes. `params` and `macs` (multiply-
    accumulates an image) count all that is needed from the input to here.

    `height` and `width` are a map's, or those of the grid that tokens make
    behind `prefix_tokens` others; a vector (n, d) is a map of d channels, 1 x 1.
    `stride` is in input pixels between two neighbouring positions down the
    height. `receptive_field` is the side, in input pixels, of the square that
    can change a value: what a mean over the map goes into (squeeze gates,
    attention, norms over a map) sees all, which is the input's larger side.

    `role` is "block" where blocks have the depths, "logits" or "probabilities"
    for a classifier's, else "".
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
        GraphInvalid: the shapes do not fit, or nothing can be read as codes.
    """
    wiring = Wiring(graph)
    geometry = Geometry(wiring)
    insides = Insides(wiring, geometry)
    costs, roles, wrapped = Costs(graph), roles_of(wiring), wiring.wrapped()
    found: dict[str, Layer] = {}
    for core in are_layers(wiring, geometry, insides):
        view = geometry.view(core)
        layout = None if view is None else layout_of(view.axes)
        if view is not None and layout is not None:
            name = wrapped.get(core, core)
            layer = _layer(graph, name, view, layout, graph.sizes(core) or (), costs.up_to(core))
            is_low = is_thresholded(wiring, core)
            found[core] = replace(layer, thresholded=is_low, role=roles.get(core, ""))
    if not found:
        raise GraphInvalid(
            "the graph has no float32 tensor behind learned weights that is a map (n, c, h, w), "
            "tokens (n, t, c) or a vector (n, c)"
        )
    return _ranked(found, wiring, insides)


def _ranked(found: dict[str, Layer], wiring: Wiring, insides: Insides) -> tuple[Layer, ...]:
    """The layers with their depths, and the role of blocks."""
    ranked = {core for core, layer in found.items() if layer.thresholded}
    if not ranked:
        sides = [(layer.height, layer.width) for layer in found.values()]
        ranked = blocks_of(wiring, insides, list(found), sides)
        found = {
            core: replace(layer, role=layer.role or BLOCK) if core in ranked else layer
            for core, layer in found.items()
        }
    depths = {core: depth for depth, core in enumerate((c for c in found if c in ranked), 1)}
    return tuple(replace(layer, depth=depths.get(core)) for core, layer in found.items())


def _layer(
    graph: Graph,
    name: str,
    view: View,
    layout: Layout,
    sizes: tuple[int, ...],
    costs: tuple[int, int],
) -> Layer:
    height, width = 1, 1
    match layout:
        case Layout.MAP:
            channels, height, width = sizes[1:]
        case Layout.ROWS:
            height, width, channels = sizes[1:]
        case Layout.TOKENS:
            channels, (height, width) = sizes[2], view.grid
        case Layout.VECTOR:
            channels = sizes[1]
    side = max(graph.height, graph.width)
    stride = max(1, round(view.rows.step))
    node = graph.maker(name)
    return Layer(
        name=name,
        depth=None,
        channels=channels,
        height=height,
        width=width,
        stride=max(stride, side) if (height, width) == (1, 1) else stride,
        thresholded=False,
        dims=channels,
        params=costs[0],
        macs=costs[1],
        op="" if node is None else node.op_type,
        receptive_field=max(view.rows.size(side), view.columns.size(side)),
        prefix_tokens=view.prefix if layout is Layout.TOKENS else 0,
        layout=layout,
    )
