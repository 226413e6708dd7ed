"""Pooling heads: the ONNX nodes that turn a map into codes inside of the graph.

Inside, since moving whole maps out of ONNX Runtime costs more than pooling them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from icecore.server.backbones.graphs.layers import Layer
from icecore.server.errors import PoolingInvalid
from icecore.wire.taps import Pooling, PoolingKind

GRID_VALUES = 9_000
"""What GRID comes as near to as it can: a linear probe on more gains little and costs much."""

GEM_FLOOR = 1e-6
"""Values below are lifted to it before the power, as Radenovic et al. (2018) do."""


def codes_shape(layer: Layer, pooling: Pooling) -> tuple[int, ...]:
    """Return the shape of one image's codes: (d,), or (c, h, w) for NONE."""
    match pooling.kind:
        case PoolingKind.NONE:
            return layer.channels, layer.height, layer.width
        case PoolingKind.GRID:
            return (layer.channels * grid_side(layer) ** 2,)
        case _:
            return (layer.channels,)


def grid_side(layer: Layer) -> int:
    """Return g: GRID averages a map into g x g cells, and c * g * g is near 9,000."""
    sides = range(1, min(layer.height, layer.width) + 1)
    return min(sides, key=lambda g: abs(layer.channels * g * g - GRID_VALUES))


class Heads:
    """Nodes and constants that are added to a graph; names all start with `prefix`."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._n = 0
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def relu(self, tensor: str) -> str:
        """Add a threshold; return its output."""
        return self._node("Relu", [tensor])

    def as_map(self, tensor: str) -> str:
        """Add the view of a vector (n, d) as a map (n, d, 1, 1)."""
        return self._node("Reshape", [tensor, self._constant(np.array([0, -1, 1, 1], np.int64))])

    def pool(self, tensor: str, layer: Layer, pooling: Pooling) -> str:
        """Add the pooling of a map (n, c, h, w); return its output, of `codes_shape`."""
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
            case PoolingKind.GRID:
                pooled = self._grid(tensor, layer)
            case PoolingKind.CLS:
                raise PoolingInvalid(f"layer {layer.name!r} has no class token")
        return self._node("Flatten", [pooled])

    def _average(self, tensor: str, layer: Layer) -> str:
        """The mean of each map: of each row, then of those.

        GlobalAveragePool alone adds thousands of float32 one after another and is
        off by up to 9e-4 on EfficientNet-Lite0; so, by 1e-5, and no slower.
        """
        rows = self._node("AveragePool", [tensor], kernel_shape=[1, layer.width])
        return self._node("GlobalAveragePool", [rows])

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
        """Adaptive average as two products: rows (g, h), then columns (w, g)."""
        side = grid_side(layer)
        rows = self._constant(_cells(layer.height, side))
        columns = self._constant(np.ascontiguousarray(_cells(layer.width, side).T))
        return self._node("MatMul", [self._node("MatMul", [rows, tensor]), columns])

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
