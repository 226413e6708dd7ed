"""Receptive fields are those that disturbed pixels show, to the pixel."""

import numpy as np
import onnxruntime as ort
import pytest

from icecore.server.backbones.graphs.layers import read_layers
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


def branches_padded_by_rule(net: SmallGraph) -> str:
    """Of an odd number of places, the one more is in front or behind."""
    upper = net.conv("image", 4, kernel=4, auto_pad="SAME_UPPER")
    return net.node("Add", [upper, net.conv("image", 4, kernel=4, auto_pad="SAME_LOWER")])


def rows_beside_each_other(net: SmallGraph) -> str:
    one = net.conv("image", 4, kernel=1, pads=[0] * 4)
    axes, every = net.constant([2], dtype=np.int64), net.constant([1], dtype=np.int64)
    bounds = [[net.constant([v], dtype=np.int64) for v in (a, SIDE - 4 + a)] for a in (0, 4)]
    rows = [net.node("Slice", [one, *pair, axes, every]) for pair in bounds]
    return net.node("Add", rows)


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


def tokens_mixed(net: SmallGraph) -> str:
    """An MLP over places, as MLP-Mixer has."""
    patches = net.conv("image", 4, kernel=8, stride=8, pads=[0] * 4)
    line = net.node("Reshape", [patches, net.constant([0, 4, 36], dtype=np.int64)])
    tokens = net.node("Transpose", [line], perm=[0, 2, 1])
    mixed = net.node("Transpose", [net.node("MatMul", [line, net.weights(36, 36)])], perm=[0, 2, 1])
    back = net.node("Transpose", [net.node("Add", [mixed, tokens])], perm=[0, 2, 1])
    return net.node("Reshape", [back, net.constant([0, 4, 6, 6], dtype=np.int64)])


NETS = [
    plain,
    dilated,
    padded_as_tensorflow_does,
    branches_of_unlike_padding,
    branches_padded_by_rule,
    rows_beside_each_other,
    shortcut_by_slices,
    rows_last,
    apart,
    squeezed,
    tokens_mixed,
]


def seen(data: bytes, name: str) -> int:
    """Rows, or columns, from the first to the last that change one place of a map: the most."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    images = np.ones((2 * SIDE + 1, 3, SIDE, SIDE), np.float32)
    for place in range(SIDE):
        images[place, :, place] += 1
        images[SIDE + place, :, :, place] += 1
    (made,) = session.run([name], {"image": images})
    changed = made[:-1] != made[-1:]
    sizes = []
    for axis, part in ((2, changed[:SIDE]), (3, changed[SIDE:])):
        n_places = made.shape[axis]
        for at in range(n_places // 4, n_places - n_places // 4):
            touched = np.flatnonzero(part.take(at, axis).reshape(SIDE, -1).any(axis=1))
            sizes.append(int(touched[-1] - touched[0] + 1))
    return max(sizes)


@pytest.mark.parametrize("write", NETS, ids=lambda write: write.__name__)
def test_the_field_is_what_disturbed_pixels_show(write: object) -> None:
    net = SmallGraph(SIDE)
    assert callable(write)
    name = write(net)
    data = net.to_bytes(name)
    layer = next(layer for layer in read_layers(data) if layer.name == name)
    assert layer.receptive_field == seen(data, name)
    assert SIDE / layer.width == pytest.approx(layer.stride, rel=0.1)


def test_between_transposed_places_the_field_is_rounded_up() -> None:
    """Neighbours see unlike parts there; one number has to hold for all of them."""
    net = SmallGraph(SIDE)
    name = grown(net)
    data = net.to_bytes(name)
    layer = next(layer for layer in read_layers(data) if layer.name == name)
    assert layer.receptive_field - 1 == seen(data, name) == 5


def test_the_longer_side_is_the_most_that_can_be_seen() -> None:
    net = SmallGraph(8)
    net.relu(net.conv("image", 4, kernel=5), "five")
    net.relu(net.conv("five", 4, kernel=5), "nine")
    found = {layer.name: layer.receptive_field for layer in read_layers(net.to_bytes("nine"))}
    assert (found["five"], found["nine"]) == (5, 8)


def test_a_product_over_all_places_sees_all() -> None:
    net = SmallGraph(8)
    net.node("Flatten", [net.relu(net.conv("image", 4, "conv"), "relu")], "flat")
    net.node("Gemm", ["flat", net.weights(256, 5)], "logits")
    found = {layer.name: layer.receptive_field for layer in read_layers(net.to_bytes("logits"))}
    assert found == {"conv": 3, "relu": 3, "logits": 8}
