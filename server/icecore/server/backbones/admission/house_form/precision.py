"""Half and double precision graphs as float32 ones; float32 graphs stay as they are."""

from typing import Final

import onnx
from onnx import TensorProto, helper, numpy_helper

from icecore.server.backbones.admission.house_form.draft import Draft
from icecore.server.backbones.admission.house_form.reading import nodes_of, subgraphs

_OTHERS: Final[dict[int, str]] = {
    TensorProto.FLOAT16: "float16",
    TensorProto.BFLOAT16: "bfloat16",
    TensorProto.DOUBLE: "double",
}
_FLOATS: Final[set[int]] = {TensorProto.FLOAT, *_OTHERS}

_HALVES: Final[set[int]] = {TensorProto.FLOAT16, TensorProto.BFLOAT16}

_TYPE_ATTRIBUTES: Final = {
    "Cast": "to",
    "EyeLike": "dtype",
    "SequenceEmpty": "dtype",
    "LayerNormalization": "stash_type",
    "GroupNormalization": "stash_type",
    "RMSNormalization": "stash_type",
    "Attention": "softmax_precision",
    "QuantizeLinear": "precision",
    "DequantizeLinear": "output_dtype",
}
"""Attributes that name the type a node computes in or gives."""


def to_float32(draft: Draft) -> None:
    """Make every float tensor float32: weights, inputs, outputs, and what casts give.

    Weights keep their values exactly (double is rounded); casts between float types are left out.
    """
    kinds = {name: kind.elem_type for name, kind in draft.inferred().items()}
    draft.was_half = any(kind in _HALVES for kind in kinds.values())
    for name, tensor in draft.initializers.items():
        if tensor.data_type in _OTHERS:
            draft.initializers[name] = _float32(tensor, name)
            draft.note(f"{_OTHERS[tensor.data_type]} weights are kept as float32")
    for value in (*draft.inputs, *draft.outputs):
        found = value.type.tensor_type.elem_type
        if found in _OTHERS:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
            draft.note(f"{_OTHERS[found]} inputs and outputs are float32")
    for node in draft.nodes:
        _retype(draft, node)
    _drop_casts(draft, kinds)


def _retype(draft: Draft, node: onnx.NodeProto) -> None:
    names = [node.op_type, *(n.op_type for g in subgraphs(node) for n in nodes_of(g))]
    inner = [node, *(n for g in subgraphs(node) for n in nodes_of(g))]
    for op, one in zip(names, inner, strict=True):
        for found in one.attribute:
            if found.name == _TYPE_ATTRIBUTES.get(op) and found.i in _OTHERS:
                draft.note(f"what was computed in {_OTHERS[found.i]} is computed in float32")
                found.i = TensorProto.FLOAT
            elif found.HasField("t") and found.t.data_type in _OTHERS:
                draft.note(f"{_OTHERS[found.t.data_type]} weights are kept as float32")
                found.t.CopyFrom(_float32(found.t, found.t.name))
    for graph in subgraphs(node):
        for value in graph.output:
            if value.type.tensor_type.elem_type in _OTHERS:
                value.type.tensor_type.elem_type = TensorProto.FLOAT


def _drop_casts(draft: Draft, kinds: dict[str, int]) -> None:
    kept: list[onnx.NodeProto] = []
    same: dict[str, str] = {}
    for node in draft.nodes:
        vain = (
            node.op_type == "Cast"
            and any(a.name == "to" and a.i == TensorProto.FLOAT for a in node.attribute)
            and kinds.get(node.input[0]) in _FLOATS
        )
        if not vain:
            kept.append(node)
            continue
        draft.note("casts between float types are left out")
        before, after = node.input[0], node.output[0]
        if draft.is_output(after):
            kept.append(helper.make_node("Identity", [before], [after], name=node.name))
        else:
            same[after] = same.get(before, before)
    draft.nodes = kept
    draft.reroute(same)


def _float32(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    return numpy_helper.from_array(numpy_helper.to_array(tensor).astype("<f4"), name)
