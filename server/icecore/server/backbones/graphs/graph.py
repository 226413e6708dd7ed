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
from google.protobuf.message import DecodeError
from onnx import numpy_helper, shape_inference

from icecore.server.errors import GraphInvalid

Shape: TypeAlias = tuple[int | None, ...]

MIN_OPSET = 8
"""The oldest whose broadcasting the pooling heads can use."""

_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


class Graph:
    """A checked network: one float32 image input (n, 3, h, w) with n left open.

    Raises:
        GraphInvalid: no ONNX file, one that the onnx checker refuses, that
            keeps data outside of itself, or whose input is not such an image.
    """

    def __init__(self, data: bytes) -> None:
        self.model = _parse(data)
        self.nodes = list(self.model.graph.node)
        self.opset = next(o.version for o in self.model.opset_import if o.domain in ("", "ai.onnx"))
        self.input, self.height, self.width = _image_input(self.model.graph)
        self._makers = {
            name: index for index, node in enumerate(self.nodes) for name in node.output if name
        }

    def maker(self, tensor: str) -> onnx.NodeProto | None:
        """The node that makes a tensor; None for inputs and initializers."""
        index = self._makers.get(tensor)
        return None if index is None else self.nodes[index]

    def readers(self, tensor: str) -> list[onnx.NodeProto]:
        """The nodes that read a tensor, in topological order."""
        return [self.nodes[index] for index in self._readers.get(tensor, ())]

    def ancestors(self, tensors: Iterable[str]) -> list[int]:
        """Places of the nodes that these tensors need, in topological order."""
        needed = 0
        for tensor in tensors:
            if tensor in self._makers:
                needed |= self._needs[self._makers[tensor]]
        return list(_set_bits(needed))

    def reads(self, node: onnx.NodeProto) -> list[str]:
        """Names of the tensors that a node reads, inside of its subgraphs too."""
        return list(_reads(node))

    def is_data(self, tensor: str) -> bool:
        """Whether the tensor depends on the image."""
        return tensor in self._data

    def shape(self, tensor: str) -> Shape | None:
        """The shape of a float32 tensor, None where unknown; a dimension left open is None."""
        return self._shapes.get(tensor)

    def constant(self, tensor: str) -> npt.NDArray[Any] | None:
        """The value of an initializer or of a Constant node's output; None for others."""
        if tensor in self._initializers:
            return numpy_helper.to_array(self._initializers[tensor])
        node = self.maker(tensor)
        if node is None or node.op_type != "Constant":
            return None
        attribute = node.attribute[0]
        if attribute.name == "value":
            return numpy_helper.to_array(attribute.t)
        return np.asarray(onnx.helper.get_attribute_value(attribute))

    def weight_shape(self, tensor: str) -> tuple[int, ...] | None:
        """The shape of a float initializer or Constant; None for other tensors."""
        if tensor in self._initializers:
            weight = self._initializers[tensor]
            return tuple(weight.dims) if weight.data_type in _FLOATS else None
        value = self.constant(tensor)
        return value.shape if value is not None and value.dtype.kind == "f" else None

    @cached_property
    def _initializers(self) -> dict[str, onnx.TensorProto]:
        return {tensor.name: tensor for tensor in self.model.graph.initializer}

    @cached_property
    def _readers(self) -> dict[str, list[int]]:
        readers: dict[str, list[int]] = {}
        for index, node in enumerate(self.nodes):
            for name in dict.fromkeys(_reads(node)):
                readers.setdefault(name, []).append(index)
        return readers

    @cached_property
    def _needs(self) -> list[int]:
        """One bit set a node: itself and all that it needs."""
        needs: list[int] = []
        for index, node in enumerate(self.nodes):
            bits = 1 << index
            for name in _reads(node):
                if name in self._makers:
                    bits |= needs[self._makers[name]]
            needs.append(bits)
        return needs

    @cached_property
    def _data(self) -> frozenset[str]:
        data = {self.input}
        for node in self.nodes:
            # The shape of an image is not a picture of it.
            if node.op_type not in ("Shape", "Size") and not data.isdisjoint(_reads(node)):
                data.update(name for name in node.output if name)
        return frozenset(data)

    @cached_property
    def _shapes(self) -> dict[str, Shape]:
        try:
            inferred = shape_inference.infer_shapes(
                self.model, check_type=True, strict_mode=True, data_prop=True
            ).graph
        except shape_inference.InferenceError as error:
            raise GraphInvalid(f"the graph's shapes do not fit: {_one_line(error)}") from error
        shapes: dict[str, Shape] = {}
        for value in (*inferred.input, *inferred.value_info, *inferred.output):
            kind = value.type.tensor_type
            if kind.elem_type == onnx.TensorProto.FLOAT and kind.HasField("shape"):
                shapes[value.name] = _dims(kind.shape)
        return shapes


def _parse(data: bytes) -> onnx.ModelProto:
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise GraphInvalid(f"the graph's {len(data):,} bytes are not an ONNX file") from error
    outside = next((t.name for t in _tensors(model) if _is_outside(t)), None)
    if outside is not None:
        raise GraphInvalid(
            f"the graph keeps tensor {outside!r} in another file, but must hold all of its data; "
            "onnx.save_model with save_as_external_data=False writes it so"
        )
    try:
        onnx.checker.check_model(data)
    except onnx.checker.ValidationError as error:
        raise GraphInvalid(f"the onnx checker refuses the graph: {_one_line(error)}") from error
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if not versions or versions[0] < MIN_OPSET:
        raise GraphInvalid(
            f"the graph has opset {versions[0] if versions else None!r}, but {MIN_OPSET} is the "
            "oldest that is read; onnx.version_converter makes it newer"
        )
    return model


def _image_input(graph: onnx.GraphProto) -> tuple[str, int, int]:
    """Name, height and width of the only input."""
    given = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in given]
    if len(inputs) != 1:
        names = [value.name for value in inputs]
        raise GraphInvalid(f"the graph has the inputs {names!r}, but must have one, the image")
    kind = inputs[0].type.tensor_type
    shape = _dims(kind.shape)
    if kind.elem_type != onnx.TensorProto.FLOAT or len(shape) != 4 or shape[1] != 3:
        raise GraphInvalid(
            f"the graph's input {inputs[0].name!r} has shape {shape!r}, "
            "but must be float32 (n, 3, h, w)"
        )
    batch, _, height, width = shape
    if batch is not None or not height or not width:
        raise GraphInvalid(
            f"the graph's input {inputs[0].name!r} has shape {shape!r}, but must leave the batch "
            "open (None) and fix height and width; "
            "onnx.tools.update_model_dims.update_inputs_outputs_dims does both"
        )
    return inputs[0].name, height, width


def _dims(shape: onnx.TensorShapeProto) -> Shape:
    return tuple(d.dim_value if d.HasField("dim_value") else None for d in shape.dim)


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    yield from (name for name in node.input if name)
    for graph in _subgraphs(node):
        for inner in graph.node:
            yield from _reads(inner)
        yield from (value.name for value in graph.output)


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor in the file, however deep."""
    yield from _tensors_of(model.graph)
    for training in model.training_info:
        yield from _tensors_of(training.initialization)
        yield from _tensors_of(training.algorithm)
    for function in model.functions:
        for node in function.node:
            yield from _tensors_in(node)


def _tensors_of(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _tensors_in(node)


def _tensors_in(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    for attribute in node.attribute:
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
    for graph in _subgraphs(node):
        yield from _tensors_of(graph)


def _is_outside(tensor: onnx.TensorProto) -> bool:
    return tensor.data_location == onnx.TensorProto.EXTERNAL or len(tensor.external_data) > 0


def _set_bits(bits: int) -> Iterator[int]:
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
