"""Backbones that come, are used and go, and what that leaves in a server's memory."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from adding import add_backbone, remove_backbone
from callers import Caller, pixels
from icecore.v1 import backbone_pb2 as bpb
from icecore.v1 import codes_pb2 as epb

SIDE = 16


def two_megabytes(seed: int) -> bytes:
    """A network of three convolutions with 2 MB of weights, another one a seed."""
    random = np.random.default_rng(seed)
    widths = [(3, 64, 1), (64, 128, 3), (128, 384, 3)]
    nodes, weights = [], []
    last = "image"
    for number, (before, after, side) in enumerate(widths, 1):
        shape = (after, before, side, side)
        scale = (before * side * side) ** -0.5
        values = random.normal(0, scale, shape).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"w{number}"))
        pads = [side // 2] * 4
        nodes.append(helper.make_node("Conv", [last, f"w{number}"], [f"c{number}"], pads=pads))
        nodes.append(helper.make_node("Relu", [f"c{number}"], [f"r{number}"]))
        last = f"r{number}"
    graph = helper.make_graph(
        nodes,
        "cycled",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["n", 384, SIDE, SIDE])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def cycle(admin: Caller, tenant: Caller, seed: int) -> None:
    """Add a backbone, read codes at all its layers and at one, and remove it."""
    name = f"cycled-{seed}"
    recipe = bpb.Recipe(height=SIDE, width=SIDE)
    add_backbone(admin, name, two_megabytes(seed), recipe=recipe)
    for layer in ("*", "-1", "1"):
        tenant.codes.Embed(epb.EmbedRequest(backbone=name, layers=[layer], images=[pixels(0)]))
    tenant.backbones.ListBackbones(bpb.ListBackbonesRequest())
    remove_backbone(admin, name)


def resident_mb(pid: int) -> float:
    """What a process holds in memory, its children apart."""
    (line,) = [
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    ]
    return int(line.split()[1]) / 1024
