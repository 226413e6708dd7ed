"""Where the values of each tensor lie over the image, found by following the nodes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import onnx

from icecore.server.backbones.graphs import moves
from icecore.server.backbones.graphs.attributes import Attributes
from icecore.server.backbones.graphs.axes import Axes, axis, has_places, map_axes, unknown
from icecore.server.backbones.graphs.graph import Graph
from icecore.server.backbones.graphs.shapes import Sizes
from icecore.server.backbones.graphs.views import View, as_map, window
from icecore.server.backbones.graphs.wiring import VIEWS, Wiring

_Move: TypeAlias = Callable[[Graph, onnx.NodeProto, View, Sizes], View]

_MOVES: dict[str, _Move] = {
    **dict.fromkeys(VIEWS, moves.viewed),
    "Slice": moves.sliced,
    "Gather": moves.gathered,
    "Pad": moves.padded,
}

_WINDOWS = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool")
_WHOLE_MAPS = ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
_ON_MAPS = (*_WINDOWS, *_WHOLE_MAPS, "BatchNormalization", "LRN", "InstanceNormalization")


class Geometry:
    """Views of all tensors that depend on the image, by the name of their core."""

    def __init__(self, wiring: Wiring) -> None:
        self._graph = graph = wiring.graph
        self._wiring = wiring
        self._image = (graph.height, graph.width)
        sizes = graph.sizes(graph.input) or (1, 3, graph.height, graph.width)
        self._views = {graph.input: View(map_axes(sizes), grid=self._image)}
        for place in wiring.places:
            node = wiring.node(place)
            for output in node.output:
                made = graph.sizes(output) if output else None
                if made is not None:
                    view = self._view(place, node, output, made)
                    if view is not None:
                        self._views[output] = view

    def view(self, core: str) -> View | None:
        """How a tensor lies; None where its sizes are unknown."""
        return self._views.get(core)

    def _view(self, place: int, node: onnx.NodeProto, output: str, sizes: Sizes) -> View | None:
        names = self._wiring.inputs(place)
        known = [self._views[name] for name in names if name in self._views]
        if not known or len(known) != len(names) or 0 in sizes:
            return None
        first = known[0]
        is_first = self._graph.is_data(node.input[0])
        before = self._graph.sizes(names[0]) or ()
        if node.op_type in _ON_MAPS and len(sizes) == 4 and is_first:
            return self._on_map(node, as_map(first, before, self._image), before, sizes)
        if node.op_type in _MOVES and is_first:
            return _MOVES[node.op_type](self._graph, node, first, sizes)
        if node.op_type == "Split":
            return moves.split(self._graph, node, first, output)
        if node.op_type == "Concat":
            core = {name: self._wiring.core(name) for name in node.input}
            data = {name: one for name, one in core.items() if self._graph.is_data(name)}
            return moves.joined(self._graph, node, self._views, data, sizes)
        if node.op_type in ("MatMul", "Gemm"):
            return self._product(node, sizes)
        if node.op_type in ("DepthToSpace", "SpaceToDepth", "Resize", "Upsample"):
            return _resized(first, before, sizes)
        if node.op_type.startswith("Reduce"):
            return self._reduced(node, first, before, sizes)
        if node.op_type in ("LayerNormalization", "RMSNormalization", "Softmax", "LogSoftmax"):
            return self._normalised(node, first)
        if node.op_type in ("GroupNormalization", "MeanVarianceNormalization", "Attention"):
            return _broadcast([first], [before], sizes).everywhere()
        return _broadcast(known, [self._graph.sizes(name) or () for name in names], sizes)

    def _on_map(self, node: onnx.NodeProto, view: View, before: Sizes, sizes: Sizes) -> View:
        if node.op_type in _WHOLE_MAPS:
            return replace(view, axes=map_axes(sizes)).everywhere()
        if node.op_type == "InstanceNormalization":
            return view.everywhere()
        if node.op_type not in _WINDOWS:
            return view
        kernel = Attributes(node).integers("kernel_shape")
        if kernel is None:
            kernel = list(self._graph.sizes(node.input[1]) or (1, 1, 1, 1))[2:]
        made = window(node, view, before, sizes, kernel)
        return replace(made, grid=(sizes[2], sizes[3]))

    def _product(self, node: onnx.NodeProto, sizes: Sizes) -> View:
        """Rows of the left input by columns of the right; what they are summed over is gone."""
        left, right = (self._operand(name) for name in node.input[:2])
        given = Attributes(node)
        if node.op_type == "Gemm":
            left = left[::-1] if given.integer("transA", 0) else left
            right = right[::-1] if given.integer("transB", 0) else right
        sides = [self._views[self._wiring.core(n)] for n in node.input if self._graph.is_data(n)]
        view = sides[0]
        for other in sides[1:]:
            view = replace(
                view, rows=view.rows.union(other.rows), columns=view.columns.union(other.columns)
            )
        rows = left[-2:-1] if len(left) > 1 else ()
        columns = right[-1:] if len(right) > 1 else ()
        # Learned weights make channels, but of places that are mixed places.
        if not self._graph.is_data(node.input[1]):
            is_mixed = all(part.kind != "c" for part in left[-1]) and has_places(left[-1])
            columns = tuple(axis("?" if is_mixed else "c", sizes[-1]) for _ in columns)
        elif not self._graph.is_data(node.input[0]):
            rows = tuple(axis("?", sizes[-2]) for _ in rows)
        n_others = len(sizes) - len(rows) - len(columns)
        others = _aligned(
            [left[:-2], right[:-2]], [self._sizes(n)[:-2] for n in node.input[:2]], sizes[:n_others]
        )
        mixes = len(sides) > 1 or any(has_places(one) for one in (*left[-1:], *right[-2:-1]))
        made = replace(view, axes=(*others, *rows, *columns))
        return made.everywhere() if mixes else made

    def _operand(self, name: str) -> Axes:
        if self._graph.is_data(name):
            return self._views[self._wiring.core(name)].axes
        return tuple(() for _ in self._sizes(name))

    def _sizes(self, name: str) -> Sizes:
        return self._graph.sizes(self._wiring.core(name)) or ()

    def _reduced(self, node: onnx.NodeProto, view: View, before: Sizes, sizes: Sizes) -> View:
        given = Attributes(node)
        axes = given.integers("axes")
        if axes is None and len(node.input) > 1 and node.input[1]:
            value = self._graph.constant(node.input[1])
            axes = None if value is None else [int(i) for i in value.reshape(-1)]
        which = {a % len(before) for a in (axes if axes is not None else range(len(before)))}
        kept = given.integer("keepdims", 1)
        left = tuple(
            () if place in which else one
            for place, one in enumerate(view.axes)
            if kept or place not in which
        )
        made = replace(view, axes=left if len(left) == len(sizes) else unknown(sizes))
        sees_all = any(has_places(view.axes[place]) or _is_tokens(view, place) for place in which)
        return replace(made, prefix=0).everywhere() if sees_all else made

    def _normalised(self, node: onnx.NodeProto, view: View) -> View:
        start = Attributes(node).integer("axis", -1) % max(1, len(view.axes))
        is_softmax = node.op_type.endswith("Softmax")
        over = view.axes[start : start + 1] if is_softmax else view.axes[start:]
        sees_all = any(has_places(one) or any(p.kind == "t" for p in one) for one in over)
        return view.everywhere() if sees_all else view


def _is_tokens(view: View, place: int) -> bool:
    return any(part.kind == "t" for part in view.axes[place])


def _resized(view: View, before: Sizes, sizes: Sizes) -> View:
    """Positions nearer together or further apart; each may see its neighbours'."""
    if len(before) != 4 or len(sizes) != 4:
        return View(unknown(sizes), view.rows, view.columns).everywhere()
    spans = []
    for span, old, new in zip((view.rows, view.columns), before[2:], sizes[2:], strict=True):
        step = span.step * old / new
        spans.append(span._replace(last=span.last + abs(step - span.step), step=step))
    return replace(view, axes=map_axes(sizes), rows=spans[0], columns=spans[1])


def _broadcast(views: Sequence[View], befores: Sequence[Sizes], sizes: Sizes) -> View:
    """The view behind a node that works value by value."""
    axes = _aligned([view.axes for view in views], befores, sizes)
    best = max(views, key=lambda view: sum(has_places(one) for one in view.axes))
    rows, columns = best.rows, best.columns
    for view in views:
        rows, columns = rows.union(view.rows), columns.union(view.columns)
    prefixed = max(views, key=lambda view: (view.prefix, sum(map(has_places, view.axes))))
    return View(axes, rows, columns, prefixed.prefix, prefixed.grid)


def _aligned(views: Sequence[Axes], befores: Sequence[Sizes], sizes: Sizes) -> Axes:
    """Axes of a broadcast, from the last: those of an input as long, known ones first."""
    made = []
    for back in range(1, len(sizes) + 1):
        size = sizes[-back]
        fitting = [
            axes[-back]
            for axes, before in zip(views, befores, strict=True)
            if len(axes) >= back and len(before) >= back and before[-back] == size
        ]
        known = [one for one in fitting if one and all(part.kind != "?" for part in one)]
        made.append((known or fitting or [axis("?", size)])[0])
    return tuple(made[::-1])
