"""Parameters and multiply-accumulates up to a tensor."""

from math import prod

import onnx

from icecore.server.backbones.graphs.attributes import Attributes
from icecore.server.backbones.graphs.graph import Graph, set_bits
from icecore.server.backbones.graphs.shapes import BATCH

_SETTINGS = ("Clip", "Pad", "Resize", "Upsample", "QuantizeLinear", "DequantizeLinear", "Expand")
"""Nodes whose constants are no parameters."""


class Costs:
    """What all nodes that a tensor needs have and do together.

    Parameters are the float constants that nodes read, each once: weights,
    biases, embeddings. An int8 weight counts as the float one that it stands
    for. Running means and variances are statistics, and single numbers (a
    Clip's bounds, say) are settings: neither is a parameter. Multiply-
    accumulates are those of Conv, ConvTranspose, Gemm and MatMul, an image.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._macs: dict[int, int] = {}
        self._owners: dict[str, int] = {}
        self._done = 0
        self._sums = (0, 0)
        self._weights = [self._weights_of(node) for node in graph.nodes]
        self._uses: dict[str, int] = {}

    def up_to(self, tensor: str) -> tuple[int, int]:
        """Return parameters and multiply-accumulates.

        Quick where tensors are asked for in topological order: only what differs
        from the last one's needs is counted.
        """
        needs = self._graph.needs(tensor)
        params, macs = self._sums
        for place in set_bits(needs & ~self._done):
            macs += self._macs_of(place)
            for name, size in self._weights[place].items():
                self._uses[name] = self._uses.get(name, 0) + 1
                params += size if self._uses[name] == 1 else 0
        for place in set_bits(self._done & ~needs):
            macs -= self._macs_of(place)
            for name, size in self._weights[place].items():
                self._uses[name] -= 1
                params -= 0 if self._uses[name] else size
        self._done, self._sums = needs, (params, macs)
        return self._sums

    def _weights_of(self, node: onnx.NodeProto) -> dict[str, int]:
        """Float constants that a node on the image's way reads, by name, with their sizes."""
        if node.op_type in _SETTINGS or not any(self._graph.is_data(n) for n in node.input):
            return {}
        names = node.input[:3] if node.op_type == "BatchNormalization" else node.input
        found: dict[str, int] = {}
        for name in names:
            if name and not self._graph.is_data(name) and self._graph.is_float(name):
                found.update(self._leaves(name))
        return {name: size for name, size in found.items() if size > 1}

    def _leaves(self, name: str) -> dict[str, int]:
        """The stored tensors that a constant is made of, looked for through nodes."""
        found: dict[str, int] = {}
        waiting, seen = [(name, True)], {name}
        while waiting:
            one, is_weight = waiting.pop()
            sizes = self._graph.sizes(one)
            node = self._graph.maker(one)
            if node is None or node.op_type == "Constant":
                if sizes is not None and is_weight:
                    found[one] = prod(sizes)
                continue
            is_code = node.op_type == "DequantizeLinear"
            read = node.input[:1] if is_code or node.op_type in _SETTINGS else node.input
            for more in read:
                if more and more not in seen:
                    seen.add(more)
                    waiting.append((more, is_code or self._graph.is_float(more)))
        return found

    def _macs_of(self, place: int) -> int:
        if place not in self._macs:
            self._macs[place] = _macs(self._graph, self._graph.nodes[place])
        return self._macs[place]


def _macs(graph: Graph, node: onnx.NodeProto) -> int:
    """Multiply-accumulates an image of one node; 0 for one that does not depend on it."""
    if node.op_type == "Attention":
        return _attention_macs(graph, node)
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return 0
    if not graph.is_data(node.output[0]):
        return 0
    before, after = graph.sizes(node.input[0]), graph.sizes(node.output[0])
    weight = graph.sizes(node.input[1])
    if not before or not after or not weight:
        return 0
    if node.op_type == "Conv":
        return prod(after) * prod(weight[1:]) // _images(graph)
    if node.op_type == "ConvTranspose":
        return prod(before) * prod(weight[1:]) // _images(graph)
    is_turned = node.op_type == "Gemm" and Attributes(node).integer("transA", 0)
    return prod(after) * before[0 if is_turned else -1] // _images(graph)


def _attention_macs(graph: Graph, node: onnx.NodeProto) -> int:
    """Scores and their weighted sum of ONNX's own Attention: (n, [heads,] t, d) each."""
    query, key = graph.sizes(node.input[0]), graph.sizes(node.input[1])
    made = graph.sizes(node.output[0])
    if not query or not key or not made:
        return 0
    return (prod(query) + prod(made)) * key[-2] // _images(graph)


def _images(graph: Graph) -> int:
    return BATCH if graph.batch is None else 1
