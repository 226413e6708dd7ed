"""Receptive fields are those that disturbed pixels show, to the pixel."""

import numpy as np
import onnxruntime as ort
import pytest

from icecore.server.backbones.graphs.layers import Layer, read_layers
from small_graphs import SmallGraph

SIDE = 48


def plain(net: SmallGraph) -> str:
    one = net.conv("image", 4, kernel=7, stride=2)
    pooled = net.node(
        "MaxPool", [net.relu(one)], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]
    )
    return net.conv(net.conv(pooled, 4), 4, kernel=1)


def dilated(net: SmallGraph) -> str:
    return net.conv(net.conv("image", 4, dilations=[3, 3], pads=[3] * 4), 4, stride=2)


def padded_as_tensorflow_does(net: SmallGraph) -> str:
    one = net.conv("image", 4, stride=2, auto_pad="SAME_UPPER")
    return net.conv(one, 4, kernel=5, stride=2, auto_pad="SAME_LOWER")


def branches_of_unlike_padding(net: SmallGraph) -> str:
    """The paths' windows do not share a centre, so that their union is wider than either."""
    left = net.conv("image", 4, kernel=5, pads=[4, 4, 0, 0])
    right = net.conv("image", 4, kernel=5, pads=[0, 0, 4, 4])
    return net.node("Add", [left, right])


def shortcut_by_slices(net: SmallGraph) -> str:
    """ResNet's option A: every second place, and channels of zeros."""
    one = net.conv("image", 4)
    deep = net.conv(net.relu(net.conv(one, 8, stride=2)), 8)
    places = [net.constant(v, dtype=np.int64) for v in ([0, 0], [99, 99], [2, 3], [2, 2])]
    thin = net.node("Slice", [one, *places])
    pads = net.constant([0, 2, 0, 0, 0, 2, 0, 0], dtype=np.int64)
    return net.node("Add", [deep, net.node("Pad", [thin, pads])])


def rows_last(net: SmallGraph) -> str:
    rows = net.node("Transpose", [net.conv("image", 4, stride=2)], perm=[0, 2, 3, 1])
    wide = net.node("MatMul", [rows, net.weights(4, 6)])
    back = net.node("Transpose", [wide], perm=[0, 3, 1, 2])
    net._channels[back] = 6
    return net.conv(back, 4)


def apart(net: SmallGraph) -> str:
    """Two by two places laid into channels, and back."""
    near = net.node("SpaceToDepth", ["image"], blocksize=2)
    net._channels[near] = 12
    return net.conv(near, 4)


def grown(net: SmallGraph) -> str:
    small = net.conv("image", 4, stride=2)
    weight = net.weights(4, 4, 2, 2)
    big = net.node("ConvTranspose", [small, weight], kernel_shape=[2, 2], strides=[2, 2])
    return net.conv(big, 4)


def squeezed(net: SmallGraph) -> str:
    trunk = net.conv("image", 4, stride=2)
    gate = net.conv(net.node("GlobalAveragePool", [trunk]), 4, kernel=1)
    return net.node("Mul", [trunk, gate])


NETS = [
    plain,
    dilated,
    padded_as_tensorflow_does,
    branches_of_unlike_padding,
    shortcut_by_slices,
    rows_last,
    apart,
    squeezed,
]


def seen(data: bytes, layer: Layer) -> int:
    """Columns from the first to the last that change the places in the middle of a layer's map."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    still = np.ones((SIDE + 1, 3, SIDE, SIDE), np.float32)
    for column in range(SIDE):
        still[column + 1, :, :, column] += 1
    (made,) = session.run([layer.name], {"image": still})
    places = range(layer.width // 4, layer.width - layer.width // 4)
    widths = []
    for place in places:
        changed = (made[1:, ..., place] != made[:1, ..., place]).reshape(SIDE, -1).any(axis=1)
        columns = np.flatnonzero(changed)
        widths.append(int(columns[-1] - columns[0] + 1))
    return max(widths)


@pytest.mark.parametrize("write", NETS, ids=lambda write: write.__name__)
def test_the_field_is_what_disturbed_pixels_show(write: object) -> None:
    net = SmallGraph(SIDE)
    assert callable(write)
    name = write(net)
    data = net.to_bytes(name)
    layer = next(layer for layer in read_layers(data) if layer.name == name)
    assert layer.receptive_field == seen(data, layer)
    assert SIDE / layer.width == pytest.approx(layer.stride, rel=0.1)


def test_between_transposed_places_the_field_is_rounded_up() -> None:
    """Neighbours see unlike parts there; one number has to hold for all of them."""
    net = SmallGraph(SIDE)
    name = grown(net)
    data = net.to_bytes(name)
    layer = next(layer for layer in read_layers(data) if layer.name == name)
    assert layer.receptive_field - 1 == seen(data, layer) == 5


def test_the_longer_side_is_the_most_that_can_be_seen() -> None:
    net = SmallGraph(8)
    net.relu(net.conv("image", 4, kernel=5), "five")
    net.relu(net.conv("five", 4, kernel=5), "nine")
    found = {layer.name: layer.receptive_field for layer in read_layers(net.to_bytes("nine"))}
    assert (found["five"], found["nine"]) == (5, 8)
