"""Pooling heads: the ONNX nodes that turn a layer's values into codes inside of the graph.

Inside, since moving whole maps out of ONNX Runtime costs more than pooling them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from icecore.server.backbones.graphs.layers import Layer
from icecore.server.backbones.graphs.layouts import Layout
from icecore.server.backbones.running.poolings import codes_shape, grid_side
from icecore.wire.taps import Pooling, PoolingKind

GEM_FLOOR = 1e-6
"""Values below are lifted to it before the power, as Radenovic et al. (2018) do."""

AT_ONCE = 200
"""Places that are averaged in one sum. ONNX Runtime adds float32 one after another, so a sum of
k misses by up to k * 6e-8 of the largest value; larger maps are summed by columns first."""

_AXES_ARE_INPUTS = 18
"""The opset from which ReduceMean and ReduceMax take their axes so."""


class Heads:
    """Nodes and constants that are added to a graph of an opset; names all start with `prefix`.

    Of tokens all poolings but CLS see the map only, without the tokens in front.
    """

    def __init__(self, prefix: str, opset: int) -> None:
        self._prefix = prefix
        self._opset = opset
        self._n = 0
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def relu(self, tensor: str) -> str:
        """Add a threshold; return its output."""
        return self._node("Relu", [tensor])

    def pool(self, tensor: str, layer: Layer, pooling: Pooling) -> str:
        """Add the pooling of a layer's values, laid out as it says; return its output.

        That is float32 of `codes_shape`.

        Raises:
            PoolingInvalid: as `codes_shape`.
        """
        codes_shape(layer, pooling)
        if pooling.kind is PoolingKind.CLS:
            return self._node("Gather", [tensor, self._constant(np.array(0, np.int64))], axis=1)
        match layer.layout:
            case Layout.TOKENS:
                return self._of_rows(self._patches(tensor, layer), layer, pooling)
            case Layout.ROWS:
                return self._of_rows(tensor, layer, pooling)
            case Layout.VECTOR:
                return self._of_map(self._reshaped(tensor, 0, -1, 1, 1), layer, pooling)
            case Layout.MAP:
                return self._of_map(tensor, layer, pooling)

    def _of_map(self, tensor: str, layer: Layer, pooling: Pooling) -> str:
        """Pool (n, c, h, w)."""
        match pooling.kind:
            case PoolingKind.NONE:
                # An output needs a name of its own, also where the tensor is one already.
                return self._node("Identity", [tensor])
            case PoolingKind.AVG:
                pooled = self._average(tensor, layer)
            case PoolingKind.MAX:
                pooled = self._node("GlobalMaxPool", [tensor])
            case PoolingKind.GEM:
                lifted = self._lifted(tensor)
                peak = self._node("GlobalMaxPool", [lifted])
                mean = self._average(self._power(lifted, peak, pooling.gem_p), layer)
                pooled = self._root(mean, peak, pooling.gem_p)
            case _:
                pooled = self._grid(tensor, layer)
        return self._node("Flatten", [pooled])

    def _of_rows(self, tensor: str, layer: Layer, pooling: Pooling) -> str:
        """Pool (n, h, w, c)."""
        match pooling.kind:
            case PoolingKind.NONE:
                return self._node("Transpose", [tensor], perm=[0, 3, 1, 2])
            case PoolingKind.AVG:
                pooled = self._average_rows(tensor, layer)
            case PoolingKind.MAX:
                pooled = self._reduce("ReduceMax", tensor, 1, 2)
            case PoolingKind.GEM:
                lifted = self._lifted(tensor)
                peak = self._reduce("ReduceMax", lifted, 1, 2)
                mean = self._average_rows(self._power(lifted, peak, pooling.gem_p), layer)
                pooled = self._root(mean, peak, pooling.gem_p)
            case _:
                pooled = self._grid_of_rows(tensor, layer)
        return self._node("Flatten", [pooled])

    def _patches(self, tensor: str, layer: Layer) -> str:
        """Tokens (n, t, c) as rows (n, h, w, c), without those in front."""
        if layer.prefix_tokens:
            ends = [layer.prefix_tokens, layer.prefix_tokens + layer.height * layer.width, 1]
            bounds = [self._constant(np.array([value], np.int64)) for value in ends]
            tensor = self._node("Slice", [tensor, *bounds])
        return self._reshaped(tensor, 0, layer.height, layer.width, layer.channels)

    def _average(self, tensor: str, layer: Layer) -> str:
        """The mean of each map (n, c, 1, 1): of each column, then of those.

        Columns, not rows: the kernel then adds up neighbours side by side.
        """
        if layer.height * layer.width > AT_ONCE and layer.height > 1:
            tensor = self._node("AveragePool", [tensor], kernel_shape=[layer.height, 1])
        return self._node("GlobalAveragePool", [tensor])

    def _average_rows(self, tensor: str, layer: Layer) -> str:
        """The mean over the places of (n, h, w, c), as (n, 1, 1, c)."""
        if layer.height * layer.width > AT_ONCE and layer.height > 1:
            return self._reduce("ReduceMean", self._reduce("ReduceMean", tensor, 1), 2)
        return self._reduce("ReduceMean", tensor, 1, 2)

    def _lifted(self, tensor: str) -> str:
        return self._node("Max", [tensor, self._constant(np.array(GEM_FLOOR, np.float32))])

    def _power(self, tensor: str, peak: str, p: float) -> str:
        """The p-th powers (Radenovic et al., 2018), of values divided by their map's largest.

        Divided, since float32 ends at 6 to the power of 50.
        """
        ratio = self._node("Div", [tensor, peak])
        return self._node("Pow", [ratio, self._constant(np.array(p, np.float32))])

    def _root(self, mean: str, peak: str, p: float) -> str:
        root = self._node("Pow", [mean, self._constant(np.array(1.0 / p, np.float32))])
        return self._node("Mul", [root, peak])

    def _grid(self, tensor: str, layer: Layer) -> str:
        """Adaptive average of (n, c, h, w) as two products: columns (w, g), then rows (g, h)."""
        side = grid_side(layer)
        columns = self._constant(np.ascontiguousarray(_cells(layer.width, side).T))
        rows = self._constant(_cells(layer.height, side))
        return self._node("MatMul", [rows, self._node("MatMul", [tensor, columns])])

    def _grid_of_rows(self, tensor: str, layer: Layer) -> str:
        """The same of (n, h, w, c): rows of w * c values, then columns; last the channels go up."""
        side = grid_side(layer)
        wide = self._reshaped(tensor, 0, layer.height, layer.width * layer.channels)
        wide = self._node("MatMul", [self._constant(_cells(layer.height, side)), wide])
        tensor = self._reshaped(wide, 0, side, layer.width, layer.channels)
        cells = self._node("MatMul", [self._constant(_cells(layer.width, side)), tensor])
        return self._node("Transpose", [cells], perm=[0, 3, 1, 2])

    def _reduce(self, op: str, tensor: str, *axes: int) -> str:
        if self._opset < _AXES_ARE_INPUTS:
            return self._node(op, [tensor], axes=list(axes))
        return self._node(op, [tensor, self._constant(np.array(axes, np.int64))])

    def _reshaped(self, tensor: str, *sizes: int) -> str:
        return self._node("Reshape", [tensor, self._constant(np.array(sizes, np.int64))])

    def _node(self, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        name = self._name()
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def _constant(self, value: npt.NDArray[np.float32] | npt.NDArray[np.int64]) -> str:
        name = self._name()
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def _name(self) -> str:
        self._n += 1
        return f"{self._prefix}{self._n}"


def _cells(size: int, n_cells: int) -> npt.NDArray[np.float32]:
    """(n_cells, size): each row averages one cell, with the borders of adaptive pooling."""
    cells = np.zeros((n_cells, size), np.float32)
    for i in range(n_cells):
        first, end = i * size // n_cells, -(-(i + 1) * size // n_cells)
        cells[i, first:end] = 1.0 / (end - first)
    return cells
