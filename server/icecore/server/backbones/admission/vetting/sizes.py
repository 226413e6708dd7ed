"""What a run would cost, as far as shapes tell: the largest tensor, and steps.

Shapes are inferred from the file's own nodes; what it tells of them itself is not
believed but compared. What depends on pixels stays unknown here, and counts little: a limit of
the process that runs it is what holds then.
"""

from collections.abc import Mapping
from math import prod
from typing import Final, NamedTuple, TypeAlias

import onnx
from onnx import TensorProto, helper, shape_inference

from icecore.server.backbones.admission.limits import AdmissionLimits
from icecore.server.backbones.admission.vetting.walk import shown
from icecore.server.errors import GraphInvalid, GraphTooCostly

SMALL_VALUES: Final = 1_024
"""Constants of at most so many values may say shapes; larger ones are weights."""

ELEMENT_MACS: Final = 10
"""What making one value costs, in multiply-accumulates: ONNX Runtime does about one thousand
million values a second, and ten times as many multiply-accumulates."""


_POOLS: Final = ("AveragePool", "LpPool", "LRN", "MaxPool")

Shape: TypeAlias = tuple[int, ...]


class Sized(NamedTuple):
    """A tensor's dimensions, None where they are left open, and bytes a value."""

    dims: tuple[int | None, ...]
    item_bytes: int

    @property
    def shape(self) -> Shape:
        """The shape for one image: open dimensions count as 1."""
        return tuple(1 if dim is None else dim for dim in self.dims)

    @property
    def n_bytes(self) -> int:
        return prod(self.shape) * self.item_bytes


def vet_sizes(model: onnx.ModelProto, limits: AdmissionLimits) -> None:
    """Raise for a graph that would make too large a tensor, or take too many steps.

    Raises:
        GraphTooCostly: as said.
        GraphInvalid: it tells another shape of a tensor than its nodes make.
    """
    # Without values first: working out a shape's values can be the bomb itself.
    for with_values in (False, True):
        sizes = _inferred(model, with_values=with_values)
        _vet_largest(sizes, limits)
        if any(len(one.shape) == 1 and one.shape[0] > SMALL_VALUES for one in sizes.values()):
            break
    shapes = {name: sized.shape for name, sized in sizes.items()}
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    n_macs = sum(_macs(node, shapes) for node in model.graph.node)
    if n_macs > limits.max_macs:
        raise GraphTooCostly(
            f"one image would take {n_macs / 1e9:,.0f} thousand million multiply-accumulates, "
            f"but {limits.max_macs / 1e9:,.0f} are the most"
        )
    _vet_live(model.graph, sizes, limits)
    _vet_told(model.graph, sizes)


def _vet_told(graph: onnx.GraphProto, sizes: Mapping[str, Sized]) -> None:
    """Compare what the file tells; but not of the batch, which people change by hand."""
    for value in (*graph.value_info, *graph.output):
        told, made = _sized(value), sizes.get(value.name)
        if told is None or made is None:
            continue
        pairs = list(zip(told.dims, made.dims, strict=False))[1:]
        is_other = any(one and other and one != other for one, other in pairs)
        if is_other or len(told.dims) != len(made.dims):
            raise GraphInvalid(
                f"the graph tells the shape {_dims(told)} of tensor {shown(value.name)}, "
                f"but makes {_dims(made)}"
            )


def _vet_largest(sizes: Mapping[str, Sized], limits: AdmissionLimits) -> None:
    for name, sized in sizes.items():
        if sized.n_bytes > limits.max_tensor_bytes:
            raise GraphTooCostly(
                f"the graph would make the tensor {shown(name)} of {_mebibytes(sized.n_bytes)} "
                f"for one image, but {_mebibytes(limits.max_tensor_bytes)} are the most"
            )


def _vet_live(graph: onnx.GraphProto, sizes: Mapping[str, Sized], limits: AdmissionLimits) -> None:
    """Walk the nodes in order and let a tensor go after its last reader."""
    last_use = {name: place for place, node in enumerate(graph.node) for name in node.input}
    for value in graph.output:
        last_use[value.name] = len(graph.node)
    ends: dict[int, list[str]] = {}
    held = peak = 0
    for place, node in enumerate(graph.node):
        for name in node.output:
            if name in sizes:
                held += sizes[name].n_bytes
                ends.setdefault(max(last_use.get(name, place), place), []).append(name)
        peak = max(peak, held)
        held -= sum(sizes[name].n_bytes for name in ends.pop(place, ()))
    if peak > limits.max_live_bytes:
        raise GraphTooCostly(
            f"a run with one image would hold {_mebibytes(peak)} at once, "
            f"but {_mebibytes(limits.max_live_bytes)} are the most"
        )


def _inferred(model: onnx.ModelProto, *, with_values: bool) -> dict[str, Sized]:
    """What the nodes make, by name; nothing where shapes cannot be inferred at all."""
    try:
        inferred = shape_inference.infer_shapes(_skeleton(model), data_prop=with_values).graph
    except (shape_inference.InferenceError, RuntimeError, UnicodeDecodeError):
        return {}  # what is wrong will be said by who reads it whole
    sizes = {}
    for value in (*inferred.value_info, *inferred.output):
        sized = _sized(value)
        if sized is not None:
            sizes[value.name] = sized
    return sizes


def _skeleton(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its weights as inputs: their shapes are enough, and copying them is slow."""
    bare = onnx.ModelProto(ir_version=model.ir_version)
    bare.opset_import.extend(model.opset_import)
    bare.functions.extend(model.functions)
    graph = bare.graph
    graph.name = "skeleton"
    constants = {tensor.name for tensor in model.graph.initializer}
    graph.input.extend(value for value in model.graph.input if value.name not in constants)
    for tensor in model.graph.initializer:
        if prod(tensor.dims) <= SMALL_VALUES:
            graph.initializer.append(tensor)
        else:
            graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    for sparse in model.graph.sparse_initializer:
        values = sparse.values
        graph.input.append(
            helper.make_tensor_value_info(values.name, values.data_type, sparse.dims)
        )
    graph.node.extend(model.graph.node)
    graph.output.extend(onnx.ValueInfoProto(name=value.name) for value in model.graph.output)
    return bare


def _sized(value: onnx.ValueInfoProto) -> Sized | None:
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return None
    dims = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim)
    is_wide = kind.elem_type in (TensorProto.DOUBLE, TensorProto.INT64, TensorProto.UINT64)
    return Sized(dims, 8 if is_wide else 4)


def _macs(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    made = sum(prod(shapes[name]) for name in node.output if name in shapes)
    return made * (ELEMENT_MACS + _depth(node, shapes))


def _depth(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    """Multiply-accumulates that one value of a node's output takes; 0 where that is not known."""
    if node.op_type in _POOLS:
        return prod(
            n for a in node.attribute if a.name in ("kernel_shape", "size") for n in _ints(a)
        )
    if len(node.input) < 2 or node.input[0] not in shapes or node.input[1] not in shapes:
        return 0
    before, weight = shapes[node.input[0]], shapes[node.input[1]]
    match node.op_type:
        case "Conv":
            return prod(weight[1:])
        case "ConvTranspose":
            return prod(weight[2:]) * prod(weight[:1])
        case "MatMul" if before:
            return before[-1]
        case "Gemm" if len(before) == 2:
            return before[1]
    return 0


def _dims(sized: Sized) -> str:
    return "(" + ", ".join("n" if dim is None else str(dim) for dim in sized.dims) + ")"


def _ints(attribute: onnx.AttributeProto) -> list[int]:
    return [*attribute.ints, *([attribute.i] if attribute.HasField("i") else [])]


def _mebibytes(n_bytes: int) -> str:
    if n_bytes >= 1 << 50:
        return f"{n_bytes / (1 << 30):.1e} GiB"
    return f"{n_bytes / (1 << 20):,.0f} MiB"
