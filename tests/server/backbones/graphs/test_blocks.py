"""Networks without thresholds count blocks, and what counts as one."""

import numpy as np

from icecore.server.backbones.graphs.layers import read_layers
from small_graphs import SmallGraph


def blocks(net: SmallGraph, *outputs: str) -> list[str]:
    found = read_layers(net.to_bytes(*outputs))
    assert [layer.depth for layer in found if layer.depth] == [
        depth for depth, _ in enumerate((x for x in found if x.role == "block"), 1)
    ]
    return [layer.name for layer in found if layer.role == "block"]


def test_a_block_without_a_skip_ends_at_its_linear_bottleneck() -> None:
    """EfficientNet: the stem belongs to the first block, the head's activation is the last."""
    net = SmallGraph(32)
    trunk = net.silu(net.conv("image", 8, stride=2))
    for name, stride in (("one", 1), ("two", 2), ("three", 1)):
        wide = net.silu(net.conv(trunk, 16, kernel=1))
        deep = net.squeeze_gate(net.silu(net.conv(wide, 16, stride=stride, group=16)), "", "SiLU")
        made = net.conv(deep, 8, f"{name}.project", kernel=1)
        trunk = net.node("Add", [made, trunk], f"{name}.sum") if name == "three" else made
    net.node("GlobalAveragePool", [net.silu(net.conv(trunk, 32, kernel=1), "head")], "pooled")
    assert blocks(net, "pooled") == ["one.project", "two.project", "three.sum", "head"]


def test_a_sum_that_is_activated_ends_a_block_behind_the_activation() -> None:
    """A ResNet of another activation function, post-activated."""
    net = SmallGraph(16)
    trunk = net.node("LeakyRelu", [net.conv("image", 8)], "stem")
    for index in range(2):
        inside = net.node("LeakyRelu", [net.conv(trunk, 8)])
        total = net.node("Add", [net.conv(inside, 8), trunk], f"sum{index}")
        trunk = net.node("LeakyRelu", [total], f"out{index}")
    net.node("GlobalAveragePool", [trunk], "pooled")
    assert blocks(net, "pooled") == ["out0", "out1"]


def test_a_block_may_end_where_what_is_side_by_side_is_mixed() -> None:
    """MobileViT: the block's own input beside what was made of it, mixed by a convolution."""
    net = SmallGraph(16)
    trunk = net.silu(net.conv("image", 8))
    for name in ("one", "two"):
        down = net.conv(net.silu(net.conv(trunk, 16, kernel=1)), 8, f"{name}.down", kernel=1)
        inside = net.silu(net.conv(net.silu(net.conv(down, 8)), 8))
        beside = net.node("Concat", [down, inside], axis=1)
        normed = net.node("BatchNormalization", [net.conv(beside, 8), *statistics(net, 8)])
        trunk = net.silu(normed, f"{name}.mixed")
    net.node("GlobalAveragePool", [trunk], "pooled")
    assert blocks(net, "pooled") == ["one.down", "one.mixed", "two.down", "two.mixed"]


def test_a_sum_inside_of_a_block_ends_none() -> None:
    """Everything that passes by the sum would be lost at it (Res2Net)."""
    net = SmallGraph(16)
    trunk = net.silu(net.conv("image", 8))
    half = net.silu(net.conv(trunk, 8))
    inner = net.node("Add", [net.silu(net.conv(half, 8)), half], "inner")
    net.node("Add", [net.conv(inner, 8), trunk], "outer")
    net.node("GlobalAveragePool", ["outer"], "pooled")
    assert blocks(net, "pooled") == ["outer"]


def test_linear_stems_and_downsamplings_end_no_block() -> None:
    """ConvNeXt: patches and a norm, and between stages a norm and a convolution."""
    net = SmallGraph(32)
    trunk = net.node("BatchNormalization", [net.conv("image", 8), *statistics(net, 8)])
    for name in ("one", "two"):
        inside = net.node("Tanh", [net.conv(net.conv(trunk, 8, group=8), 16, kernel=1)])
        trunk = net.node("Add", [trunk, net.conv(inside, 8, kernel=1)], name)
        trunk = net.node("BatchNormalization", [trunk, *statistics(net, 8)], f"{name}.norm")
        trunk = net.conv(trunk, 8, f"{name}.down", kernel=2, stride=2, pads=[0] * 4)
    net.node("GlobalAveragePool", [trunk], "pooled")
    assert blocks(net, "pooled") == ["one", "two"]


def statistics(net: SmallGraph, channels: int) -> list[str]:
    return [net.constant(np.ones(channels)) for _ in range(4)]


def test_a_plain_network_is_ranked_by_its_activation_functions() -> None:
    net = SmallGraph(16)
    one = net.node("PRelu", [net.conv("image", 8), net.constant(0.1)], "one")
    two = net.node("Tanh", [net.conv(one, 8)], "two")
    net.node("GlobalAveragePool", [two], "pooled")
    assert blocks(net, "pooled") == ["one", "two"]


def test_one_threshold_and_blocks_no_longer_count() -> None:
    net = SmallGraph(16)
    trunk = net.relu(net.conv("image", 8), "relu")
    net.node("Add", [net.silu(net.conv(trunk, 8)), trunk], "sum")
    found = read_layers(net.to_bytes("sum"))
    assert [layer.name for layer in found if layer.depth] == ["relu"]
    assert not any(layer.role == "block" for layer in found)
