"""Hostile files whose nodes make no graph, or none from an image to codes."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from hostile_parts import File, Made, Node, changed, extended, image, network, number


def _circle(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "two"


def _reads_itself(model: onnx.ModelProto) -> None:
    model.graph.node[1].input[0] = "one"


def _long_circle() -> onnx.ModelProto:
    nodes: list[Node] = [("Relu", [f"t{i}"], [f"t{(i + 1) % 3_000}"], {}) for i in range(3_000)]
    return extended([*nodes, ("Add", ["two", "t7"], ["end"], {})])()


def _made_twice(model: onnx.ModelProto) -> None:
    model.graph.node[3].output[0] = "one"
    model.graph.node[4].input[0] = "one"


def _constant_twice(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(model.graph.initializer[0])


def _hides_weights(model: onnx.ModelProto) -> None:
    model.graph.node.insert(0, helper.make_node("Neg", ["image"], ["w1"]))


def _hides_the_image(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Neg", ["two"], ["image"]))


def _image_is_a_weight(model: onnx.ModelProto) -> None:
    values = np.zeros((1, 3, 16, 16), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(values, "image"))


def _two_images(model: onnx.ModelProto) -> None:
    second = image()
    second.name = "image2"
    model.graph.input.append(second)


def _input_twice(model: onnx.ModelProto) -> None:
    model.graph.input.append(image())


def _no_input(model: onnx.ModelProto) -> None:
    del model.graph.input[:]


def _no_output(model: onnx.ModelProto) -> None:
    del model.graph.output[:]


def _no_nodes(model: onnx.ModelProto) -> None:
    del model.graph.node[:]


def _output_of_nothing(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "nowhere"


def _output_twice(model: onnx.ModelProto) -> None:
    model.graph.output.append(model.graph.output[0])


def _reads_nothing(model: onnx.ModelProto) -> None:
    model.graph.node[2].input[0] = "nowhere"


def _no_inputs_to_conv(model: onnx.ModelProto) -> None:
    del model.graph.node[0].input[:]


def _blind() -> onnx.ModelProto:
    """The codes do not depend on the image."""
    model = network()
    model.graph.node[0].input[0] = "always"
    values = np.ones((1, 3, 16, 16), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(values, "always"))
    return model


def _list_of_tensors() -> onnx.ModelProto:
    nodes: list[Node] = [
        ("SequenceConstruct", ["two", "two"], ["list"], {}),
        ("SequenceAt", ["list", "first"], ["end"], {}),
    ]
    return extended(nodes, [number(0, "first")])()


def _matrix_of_weights() -> onnx.ModelProto:
    model = network()
    weights = np.zeros((8, 27), np.float32)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w1"))
    return model


def _too_far(op: str, reads: list[str], **attributes: object) -> Made:
    """A node whose numbers lead out of the tensor it reads."""
    constants = [
        number([1 << 40], "far"),
        number([0], "zero"),
        number([7, 7, 7], "odd"),
        number([-5, -1, -1, 7], "wrong"),
    ]
    return extended([(op, reads, ["end"], dict(attributes))], constants)


_CIRCLE = "circle"

FILES: dict[str, File] = {
    "circle": (changed(_circle), "invalid", _CIRCLE),
    "a node that reads itself": (changed(_reads_itself), "invalid", _CIRCLE),
    "circle of 3,000 nodes": (_long_circle, "invalid", _CIRCLE),
    "a tensor made twice": (changed(_made_twice), "invalid", "two tensors"),
    "a constant twice": (changed(_constant_twice), "invalid", "two constants"),
    "a tensor that hides weights": (changed(_hides_weights), "invalid", "two tensors"),
    "a tensor that hides the image": (changed(_hides_the_image), "invalid", "two tensors"),
    "an image that is a weight": (changed(_image_is_a_weight), "invalid", "no input"),
    "two images": (changed(_two_images), "invalid", "must have one"),
    "the image twice": (changed(_input_twice), "invalid", "two inputs"),
    "no image": (changed(_no_input), "invalid", "no input"),
    "no output": (changed(_no_output), "invalid", "no output"),
    "no nodes": (changed(_no_nodes), "invalid", "no nodes"),
    "an output that nothing makes": (changed(_output_of_nothing), "invalid", "nothing makes"),
    "an output twice": (changed(_output_twice), "invalid", "two outputs"),
    "a tensor that nothing makes": (changed(_reads_nothing), "invalid", "nothing makes"),
    "a convolution of nothing": (changed(_no_inputs_to_conv), "invalid", ""),
    "codes without the image": (_blind, "invalid", ""),
    "a list of tensors": (_list_of_tensors, "invalid", ""),
    "a matrix as convolution weights": (_matrix_of_weights, "invalid", ""),
    "places out of the tensor": (_too_far("Gather", ["two", "far"], axis=1), "invalid", ""),
    "a shape that does not fit": (_too_far("Reshape", ["two", "odd"]), "invalid", ""),
    "a shape below zero": (_too_far("Reshape", ["two", "wrong"]), "invalid", ""),
    "steps of zero": (
        _too_far("Slice", ["two", "zero", "far", "zero", "zero"]),
        "invalid",
        "",
    ),
    "axes that are not there": (
        _too_far("Transpose", ["two"], perm=[0, 1, 2, 3, 4]),
        "invalid",
        "",
    ),
}
