"""Hostile files that reach out of themselves: to other files, other code, or back to themselves."""

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper

from hostile_parts import File, Made, Node, branch, changed, extended, number


def _outside(location: str) -> TensorProto:
    tensor = TensorProto(name="far", data_type=TensorProto.FLOAT, dims=[8, 8, 3, 3])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "2304")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def _weights_at(location: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer[1].CopyFrom(_outside(location))
        model.graph.initializer[1].name = "w2"

    return change


def _in_constant(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["k"], value=_outside("/etc/passwd")))


def _in_sparse(model: onnx.ModelProto) -> None:
    sparse = onnx.SparseTensorProto(dims=[8, 8], values=_outside("weights.bin"))
    sparse.indices.CopyFrom(number([0], "places"))
    model.graph.sparse_initializer.append(sparse)


def _in_branch(model: onnx.ModelProto) -> None:
    inner = branch([helper.make_node("Constant", [], ["k"], value=_outside("/etc/passwd"))], "k")
    model.graph.initializer.append(number(True, "yes", np.bool_))
    model.graph.node.append(
        helper.make_node("If", ["yes"], ["chosen"], then_branch=inner, else_branch=inner)
    )


def _in_training(model: onnx.ModelProto) -> None:
    step = model.training_info.add()
    step.algorithm.initializer.append(_outside("/etc/passwd"))


def _in_segments(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].segment.begin = 0
    model.graph.initializer[0].segment.end = 100


def _function(
    name: str, *calls: str, domain: str = "local", constant: TensorProto | None = None
) -> onnx.FunctionProto:
    """A function that calls others one after another."""
    nodes, tensor = [], "x"
    for index, call in enumerate(calls):
        kind = "" if call == "Relu" else "local"
        nodes.append(helper.make_node(call, [tensor], [f"t{index}"], domain=kind))
        tensor = f"t{index}"
    if constant is not None:
        nodes.append(helper.make_node("Constant", [], ["unused"], value=constant))
    nodes.append(helper.make_node("Relu", [tensor], ["y"]))
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    return helper.make_function(domain, name, ["x"], ["y"], nodes, imports)


def _functions(*functions: onnx.FunctionProto) -> Made:
    """The honest network, which calls the first of them."""

    def add(model: onnx.ModelProto) -> None:
        model.functions.extend(functions)
        if functions[0].domain != "local":
            return
        model.opset_import.append(helper.make_opsetid("local", 1))
        model.graph.node[-1].input[0] = "called"
        call = helper.make_node(functions[0].name, ["two"], ["called"], domain="local")
        model.graph.node.insert(4, call)

    return changed(add)


def _custom(op: str, domain: str) -> Made:
    def change(model: onnx.ModelProto) -> None:
        model.opset_import.append(helper.make_opsetid(domain, 1))

    def make() -> onnx.ModelProto:
        model = extended([(op, ["two"], ["end"], {"domain": domain})])()
        change(model)
        return model

    return make


def _custom_in_branch() -> onnx.ModelProto:
    inner = branch([helper.make_node("Steal", ["two"], ["inside"], domain="evil")], "inside")
    nodes: list[Node] = [("If", ["yes"], ["end"], {"then_branch": inner, "else_branch": inner})]
    model = extended(nodes, [number(True, "yes", np.bool_)])()
    model.opset_import.append(helper.make_opsetid("evil", 1))
    return model


def _loop() -> onnx.ModelProto:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["held", "held"], ["grown"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("held", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("grown", TensorProto.FLOAT, None),
        ],
    )
    constants = [number(1 << 62, "times"), number(True, "yes", np.bool_)]
    return extended([("Loop", ["times", "yes", "two"], ["end"], {"body": body})], constants)()


def _scan() -> onnx.ModelProto:
    body = helper.make_graph(
        [helper.make_node("Relu", ["row"], ["out"])],
        "body",
        [helper.make_tensor_value_info("row", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
    )
    return extended([("Scan", ["two"], ["end"], {"body": body, "num_scan_inputs": 1})])()


def _if_on_pixels() -> onnx.ModelProto:
    inner = branch([helper.make_node("Relu", ["two"], ["inside"])], "inside")
    other = branch([helper.make_node("Neg", ["two"], ["inside"])], "inside")
    nodes: list[Node] = [
        ("ReduceMax", ["image"], ["top"], {"keepdims": 0}),
        ("Greater", ["top", "half"], ["bright"], {}),
        ("If", ["bright"], ["end"], {"then_branch": inner, "else_branch": other}),
    ]
    return extended(nodes, [number(0.5, "half", np.float32)])()


_ELSEWHERE = "in another file"
_CALLS = "call themselves"

FILES: dict[str, File] = {
    "weights beside the file": (changed(_weights_at("weights.bin")), "invalid", _ELSEWHERE),
    "weights in /etc/passwd": (changed(_weights_at("/etc/passwd")), "invalid", _ELSEWHERE),
    "weights far above": (changed(_weights_at("../../../secret")), "invalid", _ELSEWHERE),
    "weights in a device": (changed(_weights_at("/dev/zero")), "invalid", _ELSEWHERE),
    "outside data in a node": (changed(_in_constant), "invalid", _ELSEWHERE),
    "outside data, sparse": (changed(_in_sparse), "invalid", _ELSEWHERE),
    "outside data in a branch": (changed(_in_branch), "invalid", _ELSEWHERE),
    "outside data in training steps": (changed(_in_training), "invalid", _ELSEWHERE),
    "outside data in a function": (
        _functions(_function("f", "Relu", constant=_outside("/etc/passwd"))),
        "invalid",
        _ELSEWHERE,
    ),
    "weights in segments": (changed(_in_segments), "invalid", "segments"),
    "operator of another domain": (_custom("Steal", "evil"), "invalid", "evil"),
    "operator of Microsoft": (_custom("FusedConv", "com.microsoft"), "invalid", "com.microsoft"),
    "operator that reads a file": (_custom("EPContext", "com.microsoft"), "invalid", "EPContext"),
    "operator that runs Python": (_custom("PyOp", "ai.onnx.contrib"), "invalid", "PyOp"),
    "operator of classical learning": (_custom("Scaler", "ai.onnx.ml"), "invalid", "ai.onnx.ml"),
    "another domain in a branch": (_custom_in_branch, "invalid", "evil"),
    "operator that does not exist": (extended([("ReadFile", ["two"], ["end"], {})]), "invalid", ""),
    "loop without end": (_loop, "invalid", "loop"),
    "scan": (_scan, "invalid", "loop"),
    "branch on pixels": (_if_on_pixels, "invalid", "If"),
    "random numbers": (
        extended([("RandomNormalLike", ["two"], ["end"], {})]),
        "invalid",
        "random",
    ),
    "function that calls itself": (_functions(_function("f", "f")), "invalid", _CALLS),
    "functions in a circle": (
        _functions(_function("f", "g"), _function("g", "h"), _function("h", "f")),
        "invalid",
        _CALLS,
    ),
    "functions that grow tenfold": (
        _functions(
            *(_function(f"f{i}", *[f"f{i + 1}"] * 10) for i in range(20)), _function("f20", "Relu")
        ),
        "large",
        "written out",
    ),
    "function 9,000 calls deep": (
        _functions(
            *(_function(f"f{i}", f"f{i + 1}") for i in range(9_000)), _function("f9000", "Relu")
        ),
        "large",
        "",
    ),
    "function that hides Conv": (
        _functions(_function("Conv", "Relu", domain="")),
        "invalid",
        "hide an operator",
    ),
    "function defined twice": (
        _functions(_function("f", "Relu"), _function("f", "Relu")),
        "invalid",
        "twice",
    ),
}
