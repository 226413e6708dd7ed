"""A model on its way into house form: nodes and weights that can be taken out and put in."""

from collections.abc import Iterable, Mapping, Sequence
from copy import copy, deepcopy
from math import prod
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper, shape_inference

from icecore.server.backbones.admission.house_form.reading import reads, subgraphs

Kinds: TypeAlias = dict[str, onnx.TypeProto.Tensor]

_Proto = TypeVar("_Proto", onnx.NodeProto, onnx.ValueInfoProto)

BIG = 4096
"""Values; weights above it are left out where only shapes and types are asked for."""


class Draft:
    """A model in parts. `nodes` are in topological order; `changes` has a sentence for each change.

    The model given is taken over: its nodes are changed in place. `was_training`
    and `was_half` say that it cannot be compared with its file, or not closely.
    """

    def __init__(self, model: onnx.ModelProto, changes: Iterable[str] = ()) -> None:
        self._rest = model
        self.nodes = list(model.graph.node)
        self.initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        self.inputs = list(model.graph.input)
        self.outputs = list(model.graph.output)
        self.changes = list(changes)
        self.was_training = False
        self.was_half = False
        self._n_fresh = 0

    @property
    def opset(self) -> int:
        return int(self._rest.opset_import[0].version)

    def copy(self) -> "Draft":
        """Return one that can be changed apart; weights are shared, as none is changed in place."""
        other = copy(self)
        other.nodes, other.inputs = _copies(self.nodes), _copies(self.inputs)
        other.outputs = _copies(self.outputs)
        other.initializers, other.changes = dict(self.initializers), list(self.changes)
        return other

    def note(self, change: str) -> None:
        """Add a sentence, once."""
        if change not in self.changes:
            self.changes.append(change)

    def to_model(self, outputs: Iterable[onnx.ValueInfoProto] | None = None) -> onnx.ModelProto:
        """Return the model, or one that has other outputs and only what these need."""
        wanted = self.outputs if outputs is None else list(outputs)
        nodes = self.nodes if outputs is None else self.needed({value.name for value in wanted})
        model = self._shell()
        model.graph.node.extend(nodes)
        read = {name for node in nodes for name in reads(node)} | {value.name for value in wanted}
        model.graph.initializer.extend(
            tensor for name, tensor in self.initializers.items() if outputs is None or name in read
        )
        model.graph.input.extend(self.inputs)
        model.graph.output.extend(wanted)
        return model

    def to_bytes(self) -> bytes:
        """Return the file; the same parts give the same bytes."""
        return bytes(self.to_model().SerializeToString(deterministic=True))

    def inferred(self) -> Kinds:
        """Return type and shape of every tensor that onnx can tell, without looking at weights."""
        weights = {
            name: helper.make_tensor_value_info(name, tensor.data_type, tensor.dims)
            for name, tensor in self.initializers.items()
        }
        small = [tensor for tensor in self.initializers.values() if prod(tensor.dims) <= BIG]
        inputs = [*self.inputs, *(value for name, value in weights.items())]
        return self.inferred_of(self.nodes, inputs, self.outputs, small)

    def inferred_of(
        self,
        nodes: Iterable[onnx.NodeProto],
        inputs: Iterable[onnx.ValueInfoProto],
        outputs: Iterable[onnx.ValueInfoProto],
        initializers: Iterable[onnx.TensorProto],
    ) -> Kinds:
        """Return type and shape of the tensors that these nodes read and make."""
        graph = onnx.GraphProto(
            name="part", node=nodes, input=inputs, output=outputs, initializer=initializers
        )
        model = self._shell()
        model.graph.CopyFrom(graph)
        graph = shape_inference.infer_shapes(model, data_prop=True).graph
        return {
            value.name: value.type.tensor_type
            for value in (*graph.input, *graph.value_info, *graph.output)
        }

    def makers(self) -> dict[str, onnx.NodeProto]:
        """Return the node that makes each tensor."""
        return {name: node for node in self.nodes for name in node.output if name}

    def is_output(self, tensor: str) -> bool:
        return any(value.name == tensor for value in self.outputs)

    def constant(self, tensor: str) -> npt.NDArray[Any] | None:
        """Return the value of a weight, None for other tensors."""
        found = self.initializers.get(tensor)
        return None if found is None else numpy_helper.to_array(found)

    def add_constant(self, name: str, value: npt.NDArray[Any]) -> str:
        self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def fresh(self, hint: str) -> str:
        """Return a name that no tensor has, made from another."""
        taken = set(self.initializers) | set(self.makers())
        taken |= {value.name for value in self.inputs}
        name = hint
        while name in taken:
            self._n_fresh += 1
            name = f"{hint}.{self._n_fresh}"
        return name

    def set_batch(self, batch: int | None) -> None:
        """Fix the number of images, or leave it open."""
        dim = self.inputs[0].type.tensor_type.shape.dim[0]
        dim.Clear()
        if batch is None:
            dim.dim_param = "n"
        else:
            dim.dim_value = batch

    def declare(
        self, alone: Sequence[npt.NDArray[Any]], together: Sequence[npt.NDArray[Any]] | None
    ) -> None:
        """Write the outputs' shapes as they came out for one image and for several."""
        for value, one, several in zip(self.outputs, alone, together or alone, strict=True):
            pairs = zip(one.shape, several.shape, strict=True)
            shape = ["n" if a != b else a for a, b in pairs]
            kind = helper.np_dtype_to_tensor_dtype(one.dtype)
            value.CopyFrom(helper.make_tensor_value_info(value.name, kind, shape))

    def reroute(self, names: Mapping[str, str]) -> None:
        """Let every reader of a tensor read another one."""
        for node in self.nodes:
            _reroute(node, names)

    def needed(self, tensors: set[str]) -> list[onnx.NodeProto]:
        """Return the nodes that these tensors need, in order."""
        wanted, kept = set(tensors), []
        for node in reversed(self.nodes):
            if not wanted.isdisjoint(node.output):
                kept.append(node)
                wanted.update(reads(node))
        return kept[::-1]

    def prune(self) -> bool:
        """Drop what no output needs; return whether there was any."""
        nodes = self.needed({value.name for value in self.outputs})
        read = {name for node in nodes for name in reads(node)}
        read |= {value.name for value in self.outputs}
        unread = [name for name in self.initializers if name not in read]
        pruned = bool(unread) or len(nodes) < len(self.nodes)
        self.nodes = nodes
        for name in unread:
            del self.initializers[name]
        return pruned

    def _shell(self) -> onnx.ModelProto:
        """A model with everything but the graph's content."""
        model = onnx.ModelProto()
        for field, value in self._rest.ListFields():
            if field.name in ("graph", "training_info", "functions"):
                continue
            if isinstance(value, (int, str)):
                setattr(model, field.name, value)
            else:
                getattr(model, field.name).extend(value)
        model.graph.name = self._rest.graph.name
        model.graph.doc_string = self._rest.graph.doc_string
        return model


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return the value of an attribute, or what it is where absent."""
    for found in node.attribute:
        if found.name == name:
            return helper.get_attribute_value(found)
    return default


def _copies(messages: Iterable[_Proto]) -> list[_Proto]:
    return [deepcopy(message) for message in messages]


def _reroute(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    for place, name in enumerate(node.input):
        if name in names:
            node.input[place] = names[name]
    for graph in subgraphs(node):
        for inner in graph.node:
            _reroute(inner, names)
        for value in graph.output:
            if value.name in names:
                value.name = names[value.name]
