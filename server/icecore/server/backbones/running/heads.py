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


class Heads:
    """Nodes and constants that are added to a graph; names all start with `prefix`.

    Of tokens all poolings but CLS see the map only, without the tokens in front.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
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
        return self._pooled(self._as_map(tensor, layer), layer, pooling)

    def _as_map(self, tensor: str, layer: Layer) -> str:
        """The layer's values as (n, c, h, w).

        Turned, where channels come last, although a mean could be taken as they lie: ONNX
        Runtime moves what turns a map about, and it would add up in another order then.
        """
        match layer.layout:
            case Layout.MAP:
                return tensor
            case Layout.VECTOR:
                return self._reshaped(tensor, 0, -1, 1, 1)
            case Layout.ROWS:
                return self._node("Transpose", [tensor], perm=[0, 3, 1, 2])
            case Layout.TOKENS:
                turned = self._node("Transpose", [self._patches(tensor, layer)], perm=[0, 2, 1])
                return self._reshaped(turned, 0, layer.channels, layer.height, layer.width)

    def _patches(self, tensor: str, layer: Layer) -> str:
        """Tokens (n, t, c) without those in front of the map."""
        if not layer.prefix_tokens:
            return tensor
        ends = [layer.prefix_tokens, layer.prefix_tokens + layer.height * layer.width, 1]
        bounds = [self._constant(np.array([value], np.int64)) for value in ends]
        return self._node("Slice", [tensor, *bounds])

    def _pooled(self, tensor: str, layer: Layer, pooling: Pooling) -> str:
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
                pooled = self._gem(tensor, layer, pooling.gem_p)
            case _:
                pooled = self._grid(tensor, layer)
        return self._node("Flatten", [pooled])

    def _average(self, tensor: str, layer: Layer) -> str:
        """The mean of each map (n, c, 1, 1): of each column, then of those.

        Columns, not rows: the kernel then adds up neighbours side by side.
        """
        if layer.height * layer.width > AT_ONCE and layer.height > 1:
            tensor = self._node("AveragePool", [tensor], kernel_shape=[layer.height, 1])
        return self._node("GlobalAveragePool", [tensor])

    def _gem(self, tensor: str, layer: Layer, p: float) -> str:
        """The p-th root of the mean p-th power (Radenovic et al., 2018).

        Divided by each map's maximum first: float32 ends at 6 to the power of 50.
        """
        lifted = self._node("Max", [tensor, self._constant(np.array(GEM_FLOOR, np.float32))])
        peak = self._node("GlobalMaxPool", [lifted])
        ratio = self._node("Div", [lifted, peak])
        power = self._node("Pow", [ratio, self._constant(np.array(p, np.float32))])
        mean = self._average(power, layer)
        root = self._node("Pow", [mean, self._constant(np.array(1.0 / p, np.float32))])
        return self._node("Mul", [root, peak])

    def _grid(self, tensor: str, layer: Layer) -> str:
        """Adaptive average of (n, c, h, w) as two products: columns (w, g), then rows (g, h)."""
        side = grid_side(layer)
        columns = self._constant(np.ascontiguousarray(_cells(layer.width, side).T))
        rows = self._constant(_cells(layer.height, side))
        return self._node("MatMul", [rows, self._node("MatMul", [tensor, columns])])

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
