"""A backbone small enough to work out by hand; tests use it before any real one.

Input (n, 3, 8, 8), "image". Weights are small integers and quarters, exact in
float32:

    image -Conv 1x1-> -Relu->  "one"    4 x 8 x 8   depth 1, stride 1
          -Conv 3x3/2-> -Clip(0, 6)-> "two"    6 x 4 x 4   depth 2, stride 2
          -Conv 3x3->"branch" -Add("two")-> "sum" -Relu-> "three"  6 x 4 x 4  depth 3
          -GlobalAveragePool, Flatten, Gemm-> "logits" 5
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.card import Card
from icecore.server.backbones.recipes.recipe import Recipe


def toy_weights(seed: int = 0) -> dict[str, np.ndarray]:
    """The toy's parameters by initializer name, float32."""
    random = np.random.default_rng(seed)

    def quarters(*shape: int) -> np.ndarray:
        return (random.integers(-4, 5, size=shape) / 4).astype(np.float32)

    return {
        "one.weight": quarters(4, 3, 1, 1),
        "one.bias": quarters(4),
        "two.weight": quarters(6, 4, 3, 3),
        "two.bias": quarters(6),
        "branch.weight": quarters(6, 6, 3, 3),
        "branch.bias": quarters(6),
        "head.weight": quarters(5, 6),
        "head.bias": quarters(5),
    }


def toy_graph(seed: int = 0) -> bytes:
    """The toy as an ONNX file, opset 13, dynamic batch; another seed, another digest."""
    nodes = [
        helper.make_node(
            "Conv", ["image", "one.weight", "one.bias"], ["one.conv"], name="one.conv"
        ),
        helper.make_node("Relu", ["one.conv"], ["one"], name="one"),
        helper.make_node(
            "Conv",
            ["one", "two.weight", "two.bias"],
            ["two.conv"],
            name="two.conv",
            strides=[2, 2],
            pads=[0, 0, 1, 1],
        ),
        helper.make_node("Clip", ["two.conv", "zero", "six"], ["two"], name="two"),
        helper.make_node(
            "Conv",
            ["two", "branch.weight", "branch.bias"],
            ["branch"],
            name="branch",
            pads=[1, 1, 1, 1],
        ),
        helper.make_node("Add", ["branch", "two"], ["sum"], name="sum"),
        helper.make_node("Relu", ["sum"], ["three"], name="three"),
        helper.make_node("GlobalAveragePool", ["three"], ["pooled"], name="pooled"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flat"),
        helper.make_node(
            "Gemm", ["flat", "head.weight", "head.bias"], ["logits"], name="head", transB=1
        ),
    ]
    constants = {
        **toy_weights(seed),
        "zero": np.array(0, np.float32),
        "six": np.array(6, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 5])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def toy_recipe() -> Recipe:
    """Pixels / 255, shorter side resized to 8, centre crop of 8 x 8."""
    return Recipe(height=8, width=8, resize=8)


def toy_backbone(seed: int = 0, *, name: str = "toy", is_default: bool = False) -> Backbone:
    """The toy with its recipe; another seed, another digest."""
    return Backbone.read(
        name, toy_graph(seed), toy_recipe(), Card(source="toys.py"), is_default=is_default
    )
