"""Hostile files that say of themselves what is not so."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hostile_parts import Change, File, Node, changed, extended, number


def _dims(*dims: int) -> Change:
    """Other dimensions for the second convolution's weights; the bytes stay."""

    def change(model: onnx.ModelProto) -> None:
        del model.graph.initializer[1].dims[:]
        model.graph.initializer[1].dims.extend(dims)

    return change


def _type(number: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer[1].data_type = number

    return change


def _value(value: float) -> Change:
    """One weight of the first convolution."""

    def change(model: onnx.ModelProto) -> None:
        weights = numpy_helper.to_array(model.graph.initializer[0]).copy()
        weights[1, 1, 1, 1] = value
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w1"))

    return change


def _all(value: float) -> Change:
    """Every weight of both convolutions: finite, but not what comes of them."""

    def change(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            weights = np.full(tuple(tensor.dims), value, np.float32)
            tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))

    return change


def _raw_and_typed(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].float_data.extend([1.0] * 216)


def _text(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(
        TensorProto(name="t", data_type=TensorProto.STRING, dims=[1], string_data=[b"/etc"])
    )


def _told(name: str, dims: list[int | str]) -> Change:
    """A shape told for a tensor inside."""

    def change(model: onnx.ModelProto) -> None:
        model.graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))

    return change


def _output(kind: int, dims: list[int | str]) -> Change:
    def change(model: onnx.ModelProto) -> None:
        model.graph.output[0].CopyFrom(helper.make_tensor_value_info("codes", kind, dims))

    return change


def _input(kind: int, dims: list[int | str]) -> Change:
    def change(model: onnx.ModelProto) -> None:
        model.graph.input[0].CopyFrom(helper.make_tensor_value_info("image", kind, dims))

    return change


def _found_on_pixels() -> onnx.ModelProto:
    """A vector as long as there are bright pixels, told to be of 8."""
    nodes: list[Node] = [
        ("NonZero", ["two"], ["places"], {}),
        ("Cast", ["places"], ["end"], {"to": TensorProto.FLOAT}),
        ("Transpose", ["end"], ["vectors"], {"perm": [1, 0]}),
    ]
    model = extended(nodes, end="two")()
    model.graph.output.append(helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["n", 4]))
    model.graph.value_info.append(helper.make_tensor_value_info("vectors", 1, [8, 4]))
    return model


def _mixes_images() -> onnx.ModelProto:
    """Each image minus the mean of all in the batch: what others send shows in the codes."""
    nodes: list[Node] = [
        ("ReduceMean", ["two"], ["others"], {"axes": [0], "keepdims": 1}),
        ("Sub", ["two", "others"], ["apart"], {}),
        ("Relu", ["apart"], ["end"], {}),
    ]
    return extended(nodes)()


def _training_mode() -> onnx.ModelProto:
    """A batch norm that normalises by the batch it sees."""
    one = [number([1.0] * 8, name, np.float32) for name in ("g", "b", "m", "v")]
    nodes: list[Node] = [
        (
            "BatchNormalization",
            ["two", "g", "b", "m", "v"],
            ["normed", "m2", "v2"],
            {"training_mode": 1},
        ),
        ("Relu", ["normed"], ["end"], {}),
    ]
    return extended(nodes, one)()


def _zero_scale() -> onnx.ModelProto:
    nodes: list[Node] = [
        ("QuantizeLinear", ["two", "scale", "zero"], ["q"], {}),
        ("DequantizeLinear", ["q", "scale", "zero"], ["end"], {}),
    ]
    constants = [number(np.nan, "scale", np.float32), number(0, "zero", np.uint8)]
    return extended(nodes, constants)()


def _no_pixels() -> onnx.ModelProto:
    nodes: list[Node] = [("Slice", ["two", "zero", "zero", "rows"], ["end"], {})]
    return extended(nodes, [number([0], "zero"), number([2], "rows")])()


_N = "n"


FILES: dict[str, File] = {
    "more dimensions than bytes": (changed(_dims(800, 8, 3, 3)), "invalid", "but holds 576"),
    "fewer dimensions than bytes": (changed(_dims(8)), "invalid", "but holds 576"),
    "dimension below zero": (changed(_dims(-8, -72)), "invalid", "below 0"),
    "dimensions past 64 bits": (changed(_dims(1 << 32, 1 << 32)), "invalid", "but holds 576"),
    "dimensions that wrap to the size": (
        changed(_dims(576, 1 << 62, 4, 1)),
        "invalid",
        "but holds 576",
    ),
    "as many dimensions of 2^63 as allowed": (
        changed(_dims(*[(1 << 63) - 1] * 12)),
        "invalid",
        "but holds 576",
    ),
    "raw and typed values": (changed(_raw_and_typed), "invalid", ""),
    "a constant of text": (changed(_text), "invalid", "string"),
    "complex weights": (changed(_type(TensorProto.COMPLEX64)), "invalid", "complex64"),
    "weights of type 99": (changed(_type(99)), "invalid", "99"),
    "weights of type 0": (changed(_type(0)), "invalid", "undefined"),
    "a weight that is no number": (changed(_value(np.nan)), "invalid", "no numbers"),
    "an endless weight": (changed(_value(np.inf)), "invalid", "no finite numbers"),
    "weights that overflow": (changed(_all(3e38)), "invalid", "no finite numbers"),
    "a map told larger": (changed(_told("one", [_N, 8, 32, 32])), "invalid", "tells the shape"),
    "a map told of other channels": (
        changed(_told("two", [_N, 9, 16, 16])),
        "invalid",
        "tells the shape",
    ),
    "an output told smaller": (
        changed(_output(TensorProto.FLOAT, [_N, 3, 1, 1])),
        "invalid",
        "tells the shape",
    ),
    "an output told of integers": (changed(_output(TensorProto.INT64, [_N, 8])), "invalid", ""),
    "an input told of five channels": (
        changed(_input(TensorProto.FLOAT, [_N, 5, 16, 16])),
        "invalid",
        "",
    ),
    "an input of text": (changed(_input(TensorProto.STRING, [_N, 3, 16, 16])), "invalid", ""),
    "an input of two dimensions": (changed(_input(TensorProto.FLOAT, [_N, 768])), "invalid", ""),
    "a map without pixels": (_no_pixels, "invalid", ""),
    "an image below zero": (changed(_input(TensorProto.FLOAT, [_N, 3, -1, 16])), "recipe", ""),
    "a scale that is no number": (_zero_scale, "invalid", "no numbers"),
}

PUT_RIGHT = {
    "as many vectors as bright pixels": _found_on_pixels,
    "images that see each other": _mixes_images,
    "a norm by the batch": _training_mode,
}
"""Let in, since what they say or do is put right: no image sees another, no shape is believed."""
