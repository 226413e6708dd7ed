"""The ways in which the same network comes as a file: functions from a model to one like it."""

from collections.abc import Callable

import onnx
from onnx import TensorProto, helper, numpy_helper, version_converter

Variant = Callable[[onnx.ModelProto], onnx.ModelProto]


def lowered(opset: int) -> Variant:
    """Of an older opset; ConvertError or RuntimeError where onnx cannot."""

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


VARIANTS: dict[str, Variant] = {
    "as it is": lambda model: model,
    "weights as inputs": weights_as_inputs,
    "float16": in_floats(TensorProto.FLOAT16),
    "double": in_floats(TensorProto.DOUBLE),
    "channels last": channels_last,
    "batch of 1": fixed_batch(1),
    "batch of 4": fixed_batch(4),
    "open size": open_size,
    "softmax": with_softmax,
    **{f"opset {version}": lowered(version) for version in (7, 8, 9, 10, 11, 12)},
}
