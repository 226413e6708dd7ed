"""An int8 graph as this processor runs it fastest.

ONNX Runtime chooses kernels by what weights look like, so the same numbers are written
in another way here, when a session is made: codes are the same to the bit, and what is
stored is the same everywhere. Means of maps are taken of their integers on all processors.
"""

from math import prod
from typing import Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from icecore.server.backbones.running.int8_means import add_up_integers
from icecore.server.backbones.running.processor import has_int8_tiles

TILED_PRODUCTS: Final = 192
"""From so many products a value on, a matrix product on AMX tiles beats the direct
convolution that ONNX Runtime takes for symmetric weights: on lite0, MobileNetV2, SqueezeNet
and ResNet-50 by 1.06 to 1.4 times the images a second. Without AMX the direct one is as
fast or up to 1.2 times faster, and nothing is changed."""

_PADDED_CHANNELS: Final = 4
"""The direct convolution reads input channels in fours; three take a detour twice as long."""


def suited(graph: bytes) -> bytes:
    """Return the graph with its int8 convolutions and means as this processor likes them.

    Args:
        graph: an ONNX file; one without QuantizeLinear comes back as it is.
    """
    if b"QuantizeLinear" not in graph:  # sooner said than parsed: float32 weights are large
        return graph
    model = onnx.ModelProto.FromString(graph)
    rewriting = _Rewriting(model)
    rewriting.pad_the_image()
    if has_int8_tiles():
        rewriting.shift_weights()
    add_up_integers(model)
    return model.SerializeToString()


class _Rewriting:
    """Changes of a model in place; weights that more than one node reads are left."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = model.graph
        self._makers = {name: node for node in model.graph.node for name in node.output}
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def shift_weights(self) -> None:
        """Write weights w of many products as w - 1 with the zero point -1, in place of 0.

        They stand for the same numbers. Weights of -127..127 fit; others are left.
        """
        for node in self._graph.node:
            found = self._weights(node)
            if found is None or prod(found.shape[1:]) < TILED_PRODUCTS or found.min() == -128:
                continue
            dequantise = self._makers[node.input[1]]
            zeros = numpy_helper.to_array(self._constants[dequantise.input[2]])
            name = self._add(dequantise.input[2], np.full(zeros.shape, -1, np.int8))
            dequantise.input[2] = name
            self._replace(dequantise.input[0], found - np.int8(1))

    def pad_the_image(self) -> None:
        """Give the image a fourth channel of zeros, where only convolutions read it."""
        (image,) = (v.name for v in self._graph.input if v.name not in self._constants)
        for quantise in list(self._readers.get(image, ())):
            if quantise.op_type != "QuantizeLinear" or len(self._readers[image]) > 1:
                return
            readers = self._readers.get(quantise.output[0], [])
            if len(readers) != 1 or readers[0].op_type != "DequantizeLinear":
                return
            convolutions = self._readers.get(readers[0].output[0], [])
            weights = [self._weights(node) for node in convolutions]
            if not all(w is not None and w.shape[1] == 3 for w in weights):
                return
            self._pad(quantise, readers[0])
            for node, weight in zip(convolutions, weights, strict=True):
                if weight is not None:
                    more = ((0, 0), (0, _PADDED_CHANNELS - 3), (0, 0), (0, 0))
                    self._replace(self._makers[node.input[1]].input[0], np.pad(weight, more))

    def _pad(self, quantise: onnx.NodeProto, dequantise: onnx.NodeProto) -> None:
        pads = np.zeros(8, np.int64)
        pads[5] = _PADDED_CHANNELS - 3
        whole = quantise.output[0]
        padded = f"{whole}.padded"
        node = helper.make_node(
            "Pad",
            [whole, self._add(f"{whole}.pads", pads), quantise.input[2]],
            [padded],
            name=padded,
        )
        dequantise.input[0] = padded
        self._graph.node.insert(list(self._graph.node).index(dequantise), node)

    def _weights(self, node: onnx.NodeProto) -> np.ndarray | None:
        """The (o, i, kh, kw) int8 weights of a plain convolution that nobody else reads."""
        if node.op_type != "Conv" or any(a.name == "group" and a.i != 1 for a in node.attribute):
            return None
        dequantise = self._makers.get(node.input[1])
        if dequantise is None or dequantise.op_type != "DequantizeLinear":
            return None
        integers, zeros = dequantise.input[0], dequantise.input[2:]
        is_shared = len(self._readers[integers]) > 1 or len(self._readers[node.input[1]]) > 1
        if is_shared or integers not in self._constants or not zeros:
            return None
        weights = numpy_helper.to_array(self._constants[integers])
        zero = self._constants.get(zeros[0])
        if weights.dtype != np.int8 or zero is None or numpy_helper.to_array(zero).any():
            return None
        return weights if weights.ndim == 4 else None

    def _replace(self, name: str, value: np.ndarray) -> None:
        self._constants[name].CopyFrom(numpy_helper.from_array(value, name))

    def _add(self, like: str, value: np.ndarray) -> str:
        name = f"{like}.suited"
        while name in self._constants or name in self._makers:
            name += "_"
        self._graph.initializer.append(numpy_helper.from_array(value, name))
        self._constants[name] = self._graph.initializer[-1]
        return name
