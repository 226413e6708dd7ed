"""Hostile files that are small, and take long: to read, to fold, to run."""

import numpy as np
import onnx

from hostile_parts import File, Node, extended, number


def _long_convolutions() -> onnx.ModelProto:
    """A kernel of 1,024 x 1,024 channels, again and again, on a large map."""
    nodes: list[Node] = [
        ("ConstantOfShape", ["kernel"], ["w"], {"value": number([1e-3], "v", np.float32)}),
        ("Resize", ["two", "", "scales"], ["large"], {}),
        ("Tile", ["large", "channels"], ["h0"], {}),
    ]
    nodes += [("Conv", [f"h{i}", "w"], [f"h{i + 1}"], {"pads": [1, 1, 1, 1]}) for i in range(20)]
    constants = [
        number([1024, 1024, 3, 3], "kernel"),
        number([1.0, 1.0, 8.0, 8.0], "scales", np.float32),
        number([1, 128, 1, 1], "channels"),
    ]
    return extended(nodes, constants, end="h20")()


def _wide_pooling() -> onnx.ModelProto:
    """Each value an average over a million."""
    nodes: list[Node] = [("Resize", ["two", "", "scales"], ["h0"], {})]
    sizes = {"kernel_shape": [1001, 1001], "pads": [500, 500, 500, 500]}
    nodes += [("AveragePool", [f"h{i}"], [f"h{i + 1}"], dict(sizes)) for i in range(4)]
    constants = [number([1.0, 1.0, 32.0, 32.0], "scales", np.float32)]
    return extended(nodes, constants, end="h4")()


def _products_by_pixels() -> onnx.ModelProto:
    """Squares of a matrix as wide as there are bright pixels: no count finds them beforehand."""
    nodes: list[Node] = [
        ("NonZero", ["two"], ["places"], {}),
        ("Cast", ["places"], ["wide"], {"to": 1}),
        ("Transpose", ["wide"], ["tall"], {"perm": [1, 0]}),
        ("MatMul", ["tall", "wide"], ["p0"], {}),
    ]
    nodes += [("MatMul", [f"p{i}", f"p{i}"], [f"p{i + 1}"], {}) for i in range(5_000)]
    nodes += [
        ("ReduceMin", ["p5000"], ["least"], {"keepdims": 0}),
        ("Add", ["two", "least"], ["end"], {}),
    ]
    return extended(nodes)()


def _many_steps() -> onnx.ModelProto:
    """Nine thousand cheap nodes on a large map."""
    nodes: list[Node] = [("Tile", ["two", "times"], ["h0"], {})]
    nodes += [("Sin", [f"h{i}"], [f"h{i + 1}"], {}) for i in range(9_000)]
    return extended(nodes, [number([1, 1, 64, 64], "times")], end="h9000")()


def _constant_work() -> onnx.ModelProto:
    """Products of constants: all the work is done while the graph is read."""
    nodes: list[Node] = [
        ("ConstantOfShape", ["side"], ["p0"], {"value": number([1e-4], "v", np.float32)})
    ]
    nodes += [("MatMul", [f"p{i}", f"p{i}"], [f"p{i + 1}"], {}) for i in range(30)]
    nodes += [
        ("ReduceMean", ["p30"], ["mean"], {"keepdims": 0}),
        ("Add", ["two", "mean"], ["end"], {}),
    ]
    return extended(nodes, [number([4096, 4096], "side")])()


def _thresholds(n: int) -> onnx.ModelProto:
    """One after another."""
    nodes: list[Node] = [("Relu", ["two"], ["h0"], {})]
    nodes += [("Relu", [f"h{i}"], [f"h{i + 1}"], {}) for i in range(n)]
    return extended(nodes, end=f"h{n}")()


def _too_many_layers() -> onnx.ModelProto:
    """Three thousand thresholds: a session that pools all of them takes a minute to load."""
    return _thresholds(3_000)


def _all_read_all() -> onnx.ModelProto:
    """Each of a thousand nodes reads all before it: half a million edges."""
    nodes: list[Node] = [("Relu", ["two"], ["h0"], {})]
    nodes += [("Sum", [f"h{j}" for j in range(i + 1)], [f"h{i + 1}"], {}) for i in range(1_000)]
    return extended(nodes, end="h1000")()


def _too_many_nodes() -> onnx.ModelProto:
    return _thresholds(10_001)


FILES: dict[str, File] = {
    "convolutions for minutes": (_long_convolutions, "costly", "multiply-accumulates"),
    "pooling for minutes": (_wide_pooling, "costly", "multiply-accumulates"),
    "products by pixels": (_products_by_pixels, "costly", ""),
    "steps for minutes": (_many_steps, "costly", ""),
    "constants for minutes": (_constant_work, "costly", ""),
    "3,000 layers": (_too_many_layers, "large", "layers"),
    "all read all": (_all_read_all, "any", ""),
    "10,001 nodes": (_too_many_nodes, "large", "nodes"),
}
