"""An ONNX file as a checked graph: who makes a tensor, what it depends on, its shape.

Reads bytes only, never a path, and nothing that a file refers to outside of
itself. It runs nothing.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from icecore.server.backbones.graphs.parsing import image_input, opset_of, parse
from icecore.server.backbones.graphs.shapes import BATCH, Sizes, sizes_of

Shape: TypeAlias = tuple[int | None, ...]


class Graph:
    """A checked network in house form.

    Its one input is a float32 image (n, 3, h, w). `batch` is None where n is
    left open, else 1.

    Raises:
        GraphInvalid: as `parse` and `image_input`.
    """

    def __init__(self, data: bytes) -> None:
        self.model = parse(data)
        self.nodes = list(self.model.graph.node)
        self.opset = opset_of(self.model) or 0
        self.input, self.batch, self.height, self.width = image_input(self.model.graph)
        self.outputs = [value.name for value in self.model.graph.output]
        self._makers = {
            name: index for index, node in enumerate(self.nodes) for name in node.output if name
        }

    def maker(self, tensor: str) -> onnx.NodeProto | None:
        """The node that makes a tensor; None for inputs and initializers."""
        index = self._makers.get(tensor)
        return None if index is None else self.nodes[index]

    def place(self, tensor: str) -> int | None:
        """The place among `nodes` of the one that makes a tensor."""
        return self._makers.get(tensor)

    def readers(self, tensor: str) -> list[onnx.NodeProto]:
        """The nodes that read a tensor, in topological order."""
        return [self.nodes[index] for index in self._readers.get(tensor, ())]

    def reads(self, node: onnx.NodeProto) -> list[str]:
        """Names of the tensors that a node reads."""
        return [name for name in node.input if name]

    def ancestors(self, tensors: Iterable[str]) -> list[int]:
        """Places of the nodes that these tensors need, in topological order."""
        needed = 0
        for tensor in tensors:
            needed |= self.needs(tensor)
        return list(set_bits(needed))

    def needs(self, tensor: str) -> int:
        """The ancestors of a tensor, its maker included, as a set of bits."""
        index = self._makers.get(tensor)
        return 0 if index is None else self._needs[index]

    def is_data(self, tensor: str) -> bool:
        """Whether the tensor depends on the image."""
        return tensor in self._data

    def sizes(self, tensor: str) -> Sizes | None:
        """The shape of any tensor with `BATCH` for an open batch; None where unknown.

        Raises:
            GraphInvalid: the graph's shapes do not fit, found at the first call.
        """
        known = self._sizes.get(tensor)
        return None if known is None else known[0]

    def shape(self, tensor: str) -> Shape | None:
        """The shape of a float32 tensor, None where unknown; a dimension left open is None."""
        sizes, kind = self._sizes.get(tensor, (None, 0))
        if sizes is None or kind != onnx.TensorProto.FLOAT:
            return None
        return tuple(None if size and size % BATCH == 0 else size for size in sizes)

    def is_initializer(self, tensor: str) -> bool:
        """Whether the tensor is stored in the file."""
        return tensor in self._initializers

    def is_float(self, tensor: str) -> bool:
        """Whether the tensor's values are known to be float32."""
        known = self._sizes.get(tensor)
        return known is not None and known[1] == onnx.TensorProto.FLOAT

    def constant(self, tensor: str) -> npt.NDArray[Any] | None:
        """The value of an initializer or of a Constant node's output; None for others."""
        if tensor in self._initializers:
            return numpy_helper.to_array(self._initializers[tensor])
        node = self.maker(tensor)
        if node is None or node.op_type != "Constant" or not node.attribute:
            return None
        attribute = node.attribute[0]
        if attribute.name == "value":
            return numpy_helper.to_array(attribute.t)
        return np.asarray(onnx.helper.get_attribute_value(attribute))

    @cached_property
    def _initializers(self) -> dict[str, onnx.TensorProto]:
        return {tensor.name: tensor for tensor in self.model.graph.initializer}

    @cached_property
    def _sizes(self) -> dict[str, tuple[Sizes, int]]:
        return sizes_of(self.model, image=self.input, is_open=self.batch is None)

    @cached_property
    def _readers(self) -> dict[str, list[int]]:
        readers: dict[str, list[int]] = {}
        for index, node in enumerate(self.nodes):
            for name in dict.fromkeys(self.reads(node)):
                readers.setdefault(name, []).append(index)
        return readers

    @cached_property
    def _needs(self) -> list[int]:
        """One bit set a node: itself and all that it needs."""
        needs: list[int] = []
        for index, node in enumerate(self.nodes):
            bits = 1 << index
            for name in node.input:
                if name in self._makers:
                    bits |= needs[self._makers[name]]
            needs.append(bits)
        return needs

    @cached_property
    def _data(self) -> frozenset[str]:
        data = {self.input}
        for node in self.nodes:
            # The shape of an image is not a picture of it.
            if node.op_type not in ("Shape", "Size") and not data.isdisjoint(node.input):
                data.update(name for name in node.output if name)
        return frozenset(data)


def set_bits(bits: int) -> Iterator[int]:
    """The places of the ones in a number, from the lowest."""
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low
