"""Views behind the nodes that move, cut or join values along axes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx

from icecore.server.backbones.graphs.attributes import Attributes
from icecore.server.backbones.graphs.axes import (
    Axes,
    Axis,
    Part,
    axis,
    is_channels,
    is_grid,
    is_whole,
    regroup,
    unknown,
)
from icecore.server.backbones.graphs.graph import Graph
from icecore.server.backbones.graphs.shapes import Sizes
from icecore.server.backbones.graphs.views import View


def viewed(_: Graph, node: onnx.NodeProto, view: View, sizes: Sizes) -> View:
    """Return the view behind Reshape, Flatten, Squeeze, Unsqueeze or Transpose."""
    if node.op_type != "Transpose":
        return _with_grid(replace(view, axes=regroup(view.axes, sizes)))
    order = Attributes(node).integers("perm") or list(range(len(view.axes)))[::-1]
    return replace(view, axes=tuple(view.axes[place] for place in order))


def sliced(graph: Graph, node: onnx.NodeProto, view: View, sizes: Sizes) -> View:
    """Return the view behind a Slice, whose bounds are constants."""
    starts, ends = _integers(graph, node, 1), _integers(graph, node, 2)
    axes = _integers(graph, node, 3)
    steps = _integers(graph, node, 4)
    if starts is None or ends is None:
        return _unknown_where_changed(graph, node, view, sizes)
    before = graph.sizes(node.input[0]) or ()
    for place, start in enumerate(starts):
        which = axes[place] if axes is not None else place
        which %= len(before)
        step = steps[place] if steps is not None else 1
        if step < 1:
            return _unknown_where_changed(graph, node, view, sizes)
        first = min(start + before[which] if start < 0 else start, before[which])
        view = _part(view, which, before[which], first, step, sizes[which])
    return view


def split(graph: Graph, node: onnx.NodeProto, view: View, output: str) -> View:
    """Return the view of one of a Split's outputs."""
    before, after = graph.sizes(node.input[0]), graph.sizes(output)
    if before is None or after is None:
        return view.everywhere()
    which = Attributes(node).integer("axis", 0) % len(before)
    first = 0
    for name in node.output:
        if name == output:
            break
        first += (graph.sizes(name) or after)[which]
    return _part(view, which, before[which], first, 1, after[which])


def gathered(graph: Graph, node: onnx.NodeProto, view: View, sizes: Sizes) -> View:
    """Return the view behind a Gather at constant places: one of them, or some."""
    before = graph.sizes(node.input[0])
    which = Attributes(node).integer("axis", 0) % max(1, len(view.axes))
    index = graph.constant(node.input[1])
    if before is None or index is None or index.ndim > 1:
        return _unknown_where_changed(graph, node, view, sizes)
    if index.ndim == 0:
        view = _part(view, which, before[which], int(index) % max(1, before[which]), 1, 1)
        return replace(view, axes=view.axes[:which] + view.axes[which + 1 :])
    kept = view.axes[which]
    made = axis("c" if is_channels(kept) and kept else "?", sizes[which])
    return replace(view, axes=_exchanged(view.axes, which, made))


def padded(graph: Graph, node: onnx.NodeProto, view: View, sizes: Sizes) -> View:
    """Return the view behind a Pad."""
    pads = _integers(graph, node, 1)
    axes = _integers(graph, node, 3)
    before = graph.sizes(node.input[0]) or ()
    if pads is None:
        return _unknown_where_changed(graph, node, view, sizes)
    which = axes if axes is not None else list(range(len(before)))
    for place, front in zip(which, pads, strict=False):
        view = _part(view, place % len(before), before[place], -front, 1, sizes[place])
    return view


def joined(
    graph: Graph, node: onnx.NodeProto, views: dict[str, View], core: dict[str, str], sizes: Sizes
) -> View:
    """Return the view behind a Concat; `views` are those of the inputs that are data.

    Tokens put in front of a grid (a class token, registers) are its prefix.
    """
    which = Attributes(node).integer("axis", 0) % len(sizes)
    known = [views[core[name]] for name in node.input if name in core]
    view = known[0]
    for other in known[1:]:
        view = replace(
            view, rows=view.rows.union(other.rows), columns=view.columns.union(other.columns)
        )
    axes = [one.axes[which] for one in known]
    is_token_axis = len(sizes) == 3 and which == 1
    if is_token_axis or not all(is_channels(one) for one in axes):
        return _tokens_joined(graph, node, views, core, sizes, view, which)
    return replace(view, axes=_exchanged(view.axes, which, axis("c", sizes[which])))


def _tokens_joined(
    graph: Graph,
    node: onnx.NodeProto,
    views: dict[str, View],
    core: dict[str, str],
    sizes: Sizes,
    view: View,
    which: int,
) -> View:
    prefix, grid = 0, None
    for name in node.input:
        one = views[core[name]] if name in core else None
        if grid is not None:
            return replace(view, axes=_exchanged(view.axes, which, axis("?", sizes[which])))
        if one is not None and is_grid(one.axes[which]):
            grid = one
            prefix += one.prefix
        else:
            prefix += (graph.sizes(name) or (0,) * len(sizes))[which]
    if grid is None:
        return replace(view, axes=_exchanged(view.axes, which, axis("?", sizes[which])))
    tokens: Axis = (Part("t", sizes[which], 1, sizes[which]),)
    return replace(
        grid,
        axes=_exchanged(grid.axes, which, tokens),
        rows=view.rows,
        columns=view.columns,
        prefix=prefix,
        grid=_grid(grid, which),
    )


def _part(view: View, which: int, before: int, first: int, step: int, size: int) -> View:
    """Every `step`-th value of an axis from `first` on; those before 0 are padding."""
    kept = view.axes[which]
    if (first, step, size) == (0, 1, before):
        return view
    match kept:
        case (Part("h"),) if is_whole(kept, "h"):
            view = replace(view, rows=view.rows.moved(first, step))
            made = axis("h", size)
        case (Part("w"),) if is_whole(kept, "w"):
            view = replace(view, columns=view.columns.moved(first, step))
            made = axis("w", size)
        case (Part("t"),) if step == 1 and 0 <= first <= view.prefix and first + size == before:
            view = replace(view, prefix=view.prefix - first)
            rows, columns = view.grid
            made = (
                (Part("t", size, 1, size),)
                if view.prefix
                else (Part("h", rows, 1, rows), Part("w", columns, 1, columns))
            )
        case _:
            made = axis(kept[0].kind if kept and is_channels(kept) else "?", size)
    return replace(view, axes=_exchanged(view.axes, which, made))


def _with_grid(view: View) -> View:
    """The view with the sides of its grid, where rows and columns became tokens."""
    for place, one in enumerate(view.axes):
        if is_grid(one) and one[0].kind != "t":
            return replace(view, grid=_grid(view, place), prefix=0)
    return view


def _grid(view: View, which: int) -> tuple[int, int]:
    match view.axes[which]:
        case (Part("h") as rows, Part("w") as columns):
            return rows.size, columns.size
    return view.grid


def _exchanged(axes: Axes, which: int, made: Axis) -> Axes:
    return (*axes[:which], made, *axes[which + 1 :])


def _unknown_where_changed(graph: Graph, node: onnx.NodeProto, view: View, sizes: Sizes) -> View:
    before: Sequence[int] = graph.sizes(node.input[0]) or ()
    if len(before) != len(sizes):
        return View(unknown(sizes), view.rows, view.columns).everywhere()
    axes = tuple(
        one if old == new else axis("?", new)
        for one, old, new in zip(view.axes, before, sizes, strict=True)
    )
    return replace(view, axes=axes).everywhere()


def _integers(graph: Graph, node: onnx.NodeProto, place: int) -> list[int] | None:
    """A constant input as whole numbers; None where it is left out or no constant."""
    if len(node.input) <= place or not node.input[place]:
        return None
    value = graph.constant(node.input[place])
    return None if value is None else [int(i) for i in np.atleast_1d(value)]
