"""Hostile files that are small, and grow in memory."""

import numpy as np
import onnx
from onnx import TensorProto, helper

from hostile_parts import File, Made, Node, extended, image, network, number


def _smallest() -> onnx.ModelProto:
    """A file of some 150 bytes that asks for 4.4 GB before any image is there."""
    graph = helper.make_graph(
        [
            helper.make_node("ConstantOfShape", ["s"], ["c"]),
            helper.make_node("Add", ["x", "c"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", 1, [1, 3, 1, 1])],
        [helper.make_tensor_value_info("y", 1, None)],
        [number([1, 3, 19000, 19500], "s")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _grown(op: str, *numbers: object) -> Made:
    """The honest network, followed by a node that makes more of a map."""
    constants = [
        number(value, f"n{i}", np.float32 if isinstance(value, float) else np.int64)
        for i, value in enumerate(numbers)
    ]
    reads = [f"n{i}" for i in range(len(numbers))]
    return extended([(op, ["two", *reads], ["end"], {})], constants)


def _resized(scale: float) -> Made:
    constants = [number([1.0, 1.0, scale, scale], "scales", np.float32)]
    return extended([("Resize", ["two", "", "scales"], ["end"], {})], constants)


def _constant(op: str, *numbers: object) -> Made:
    """A constant that is worked out, and added to a map."""
    constants = [number(value, f"n{i}") for i, value in enumerate(numbers)]
    reads = [f"n{i}" for i in range(len(numbers))]
    nodes: list[Node] = [
        (op, reads, ["huge"], {}),
        ("Cast", ["huge"], ["floats"], {"to": TensorProto.FLOAT}),
        ("ReduceSum", ["floats"], ["total"], {"keepdims": 0}),
        ("Add", ["two", "total"], ["end"], {}),
    ]
    return extended(nodes, constants)


def _computed_shape() -> onnx.ModelProto:
    """The size is a product that only shows when it is worked out."""
    nodes: list[Node] = [
        ("Mul", ["a", "b"], ["ab"], {}),
        ("Mul", ["ab", "b"], ["abc"], {}),
        ("ConstantOfShape", ["abc"], ["huge"], {}),
        ("ReduceSum", ["huge"], ["total"], {"keepdims": 0}),
        ("Add", ["two", "total"], ["end"], {}),
    ]
    return extended(nodes, [number([3000], "a"), number([1000], "b")])()


def _shape_of_the_image() -> onnx.ModelProto:
    nodes: list[Node] = [
        ("Shape", ["two"], ["size"], {}),
        ("Mul", ["size", "times"], ["large"], {}),
        ("Expand", ["one_value", "large"], ["end"], {}),
    ]
    return extended(
        nodes, [number([1, 1, 4096, 4096], "times"), number([[[[1.0]]]], "one_value", np.float32)]
    )()


def _on_pixels() -> onnx.ModelProto:
    """1.6 GB, which a machine may have: the size comes from pixels, and shows when it runs."""
    nodes: list[Node] = [
        ("ReduceSum", ["one"], ["sum"], {"keepdims": 0}),
        ("Div", ["sum", "sum"], ["one_value"], {}),
        ("Mul", ["one_value", "factor"], ["wide"], {}),
        ("Cast", ["wide"], ["whole"], {"to": TensorProto.INT64}),
        ("Unsqueeze", ["whole", "zero"], ["list"], {}),
        ("ConstantOfShape", ["list"], ["huge"], {}),
        ("ReduceSum", ["huge"], ["total"], {"keepdims": 0}),
        ("Add", ["two", "total"], ["end"], {}),
    ]
    return extended(nodes, [number(4e8, "factor", np.float32), number([0], "zero")])()


def _doubling(op: str, n_times: int) -> onnx.ModelProto:
    """Each node twice as large as the one before."""
    nodes: list[Node] = []
    tensor = "two"
    for i in range(n_times):
        nodes.append((op, [tensor, tensor], [f"d{i}"], {"axis": 2}))
        tensor = f"d{i}"
    return extended(nodes, end=tensor)()


def _doubling_shapes() -> onnx.ModelProto:
    """Lists of sizes that double: a bomb for whoever infers shapes."""
    nodes: list[Node] = [("Shape", ["two"], ["s"], {})]
    tensor = "s"
    for i in range(34):
        nodes.append(("Concat", [tensor, tensor], [f"s{i}"], {"axis": 0}))
        tensor = f"s{i}"
    nodes += [
        ("ReduceSum", [tensor], ["sum"], {"keepdims": 0}),
        ("Cast", ["sum"], ["float"], {"to": TensorProto.FLOAT}),
        ("Add", ["two", "float"], ["end"], {}),
    ]
    return extended(nodes)()


def _doubling_constants() -> onnx.ModelProto:
    nodes: list[Node] = []
    tensor = "s"
    for i in range(34):
        nodes.append(("Concat", [tensor, tensor], [f"s{i}"], {"axis": 0}))
        tensor = f"s{i}"
    nodes += [
        ("ReduceSum", [tensor], ["sum"], {"keepdims": 0}),
        ("Cast", ["sum"], ["float"], {"to": TensorProto.FLOAT}),
        ("Add", ["two", "float"], ["end"], {}),
    ]
    return extended(nodes, [number([1, 2], "s")])()


def _outer_product() -> onnx.ModelProto:
    nodes: list[Node] = [
        ("Reshape", ["two", "tall"], ["column"], {}),
        ("Reshape", ["two", "flat"], ["row"], {}),
        ("MatMul", ["column", "row"], ["all"], {}),
        ("MatMul", ["all", "all"], ["more"], {}),
        ("ReduceMean", ["more"], ["mean"], {"axes": [1, 2], "keepdims": 0}),
        ("Add", ["two", "mean"], ["end"], {}),
    ]
    return extended(nodes, [number([-1, 2048 * 8, 1], "tall"), number([-1, 1, 2048 * 8], "flat")])()


def _sparse(side: int) -> onnx.ModelProto:
    model = network()
    sparse = onnx.SparseTensorProto(dims=[side, side])
    sparse.values.CopyFrom(number([1.0], "s", np.float32))
    sparse.indices.CopyFrom(number([0], ""))
    model.graph.sparse_initializer.append(sparse)
    model.graph.node.insert(0, helper.make_node("ReduceSum", ["s"], ["unread"], "sum", keepdims=0))
    return model


def _all_at_once() -> onnx.ModelProto:
    """Forty maps of 32 MiB, none of which can go before the last is there."""
    constants = [number([1, 1, 64, 64], "times"), number(2.0, "two_times", np.float32)]
    nodes: list[Node] = [("Tile", ["two", "times"], ["m0"], {})]
    nodes += [("Mul", [f"m{i}", "two_times"], [f"m{i + 1}"], {}) for i in range(40)]
    nodes += [("Sum", [f"m{i}" for i in range(41)], ["end"], {})]
    return extended(nodes, constants)()


def _giant_image(side: int) -> onnx.ModelProto:
    model = network()
    model.graph.input[0].CopyFrom(image(side))
    return model


_TOO_LARGE = "would make the tensor"


FILES: dict[str, File] = {
    "150 bytes that ask for 4 GB": (_smallest, "costly", _TOO_LARGE),
    "expand": (_grown("Expand", [1 << 20, 8, 16, 16]), "costly", ""),
    "expand past 64 bits": (_grown("Expand", [1 << 40, 1 << 40, 1, 1, 1, 1]), "costly", ""),
    "tile": (_grown("Tile", [1, 1, 4096, 4096]), "costly", _TOO_LARGE),
    "tile past 64 bits": (_grown("Tile", [1 << 40] * 4), "any", ""),
    "pad": (_grown("Pad", [0, 0, 0, 0, 0, 0, 1 << 20, 1 << 10]), "costly", _TOO_LARGE),
    "resize": (_resized(4096.0), "costly", _TOO_LARGE),
    "resize past all numbers": (_resized(1e30), "any", ""),
    "constant of shape": (_constant("ConstantOfShape", [1 << 33]), "costly", _TOO_LARGE),
    "constant past 64 bits": (_constant("ConstantOfShape", [1 << 40, 1 << 40]), "costly", ""),
    "range": (_constant("Range", 0, 1 << 40, 1), "costly", ""),
    "shape that is worked out": (_computed_shape, "costly", ""),
    "shape of the image": (_shape_of_the_image, "costly", ""),
    "size by pixels": (_on_pixels, "costly", "memory"),
    "maps that double": (lambda: _doubling("Concat", 40), "costly", _TOO_LARGE),
    "shapes that double": (_doubling_shapes, "costly", ""),
    "constants that double": (_doubling_constants, "costly", ""),
    "outer product": (_outer_product, "costly", ""),
    "sparse of 2^60": (lambda: _sparse(1 << 30), "costly", "sparse"),
    "sparse": (lambda: _sparse(64), "invalid", "sparse"),
    "maps that stay": (_all_at_once, "costly", "at once"),
    "giant image": (lambda: _giant_image(1 << 20), "any", ""),
    "image of 2^31": (lambda: _giant_image(1 << 31), "any", ""),
    "image of 8,000": (lambda: _giant_image(8_000), "any", ""),
}
