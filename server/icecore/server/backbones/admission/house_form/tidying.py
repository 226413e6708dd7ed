"""Nodes that compute nothing are taken out: constants, dropouts, identities, vain casts."""

from typing import Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from icecore.server.backbones.admission.house_form.draft import Draft, attribute
from icecore.server.errors import GraphInvalid

_PLAIN_VALUES: Final = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}


def tidy(draft: Draft) -> None:
    """Leave out what changes no value; tensors that are outputs keep their names.

    Dropout and batch norm in training mode are set to inference: there an
    image's codes would hang on chance, or on what else is in its batch.

    Raises:
        GraphInvalid: a sparse constant, or a dropout whose mask is read.
    """
    kept: list[onnx.NodeProto] = []
    same: dict[str, str] = {}
    read = {name for node in draft.nodes for name in node.input}
    for node in draft.nodes:
        if node.op_type == "Constant":
            if not _keep_as_weight(draft, node):
                kept.append(node)
            continue
        if node.op_type == "BatchNormalization":
            _set_to_inference(draft, node, read)
        before = _passed_on(draft, node, read)
        if before is None or (node.op_type == "Identity" and draft.is_output(node.output[0])):
            kept.append(node)
        elif draft.is_output(node.output[0]):
            kept.append(helper.make_node("Identity", [before], [node.output[0]], name=node.name))
        else:
            same[node.output[0]] = same.get(before, before)
        if before is not None and kept[-1:] != [node]:
            draft.note("nodes that pass their input on (Identity, Dropout) are left out")
    draft.nodes = kept
    draft.reroute(same)


def _keep_as_weight(draft: Draft, node: onnx.NodeProto) -> bool:
    found = node.attribute[0]
    if found.name == "value":
        tensor = onnx.TensorProto()
        tensor.CopyFrom(found.t)
        tensor.name = node.output[0]
    elif found.name in _PLAIN_VALUES:
        value = np.asarray(helper.get_attribute_value(found), _PLAIN_VALUES[found.name])
        tensor = numpy_helper.from_array(value, node.output[0])
    elif found.name == "sparse_value":
        raise GraphInvalid(
            f"the graph makes tensor {node.output[0]!r} from a sparse constant; "
            "export it with dense ones"
        )
    else:
        return False
    draft.initializers[node.output[0]] = tensor
    draft.note("constants that nodes made are kept among the weights")
    return True


def _passed_on(draft: Draft, node: onnx.NodeProto, read: set[str]) -> str | None:
    """The tensor that a node gives back as it is; None where it computes something."""
    if node.op_type == "Identity":
        return node.input[0]
    if node.op_type != "Dropout":
        return None
    if len(node.output) > 1 and node.output[1] in read:
        raise GraphInvalid(
            f"the graph reads the mask of dropout {node.name!r}, which is there in training only; "
            "export it for inference"
        )
    training = draft.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    if training is not None and training.any():
        draft.was_training = True
        draft.note("dropouts were in training mode; they are left out")
    return node.input[0]


def _set_to_inference(draft: Draft, node: onnx.NodeProto, read: set[str]) -> None:
    others = [name for name in node.output[1:] if name]
    if not attribute(node, "training_mode", 0) and not others:
        return
    if not read.isdisjoint(others):
        raise GraphInvalid(
            f"the graph reads the batch statistics of {node.name!r}, which are there in training "
            "only; export it for inference"
        )
    for place, found in enumerate(node.attribute):
        if found.name == "training_mode":
            del node.attribute[place]
            break
    del node.output[1:]
    draft.was_training = True
    draft.note("batch norms were in training mode; they use their running statistics")
