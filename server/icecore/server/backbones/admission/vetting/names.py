"""What a file may call things: names become layers' names, and people read them on terminals."""

from collections.abc import Iterator

import onnx

from icecore.server.backbones.admission.limits import AdmissionLimits
from icecore.server.backbones.admission.vetting.walk import graphs_of, nodes_of, tensors_of
from icecore.server.errors import GraphInvalid


def vet_names(model: onnx.ModelProto, limits: AdmissionLimits) -> None:
    """Raise for a name that is no text, too long, or cannot be printed.

    Raises:
        GraphInvalid
    """
    for entry in model.metadata_props:
        _require_text(entry.key)
        _require_text(entry.value)
    for name in _names(model):
        _require_text(name)
        if len(name) > limits.max_name_bytes:
            raise GraphInvalid(
                f"the graph has a name of {len(name):,} characters, "
                f"but {limits.max_name_bytes:,} are the most"
            )
        if not name.isprintable():
            raise GraphInvalid(f"the graph has the name {name[:40]!a}, which cannot be printed")


def _require_text(name: object) -> None:
    if not isinstance(name, str):  # protobuf gives bytes that are no UTF-8 as they are
        raise GraphInvalid("the file has a name that is no text")


def _names(model: onnx.ModelProto) -> Iterator[str]:
    yield from (imported.domain for imported in model.opset_import)
    for function in model.functions:
        yield from (function.name, function.domain, function.overload)
        yield from (*function.input, *function.output)
    for graph in graphs_of(model):
        yield graph.name
        yield from (value.name for value in (*graph.input, *graph.output, *graph.value_info))
    for node in nodes_of(model):
        yield from (node.name, node.op_type, node.domain, node.overload)
        yield from (*node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)
    yield from (tensor.name for tensor in tensors_of(model))
