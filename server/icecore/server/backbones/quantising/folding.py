"""Batch norms as convolutions, so that an int8 kernel can take them.

A batch norm behind a convolution goes into a copy of it; any other over a map becomes
a depthwise convolution of 1 x 1. No tensor loses its name or its values: the
convolution that came first stays, for whoever reads what it made.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from icecore.server.backbones.graphs.graph import Graph


@dataclass(frozen=True, slots=True)
class Folded:
    """The network without batch norms over maps.

    `scaled` tells by name which weight is another one times a factor a channel:
    name of the plain weight -> (name of the scaled one, (c,) float64).
    """

    model: onnx.ModelProto
    scaled: dict[str, tuple[str, npt.NDArray[np.float64]]]


def fold_batch_norms(graph: Graph) -> Folded:
    """Return the same function with convolutions in place of batch norms."""
    folding = _Folding(graph)
    model = onnx.ModelProto()
    model.CopyFrom(graph.model)
    del model.graph.node[:]
    model.graph.node.extend(folding.nodes())
    used = {name for node in model.graph.node for name in graph.reads(node)}
    kept = [tensor for tensor in graph.model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*kept, *folding.constants])
    return Folded(model, folding.scaled)


class _Folding:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._readers: dict[str, int] = {}
        for node in graph.nodes:
            for name in graph.reads(node):
                self._readers[name] = self._readers.get(name, 0) + 1
        self._outputs = {value.name for value in graph.model.graph.output}
        self.constants: list[onnx.TensorProto] = []
        self.scaled: dict[str, tuple[str, npt.NDArray[np.float64]]] = {}

    def nodes(self) -> list[onnx.NodeProto]:
        return [self._folded(node) for node in self._graph.nodes]

    def _folded(self, node: onnx.NodeProto) -> onnx.NodeProto:
        if node.op_type != "BatchNormalization":
            return node
        settings = [self._graph.constant(name) for name in node.input[1:5]]
        shape = self._graph.shape(node.input[0])
        if shape is None or len(shape) != 4 or any(value is None for value in settings):
            return node
        scale, shift, mean, variance = (
            value.astype(np.float64) for value in settings if value is not None
        )
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        factor = scale / np.sqrt(variance + epsilon)
        offset = shift - mean * factor
        before = self._graph.maker(node.input[0])
        if before is not None and before.op_type == "Conv":
            weight = self._graph.constant(before.input[1])
            bias = (
                self._graph.constant(before.input[2])
                if len(before.input) > 2 and before.input[2]
                else np.zeros(len(factor), np.float32)
            )
            if weight is not None and bias is not None:
                return self._into(before, node, weight, bias, factor, offset)
        return self._alone(node, factor, offset)

    def _into(
        self,
        conv: onnx.NodeProto,
        norm: onnx.NodeProto,
        weight: npt.NDArray[Any],
        bias: npt.NDArray[Any],
        factor: npt.NDArray[np.float64],
        offset: npt.NDArray[np.float64],
    ) -> onnx.NodeProto:
        """The convolution with the batch norm inside; it makes what the norm made."""
        scaled = self._constant(norm, "weight", weight * factor[:, None, None, None])
        added = self._constant(norm, "bias", bias * factor + offset)
        if self._readers[conv.input[1]] == 1 and np.all(factor != 0.0):
            self.scaled[conv.input[1]] = (scaled, factor)
        made = onnx.NodeProto()
        made.CopyFrom(conv)
        made.name = norm.name
        del made.input[1:], made.output[:]
        made.input.extend([scaled, added])
        made.output.append(norm.output[0])
        return made

    def _alone(
        self,
        norm: onnx.NodeProto,
        factor: npt.NDArray[np.float64],
        offset: npt.NDArray[np.float64],
    ) -> onnx.NodeProto:
        return helper.make_node(
            "Conv",
            [
                norm.input[0],
                self._constant(norm, "weight", factor[:, None, None, None]),
                self._constant(norm, "bias", offset),
            ],
            [norm.output[0]],
            name=norm.name,
            kernel_shape=[1, 1],
            group=len(factor),
        )

    def _constant(self, norm: onnx.NodeProto, what: str, value: npt.NDArray[Any]) -> str:
        name = f"{norm.output[0]}.folded_{what}"
        self.constants.append(numpy_helper.from_array(value.astype(np.float32), name))
        return name
