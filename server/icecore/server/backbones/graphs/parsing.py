"""Bytes to a checked ModelProto in house form, and nothing else.

It reads no file but the bytes given and runs nothing.
"""

from collections.abc import Iterator

import onnx
from google.protobuf.message import DecodeError

from icecore.server.errors import GraphInvalid

MIN_OPSET = 13
"""The oldest of house form: axes and bounds are inputs from here on."""

MAX_NODES = 20_000
"""Far more than published networks have; reading costs grow with the square."""

_OURS = ("", "ai.onnx")


def parse(data: bytes) -> onnx.ModelProto:
    """Return the network of an ONNX file.

    Raises:
        GraphInvalid: no ONNX file, one that the onnx checker refuses, that keeps
            data outside of itself, or that is not in house form: operators of
            other domains, functions, subgraphs, an opset before 13.
    """
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise GraphInvalid(f"the graph's {len(data):,} bytes are not an ONNX file") from error
    _refuse_outside(model)
    _refuse_foreign(model)
    try:
        onnx.checker.check_model(data)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise GraphInvalid(f"the onnx checker refuses the graph: {one_line(error)}") from error
    return model


def opset_of(model: onnx.ModelProto) -> int | None:
    """Return the version of the default operators; None where the file names none."""
    return next((int(o.version) for o in model.opset_import if o.domain in _OURS), None)


def image_input(graph: onnx.GraphProto) -> tuple[str, int | None, int, int]:
    """Return name, batch, height and width of the only input; a batch left open is None.

    Raises:
        GraphInvalid: not one float32 input (n, 3, h, w) of fixed height and width,
            with n open or 1.
    """
    given = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in given]
    if len(inputs) != 1:
        names = [value.name for value in inputs[:9]]
        raise GraphInvalid(f"the graph has the inputs {names!r}, but must have one, the image")
    name, kind = inputs[0].name, inputs[0].type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)
    if kind.elem_type != onnx.TensorProto.FLOAT or len(shape) != 4 or shape[1] != 3:
        raise GraphInvalid(
            f"the graph's input {name!r} has shape {shape!r}, but must be float32 (n, 3, h, w)"
        )
    batch, _, height, width = shape
    if batch not in (None, 1) or not height or not width or height < 0 or width < 0:
        raise GraphInvalid(
            f"the graph's input {name!r} has shape {shape!r}, but must leave the batch open "
            "(None) or have it 1, and fix height and width; "
            "onnx.tools.update_model_dims.update_inputs_outputs_dims does both"
        )
    return name, batch, height, width


def one_line(error: Exception) -> str:
    """Return an error's text without line breaks, at most 300 characters."""
    return " ".join(str(error).split())[:300]


def _refuse_outside(model: onnx.ModelProto) -> None:
    outside = next((t.name for t in _tensors(model) if _is_outside(t)), None)
    if outside is not None:
        raise GraphInvalid(
            f"the graph keeps tensor {outside!r} in another file, but must hold all of its data; "
            "onnx.save_model with save_as_external_data=False writes it so"
        )


def _refuse_foreign(model: onnx.ModelProto) -> None:
    """What house form has not."""
    opset = opset_of(model)
    if opset is None or opset < MIN_OPSET:
        raise GraphInvalid(
            f"the graph has opset {opset!r}, but {MIN_OPSET} is the oldest that is read; "
            "onnx.version_converter makes it newer"
        )
    if model.functions:
        raise GraphInvalid(
            f"the graph has the function {model.functions[0].name!r}, but must have none; "
            "onnx.inliner.inline_local_functions puts its nodes in place"
        )
    if model.graph.sparse_initializer:
        raise GraphInvalid("the graph has sparse initializers, but must have dense ones only")
    if len(model.graph.node) > MAX_NODES:
        raise GraphInvalid(
            f"the graph has {len(model.graph.node):,} nodes, but at most {MAX_NODES:,} are read"
        )
    for node in model.graph.node:
        if node.domain not in _OURS:
            raise GraphInvalid(
                f"the graph has the operator {node.op_type!r} of domain {node.domain!r}, "
                "but must have ONNX's own only"
            )
        if next(_subgraphs(node), None) is not None:
            raise GraphInvalid(
                f"the graph has the operator {node.op_type!r}, which holds a graph of its own, "
                "but must have no branches or loops"
            )


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


def _subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _is_outside(tensor: onnx.TensorProto) -> bool:
    return tensor.data_location == onnx.TensorProto.EXTERNAL or len(tensor.external_data) > 0
