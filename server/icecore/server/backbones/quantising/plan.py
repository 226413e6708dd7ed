"""Which tensors of a network are kept in 8 bits, so that its nodes find int8 kernels.

Leaders are products with constant weights: they are worth it by themselves.
Followers only move or mix values: they run in 8 bits where all they read is there
already, and something behind them gains from it. Everything else stays float32.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import onnx

from icecore.server.backbones.graphs.graph import Graph
from icecore.server.backbones.graphs.thresholds import is_threshold

_CARRIERS: Final = frozenset(
    ("MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split")
)
"""They make no new values, so what they give keeps the range of what they read."""

_MIXERS: Final = frozenset(("Add", "Mul", "Concat"))

_SHRINKERS: Final = frozenset(
    ("GlobalAveragePool", "AveragePool", "ReduceMean", "Sigmoid", "LeakyRelu")
)
"""They read one tensor, and what they give has a range of its own. ReduceMean has no int8
kernel, but is always small and stands between those that have."""


@dataclass(slots=True)
class Plan:
    """What is quantised, by name of tensor.

    `ranges` names for each tensor kept in 8 bits the one whose range it takes, mostly
    its own; those in `made` come out of an int8 kernel, so nothing holds them in float32.
    `leaders` are the outputs of nodes whose weights become int8, `kernels` of all nodes
    that read 8 bits, leaders too.
    """

    ranges: dict[str, str] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    leaders: set[str] = field(default_factory=set)
    kernels: set[str] = field(default_factory=set)


def plan(graph: Graph) -> Plan:
    """Return what to quantise; `leaders` is empty where nothing is worth it."""
    return _Planning(graph).found


class _Planning:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._wanted = self._wanted_in_8_bits()
        self.found = Plan()
        for node in graph.nodes:
            if node.output:
                self._add(node)

    def _add(self, node: onnx.NodeProto) -> None:
        found, made = self.found, node.output[0]
        if self._is_leader(node):
            found.leaders.add(made)
            found.ranges.setdefault(node.input[0], node.input[0])
        elif not self._is_follower(node):
            return
        found.kernels.add(made)
        if node.op_type in _CARRIERS:
            found.ranges.update(dict.fromkeys(node.output, found.ranges[node.input[0]]))
            found.made.update(node.output)
            return
        kept = self._behind_threshold(made)
        if self._graph.readers(kept) and (kept in self._wanted or node.op_type == "Conv"):
            found.ranges[kept] = kept
            found.made.add(kept)

    def _is_leader(self, node: onnx.NodeProto) -> bool:
        """A Conv, Gemm or MatMul of data with constant weights, and a constant bias if any."""
        if node.op_type not in ("Conv", "Gemm", "MatMul"):
            return False
        weights = [self._graph.constant(name) for name in node.input[1:] if name]
        if not self._graph.is_data(node.input[0]) or not weights:
            return False
        if any(weight is None or weight.dtype != np.float32 for weight in weights):
            return False
        rank = 0 if weights[0] is None else weights[0].ndim
        if node.op_type == "Conv":
            return rank == 4
        settings = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        is_plain = settings.get("alpha", 1.0) == settings.get("beta", 1.0) == 1.0
        return rank == 2 and is_plain and not settings.get("transA", 0)

    def _is_follower(self, node: onnx.NodeProto) -> bool:
        ranges, kept = self.found.ranges, self._behind_threshold(node.output[0])
        if kept not in self._wanted:
            return False
        if node.op_type in _CARRIERS:
            return node.input[0] in ranges and all(map(self._graph.readers, node.output))
        if node.op_type in _SHRINKERS:
            return node.input[0] in ranges
        return node.op_type in _MIXERS and all(name in ranges for name in node.input)

    def _behind_threshold(self, tensor: str) -> str:
        """The threshold's output, where only a threshold reads the tensor; else itself."""
        following = self._graph.readers(tensor)
        if len(following) == 1 and is_threshold(self._graph, following[0]):
            return following[0].output[0]
        return tensor

    def _wanted_in_8_bits(self) -> set[str]:
        """Tensors that a leader or mixer reads, perhaps through others that keep to 8 bits."""
        wanted: set[str] = set()
        for node in reversed(self._graph.nodes):
            passes = node.op_type in _CARRIERS | _SHRINKERS and not wanted.isdisjoint(node.output)
            if passes or node.op_type in _MIXERS or self._is_leader(node):
                wanted.update(node.input)
        return wanted
