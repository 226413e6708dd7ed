"""A process of its own in which many backbones come, run and go; prints its memory as JSON.

    python come_and_gone.py

`resident` holds the resident bytes after each of CYCLES backbones of some sizes in turn, PERIOD
of them before a size comes again. `grown` and `told` are what ten sessions of one backbone
added to the resident bytes, and what `Sessions.held_bytes` says of them.
"""

import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.backbones.running.freed_memory import give_back
from icecore.server.backbones.running.sessions import Sessions

CYCLES = 100
PERIOD = 4
_PAGE = 4096


def network(seed: int, side: int, width: int, n_convolutions: int) -> bytes:
    """Convolutions 3 x 3 with Relu, halved twice, and a product of 256 values."""
    random = np.random.default_rng(seed)
    nodes, constants, tensor, channels = [], [], "image", 3
    for i in range(n_convolutions):
        weight = random.normal(0, 0.05, (width, channels, 3, 3)).astype(np.float32)
        constants.append(numpy_helper.from_array(weight, f"weight{i}"))
        strides = [2, 2] if i in (1, 2) else [1, 1]
        nodes += [
            helper.make_node(
                "Conv", [tensor, f"weight{i}"], [f"conv{i}"], strides=strides, pads=[1, 1, 1, 1]
            ),
            helper.make_node("Relu", [f"conv{i}"], [f"relu{i}"]),
        ]
        tensor, channels = f"relu{i}", width
    product = random.normal(0, 0.05, (channels, 256)).astype(np.float32)
    constants.append(numpy_helper.from_array(product, "product"))
    nodes += [
        helper.make_node("GlobalAveragePool", [tensor], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "product"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "come and gone",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, side, side])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 256])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def backbone(seed: int, side: int, width: int, n_convolutions: int) -> Backbone:
    data = network(seed, side, width, n_convolutions)
    return Backbone.read("passing", data, Recipe(height=side, width=side, resize=side))


def resident() -> int:
    return _PAGE * int(Path("/proc/self/statm").read_text().split()[1])


def images(side: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.zeros((2, 3, side, side), np.float32)


def main() -> None:
    sessions = Sessions(max_bytes=1 << 30, threads=1)

    one = backbone(0, 32, 256, 11)
    sessions.run(one, one.core[:1], images(32))
    give_back()
    before, told = resident(), sessions.held_bytes
    for depth in range(2, 12):
        sessions.run(one, one.core[depth - 1 : depth], images(32))
    grown, told = resident() - before, sessions.held_bytes - told
    n_bytes = one.graph_bytes
    sessions.forget(one.digest)
    del one

    sizes = []
    for seed in range(CYCLES):
        side = 24 + 8 * (seed % PERIOD)
        passing = backbone(seed, side, 96 + 16 * (seed % PERIOD), 5)
        taps = [*passing.core, passing.tap(passing.layer("logits"))]
        sessions.run(passing, taps, images(side))
        sessions.forget(passing.digest)
        sizes.append(resident())
    print(json.dumps({"grown": grown, "told": told, "one": n_bytes, "resident": sizes}))


if __name__ == "__main__":
    main()
