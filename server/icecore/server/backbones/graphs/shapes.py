"""Sizes of all tensors, inferred from a skeleton: the graph without its large weights."""

from math import prod
from typing import TypeAlias

import onnx
from onnx import helper, numpy_helper, shape_inference

from icecore.server.backbones.graphs.parsing import one_line
from icecore.server.backbones.graphs.shape_values import values_of
from icecore.server.errors import GraphInvalid

Sizes: TypeAlias = tuple[int, ...]

BATCH = 1_009
"""Stands for a batch left open: a prime that no network's axis is a multiple of, and not a larger
one since inference follows a Range over the batch value by value."""

_PASSES = 8
"""Each brings inference past one more shape that it could not compute."""

_KEPT_VALUES = 256
"""Constants up to this many values stay: new shapes, axes and bounds are among them."""


def sizes_of(model: onnx.ModelProto, *, image: str, is_open: bool) -> dict[str, tuple[Sizes, int]]:
    """Return sizes and ONNX element type by tensor name, initializers too, where known.

    An open batch counts as `BATCH`. What the file itself says of its inner
    tensors is not believed.

    Raises:
        GraphInvalid: the shapes do not fit each other.
    """
    bones = skeleton(model, image=image, is_open=is_open)
    known = _inferred(bones)
    made = {name for node in bones.graph.node for name in node.output if name}
    for _ in range(_PASSES):
        n_unknown = len(made - known.keys())
        if not n_unknown or not _settle(bones, known):
            break
        known = _inferred(bones)
        if len(made - known.keys()) == n_unknown:
            break
    known.update({t.name: (tuple(t.dims), t.data_type) for t in model.graph.initializer})
    return known


def _inferred(bones: onnx.ModelProto) -> dict[str, tuple[Sizes, int]]:
    try:
        inferred = shape_inference.infer_shapes(
            bones, check_type=True, strict_mode=True, data_prop=True
        ).graph
    except (shape_inference.InferenceError, onnx.checker.ValidationError, ValueError) as error:
        raise GraphInvalid(f"the graph's shapes do not fit: {one_line(error)}") from error
    known = {t.name: (tuple(t.dims), t.data_type) for t in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(d.HasField("dim_value") for d in kind.shape.dim):
            known[value.name] = (tuple(d.dim_value for d in kind.shape.dim), kind.elem_type)
    return known


def _settle(bones: onnx.ModelProto, known: dict[str, tuple[Sizes, int]]) -> bool:
    """Put values in the place of nodes that compute shapes; return whether there were any."""
    graph = bones.graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    sizes = {name: one for name, (one, _) in known.items()}
    found = values_of(graph.node, constants, sizes)
    nodes = [node for node in graph.node if node.output[0] not in found]
    if not found:
        return False
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in found.items())
    return True


def skeleton(model: onnx.ModelProto, *, image: str, is_open: bool) -> onnx.ModelProto:
    """Return the graph without weights: large constants become inputs of their sizes."""
    bones = onnx.ModelProto(ir_version=max(model.ir_version, 4))
    bones.opset_import.extend(model.opset_import)
    graph = bones.graph
    graph.name = "skeleton"
    graph.node.extend(model.graph.node)
    for value in model.graph.input:
        if value.name == image:
            graph.input.append(value)
            if is_open:
                graph.input[0].type.tensor_type.shape.dim[0].dim_value = BATCH
    for tensor in model.graph.initializer:
        if prod(tensor.dims) <= _KEPT_VALUES:
            graph.initializer.append(tensor)
        else:
            graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )
    for value in model.graph.output:
        made = graph.output.add()
        made.name = value.name
        made.type.tensor_type.elem_type = value.type.tensor_type.elem_type
    return bones
