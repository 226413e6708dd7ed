"""What a session is fed: floats after the recipe, or pixels that the graph itself normalises.

Pixels are a quarter of the bytes, on the wire and to a device. The nodes put in front
compute `Recipe.normalise`, in its order, so that codes are the same to the bit.
"""

from collections.abc import Iterator
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from icecore.server.backbones.recipes.recipe import TO_UNIT, Recipe
from icecore.server.backbones.running.stored_weights import join, split

_PREFIX = "icecore.pixels"


class Feed(Enum):
    """The form of a network's input."""

    FLOATS = "floats"
    """(n, 3, h, w) float32, as the recipe makes them."""
    PIXELS = "pixels"
    """(n, h, w, 3) uint8 RGB, as `Recipe.crop` gives them."""
    PLANES = "planes"
    """(n, 3, h, w) uint8 RGB: the same, one colour after the other."""


def feed_of(inputs: npt.NDArray[np.generic], recipe: Recipe) -> Feed:
    """Return the form that a batch has.

    Raises:
        ValueError: another dtype or shape than the network takes.
    """
    planes = recipe.shape
    if inputs.dtype == np.float32 and inputs.shape[1:] == planes:
        return Feed.FLOATS
    if inputs.dtype == np.uint8 and inputs.shape[1:] == (*planes[1:], 3):
        return Feed.PIXELS
    if inputs.dtype == np.uint8 and inputs.shape[1:] == planes:
        return Feed.PLANES
    sizes = ", ".join(map(str, planes))
    raise ValueError(
        f"inputs are {inputs.dtype.name} of shape {inputs.shape!r}, but must be float32 of shape "
        f"(n, {sizes}), or pixels of that size"
    )


def fed(graph: bytes, feed: Feed, recipe: Recipe) -> bytes:
    """Return a cut graph that takes what `feed` says, instead of floats; its batch is the same."""
    if feed is Feed.FLOATS:
        return graph
    model, spans = split(graph)
    (image,) = (value for value in model.graph.input if value.name not in spans)
    taken = {name for node in model.graph.node for name in (node.name, *node.input, *node.output)}
    prefix = _PREFIX
    while any(name.startswith(prefix) for name in (*taken, *spans)):
        prefix += "."
    batch = image.type.tensor_type.shape.dim[0]
    sizes: list[int | str] = [batch.dim_value or batch.dim_param or f"{prefix}.n"]
    sizes += (
        [recipe.height, recipe.width, 3]
        if feed is Feed.PIXELS
        else [3, recipe.height, recipe.width]
    )
    nodes, constants = _normalising(prefix, image.name, feed, recipe)
    whole = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*nodes, *whole])
    model.graph.initializer.extend(constants)
    image.CopyFrom(helper.make_tensor_value_info(prefix, TensorProto.UINT8, sizes))
    return join(model, graph, iter(spans.values()))


def _normalising(
    prefix: str, image: str, feed: Feed, recipe: Recipe
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes from the input `prefix` to the tensor `image`, and their constants."""
    steps = list(_steps(feed, recipe))
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    source = prefix
    for place, (op, constant, attributes) in enumerate(steps):
        made = image if place == len(steps) - 1 else f"{prefix}.{place}"
        inputs = [source]
        if constant is not None:
            inputs.append(f"{prefix}.{place}.constant")
            constants.append(numpy_helper.from_array(constant, inputs[-1]))
        nodes.append(helper.make_node(op, inputs, [made], name=f"{prefix}.{place}", **attributes))
        source = made
    return nodes, constants


def _steps(
    feed: Feed, recipe: Recipe
) -> Iterator[tuple[str, npt.NDArray[np.generic] | None, dict[str, Any]]]:
    """Operator, second input and attributes, one after the other."""
    if feed is Feed.PIXELS:
        yield "Transpose", None, {"perm": [0, 3, 1, 2]}
    if recipe.channels == "BGR":
        yield "Gather", np.array([2, 1, 0], np.int64), {"axis": 1}
    yield "Cast", None, {"to": TensorProto.FLOAT}
    if recipe.scale == TO_UNIT:
        yield "Div", np.array(255, np.float32), {}
    elif recipe.scale != 1.0:
        yield "Mul", np.array(recipe.scale, np.float32), {}
    if any(recipe.mean):
        yield "Sub", np.array(recipe.mean, np.float32)[:, None, None], {}
    if recipe.std != (1.0, 1.0, 1.0):
        yield "Div", np.array(recipe.std, np.float32)[:, None, None], {}
