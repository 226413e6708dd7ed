"""The ways in which the same network comes as a file: functions from a model to one like it."""

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, version_converter

Variant = Callable[[onnx.ModelProto], onnx.ModelProto]


def raised_to(opset: int) -> Variant:
    def make(model: onnx.ModelProto) -> onnx.ModelProto:
        return version_converter.convert_version(model, opset)

    return make


def weights_as_inputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """As the first format versions had it."""
    listed = {value.name for value in model.graph.input}
    model.graph.input.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in model.graph.initializer
        if tensor.name not in listed
    )
    model.ir_version = 3
    return model


def in_floats(kind: int) -> Variant:
    """Weights, constants, casts, input and outputs in another float type."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)

    def turn(tensor: onnx.TensorProto) -> None:
        if tensor.data_type == TensorProto.FLOAT:
            value = numpy_helper.to_array(tensor).astype(dtype)
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))

    def make(model: onnx.ModelProto) -> onnx.ModelProto:
        for tensor in model.graph.initializer:
            turn(tensor)
        for node in model.graph.node:
            for attribute in node.attribute:
                turn(attribute.t)
                if (node.op_type, attribute.name, attribute.i) == ("Cast", "to", TensorProto.FLOAT):
                    attribute.i = kind
        del model.graph.value_info[:]
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.elem_type = kind
        return model

    return make


def channels_last(model: onnx.ModelProto) -> onnx.ModelProto:
    """With an input (n, h, w, 3) that is turned first."""
    found = model.graph.input[0]
    batch, _, height, width = found.type.tensor_type.shape.dim
    turn = helper.make_node("Transpose", ["image.nhwc"], [found.name], perm=[0, 3, 1, 2])
    model.graph.node.insert(0, turn)
    n = batch.dim_value if batch.HasField("dim_value") else batch.dim_param
    shape = [n, height.dim_value, width.dim_value, 3]
    kind = found.type.tensor_type.elem_type
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("image.nhwc", kind, shape))
    return model


def fixed_batch(n: int) -> Variant:
    def make(model: onnx.ModelProto) -> onnx.ModelProto:
        for value in (model.graph.input[0], *model.graph.output):
            value.type.tensor_type.shape.dim[0].Clear()
            value.type.tensor_type.shape.dim[0].dim_value = n
        del model.graph.value_info[:]
        return model

    return make


def open_size(model: onnx.ModelProto) -> onnx.ModelProto:
    """Height and width open."""
    for dim, name in zip(model.graph.input[0].type.tensor_type.shape.dim[2:], "hw", strict=True):
        dim.Clear()
        dim.dim_param = name
    del model.graph.value_info[:]
    return model


def with_softmax(model: onnx.ModelProto) -> onnx.ModelProto:
    """The first output's probabilities in its place."""
    first = model.graph.output[0].name
    model.graph.node.append(helper.make_node("Softmax", [first], ["probabilities"], axis=-1))
    model.graph.output[0].name = "probabilities"
    return model


def written_in(opset: int) -> Variant:
    """A graph in house form as exporters wrote it when axes and bounds were attributes.

    ValueError where an operator did not exist. onnx's converter goes up, hardly ever down.
    """

    def make(model: onnx.ModelProto) -> onnx.ModelProto:
        constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        for node in model.graph.node:
            _write(node, opset, constants)
        model.opset_import[0].version = opset
        model.ir_version = 4
        read = {name for node in model.graph.node for name in node.input}
        kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
        return model

    return make


_NEW = {"Erf": 9, "HardSwish": 14, "LayerNormalization": 17, "Resize": 99, "Gelu": 20}
"""What was not there, and since when it is; Resize is another operator in each opset."""

_ATTRIBUTES_SINCE = {
    ("AveragePool", "ceil_mode"): 10,
    ("AveragePool", "dilations"): 19,
    ("BatchNormalization", "training_mode"): 14,
    ("MaxPool", "ceil_mode"): 10,
    ("MaxPool", "dilations"): 10,
    ("ReduceMean", "noop_with_empty_axes"): 18,
    ("Reshape", "allowzero"): 14,
    ("Split", "num_outputs"): 18,
}

_AS_ATTRIBUTES = {
    "Clip": (11, ("min", "max")),
    "Pad": (11, ("pads", "value")),
    "ReduceMean": (18, ("axes",)),
    "ReduceSum": (13, ("axes",)),
    "Slice": (10, ("starts", "ends", "axes", "steps")),
    "Split": (13, ("split",)),
    "Squeeze": (13, ("axes",)),
    "Unsqueeze": (13, ("axes",)),
}
"""Inputs that were attributes before an opset."""


def _write(node: onnx.NodeProto, opset: int, constants: dict[str, np.ndarray]) -> None:
    if opset < _NEW.get(node.op_type, 0):
        raise ValueError(f"{node.op_type} is not in opset {opset}")
    since, names = _AS_ATTRIBUTES.get(node.op_type, (0, ()))
    if opset < since:
        for name, tensor in zip(names, node.input[1:], strict=False):
            if name == "steps":
                continue
            value = constants[tensor]
            is_list = name not in ("min", "max", "value")
            plain = value.tolist() if is_list else value.item()
            node.attribute.append(helper.make_attribute(name, plain))
        del node.input[1:]
    for attribute in list(node.attribute):
        if opset < _ATTRIBUTES_SINCE.get((node.op_type, attribute.name), 0):
            node.attribute.remove(attribute)
        elif attribute.name == "axis" and attribute.i < 0 and opset < 13:
            # Only logits and class scores here: (n, k).
            attribute.i = 1 if node.op_type in ("Softmax", "LogSoftmax") else attribute.i


VARIANTS: dict[str, Variant] = {
    "as it is": lambda model: model,
    "weights as inputs": weights_as_inputs,
    "float16": in_floats(TensorProto.FLOAT16),
    "channels last": channels_last,
    "batch of 1": fixed_batch(1),
    "batch of 4": fixed_batch(4),
    "open size": open_size,
    "softmax": with_softmax,
    **{f"opset {version}": written_in(version) for version in (7, 9, 10, 11, 12)},
    "opset 24": raised_to(24),
}
