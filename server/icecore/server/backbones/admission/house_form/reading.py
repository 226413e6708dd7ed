"""A file of others as an ONNX model, or a sentence that says what it keeps that we do not run."""

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Final

import onnx
from google.protobuf.message import DecodeError
from onnx import inliner

from icecore.server.errors import GraphInvalid

DEFAULT_DOMAINS: Final = ("", "ai.onnx")

_LOOPS = "runs a loop, whose cost nobody can tell beforehand"
_LISTS = "works on lists of tensors, not on tensors"
_CHANCE = "draws random numbers, so that an image would not always have the same codes"
_INTEGERS = (
    "computes on integers itself; export it in the QDQ format "
    "(QuantizeLinear and DequantizeLinear around float operators)"
)
_REFUSED: Final = {
    **dict.fromkeys(("Loop", "Scan"), _LOOPS),
    **dict.fromkeys(
        (
            "ConcatFromSequence",
            "Optional",
            "OptionalGetElement",
            "OptionalHasElement",
            "SequenceAt",
            "SequenceConstruct",
            "SequenceEmpty",
            "SequenceErase",
            "SequenceInsert",
            "SequenceLength",
            "SequenceMap",
            "SplitToSequence",
        ),
        _LISTS,
    ),
    **dict.fromkeys(
        (
            "Bernoulli",
            "Multinomial",
            "RandomNormal",
            "RandomNormalLike",
            "RandomUniform",
            "RandomUniformLike",
        ),
        _CHANCE,
    ),
    **dict.fromkeys(
        ("ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul"),
        _INTEGERS,
    ),
}


def read_model(data: bytes) -> tuple[onnx.ModelProto, list[str]]:
    """Return the model of an ONNX file, and what was changed.

    Its nodes are in order, its functions inlined, its operators all ONNX's own.

    Raises:
        GraphInvalid: no ONNX file, one that the onnx checker refuses, or one
            with outside data, sparse weights, or operators that are not taken.
    """
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise GraphInvalid(f"the file's {len(data):,} bytes are not an ONNX file") from error
    if not model.HasField("graph"):
        raise GraphInvalid(f"the file's {len(data):,} bytes hold no ONNX graph")
    _refuse_data_elsewhere(model)
    changes: list[str] = []
    if _put_in_order(model.graph):
        changes.append("nodes are put in the order in which they can be run")
        data = model.SerializeToString()
    shapeless = [v for v in model.graph.output if not v.type.tensor_type.HasField("shape")]
    if shapeless:
        for value in shapeless:
            value.type.tensor_type.shape.SetInParent()  # any shape satisfies the checker
        data = model.SerializeToString()
        changes.append("outputs say their shapes")
    try:
        onnx.checker.check_model(data)
    except (onnx.checker.ValidationError, UnicodeDecodeError) as error:
        raise GraphInvalid(f"the onnx checker refuses the graph: {one_line(error)}") from error
    for value in shapeless:
        value.type.tensor_type.ClearField("shape")
    if model.functions:
        model = inliner.inline_local_functions(model)
        changes.append("functions are replaced by what they do")
    for node in nodes_of(model.graph):
        if node.domain not in DEFAULT_DOMAINS:
            raise GraphInvalid(
                f"the graph uses operator {node.op_type!r} of domain {node.domain!r}, but only "
                "ONNX's own operators are run; export it without extensions, "
                "and before any runtime has optimised it"
            )
        if node.op_type in _REFUSED:
            raise GraphInvalid(
                f"the graph's operator {node.op_type!r} (node {node.name!r}) "
                f"{_REFUSED[node.op_type]}"
            )
    return model, changes


def nodes_of(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Every node, those in branches too."""
    for node in graph.node:
        yield node
        for inner in subgraphs(node):
            yield from nodes_of(inner)


def reads(node: onnx.NodeProto) -> Iterator[str]:
    """Names that a node reads, inside of its branches too."""
    yield from (name for name in node.input if name)
    for graph in subgraphs(node):
        for inner in graph.node:
            yield from reads(inner)
        yield from (value.name for value in graph.output)


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _put_in_order(graph: onnx.GraphProto) -> bool:
    """Sort the nodes of a graph where one reads what a later one makes; whether it did.

    Converters to half precision leave graphs like this. Nodes in a circle stay
    where they are, and the checker refuses them.
    """
    places = {name: at for at, node in enumerate(graph.node) for name in node.output if name}
    needs = [{places[name] for name in set(reads(node)) if name in places} for node in graph.node]
    if all(before < at for at, befores in enumerate(needs) for before in befores):
        return False
    try:
        order = list(TopologicalSorter(dict(enumerate(needs))).static_order())
    except CycleError:
        return False
    nodes = [graph.node[at] for at in order]
    ordered = onnx.GraphProto(node=nodes)
    del graph.node[:]
    graph.node.extend(ordered.node)
    return True


def _refuse_data_elsewhere(model: onnx.ModelProto) -> None:
    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise GraphInvalid(
                f"the graph keeps tensor {tensor.name!r} in another file, but must hold all of "
                "its data; onnx.save_model with save_as_external_data=False writes it so"
            )
    for graph in (model.graph, *(inner for node in _nodes(model) for inner in subgraphs(node))):
        if graph.sparse_initializer:
            raise GraphInvalid(
                f"the graph keeps tensor {graph.sparse_initializer[0].values.name!r} as a sparse "
                "one; export it with dense weights"
            )


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    yield from nodes_of(model.graph)
    for training in model.training_info:
        yield from nodes_of(training.initialization)
        yield from nodes_of(training.algorithm)
    for function in model.functions:
        for node in function.node:
            yield node
            for inner in subgraphs(node):
                yield from nodes_of(inner)


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor in the file, however deep."""
    yield from model.graph.initializer
    for training in model.training_info:
        yield from training.initialization.initializer
        yield from training.algorithm.initializer
    for node in _nodes(model):
        for inner in subgraphs(node):
            yield from inner.initializer
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
