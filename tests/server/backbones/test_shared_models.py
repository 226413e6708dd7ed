"""Networks of others, with real weights: their layers to the last figure, and cuts to the bit."""

import lzma
from functools import cache
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.backbones.running.cutting import cut
from icecore.wire.taps import Pooling, PoolingKind


class Facts(NamedTuple):
    """What is known of a file: counts, and the first and last threshold."""

    side: int
    n_layers: int
    n_depths: int
    params: int
    macs: int
    first: str
    last: str
    logits: str


FACTS = {
    "alexnet-pool5.onnx": Facts(227, 16, 5, 2_334_080, 665_784_864, "relu1", "relu5", ""),
    "mobilenetv2.onnx": Facts(
        *(224, 100, 35, 3_487_816, 300_774_272),
        *("op1_conv_2d_relu6", "op62_conv_2d_relu6", "logits"),
    ),
    "resnet50.onnx.xz": Facts(
        *(224, 122, 49, 25_530_472, 3_857_973_248, "relu1", "layer4.2.out", "logits"),
    ),
    "resnet56-cifar10.onnx": Facts(
        *(32, 195, 55, 853_018, 125_485_696, "relu1", "layer3.8.out", "logits")
    ),
    "squeezenet1.1.onnx": Facts(
        *(224, 65, 26, 1_235_496, 349_151_936, "conv0_relu", "conv25_relu", "logits")
    ),
}

# Receptive fields published for these networks (AlexNet's 195) or worked out by hand, and strides.
# Of this ResNet-50 the first 1 x 1 of a stage has the stride, so that layer2.3.out sees 99 pixels;
# it is 91 in torchvision's, where the 3 x 3 has it.
SEEN = {
    "alexnet-pool5.onnx": {
        "relu1": (11, 4),
        "pool1": (19, 8),
        "relu2": (51, 8),
        "pool2": (67, 16),
        "relu3": (99, 16),
        "relu4": (131, 16),
        "relu5": (163, 16),
        "pool5": (195, 32),
    },
    "squeezenet1.1.onnx": {"conv0_relu": (3, 2), "pool1": (7, 4)},
    "resnet56-cifar10.onnx": {"relu1": (3, 1), "layer1.0.out": (7, 1), "layer1.1.out": (11, 1)},
    "mobilenetv2.onnx": {"op1_conv_2d_relu6": (3, 2), "op10_add": (19, 4)},
    "resnet50.onnx.xz": {"relu1": (7, 2), "layer1.2.out": (35, 4), "layer2.3.out": (99, 8)},
}


@cache
def read(path: Path) -> bytes:
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


@pytest.fixture(params=list(FACTS))
def network(request: pytest.FixtureRequest, shared: Path) -> tuple[str, Backbone]:
    name = str(request.param)
    side = FACTS[name].side
    recipe = Recipe(height=side, width=side, resize=side)
    return name, Backbone.read(name, read(shared / "models" / name), recipe)


def test_layers_are_read(network: tuple[str, Backbone]) -> None:
    name, backbone = network
    facts = FACTS[name]
    assert len(backbone.layers) == facts.n_layers
    assert len(backbone.ranked) == facts.n_depths
    assert (backbone.layer("1").name, backbone.layer("-1").name) == (facts.first, facts.last)
    assert all(layer.thresholded for layer in backbone.ranked)
    assert max(layer.params for layer in backbone.layers) == facts.params
    assert max(layer.macs for layer in backbone.layers) == facts.macs
    logits = [layer.name for layer in backbone.layers if layer.role == "logits"]
    assert logits == [facts.logits] * bool(facts.logits)
    for layer in backbone.layers:
        assert 1 <= layer.stride <= facts.side
        if layer.height > 1:
            # Valid padding and pools that round up lose or win some rows.
            assert abs(layer.height * layer.stride - facts.side) <= 2.1 * layer.stride, layer


def test_the_outputs_that_the_networks_authors_named_are_layers(
    network: tuple[str, Backbone],
) -> None:
    _, backbone = network
    model = onnx.load_model_from_string(backbone.graph)
    names = {layer.name for layer in backbone.layers}
    assert {value.name for value in model.graph.output} <= names


def test_what_a_layer_sees_is_what_its_windows_add_up_to(network: tuple[str, Backbone]) -> None:
    """By a recursion over windows alone, the widest path counting, as these networks' do allow."""
    name, backbone = network
    for layer, (field, stride) in SEEN[name].items():
        found = backbone.layer(layer)
        assert (found.receptive_field, found.stride) == (field, stride), layer
    model = onnx.load_model_from_string(backbone.graph)
    seen = {model.graph.input[0].name: (1, 1)}
    for node in model.graph.node:
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        before = [seen[one] for one in node.input if one in seen]
        if not before:
            continue
        field, step = max(before)
        kernel = given.get("kernel_shape", [1])[0]
        every = given.get("strides", [1])[0]
        if node.op_type == "Slice":
            every = 2  # option A of ResNet-56: every second place
        seen[node.output[0]] = (field + (kernel - 1) * step, step * every)
    side = FACTS[name].side
    for layer_ in backbone.layers:
        if layer_.height > 1:
            assert layer_.receptive_field == min(side, seen[layer_.name][0]), layer_.name
            assert layer_.stride == seen[layer_.name][1], layer_.name
        elif layer_.op != "Flatten" or seen[layer_.name][0] > side:
            assert layer_.receptive_field == side


def test_costs_are_those_counted_at_a_run(network: tuple[str, Backbone]) -> None:
    """Of each layer: the weights of all it needs, times the places that ONNX Runtime makes."""
    _, backbone = network
    model = onnx.load_model_from_string(backbone.graph)
    sizes = {t.name: tuple(t.dims) for t in model.graph.initializer}
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    convolutions = [n for n in model.graph.node if n.op_type == "Conv"]
    made = run(backbone, [node.output[0] for node in convolutions])
    places = {n.output[0]: prod(m.shape[2:]) for n, m in zip(convolutions, made, strict=True)}
    needs: dict[str, frozenset[str]] = {}
    for node in model.graph.node:
        needs[node.output[0]] = frozenset([node.output[0]]).union(
            *(needs.get(one, frozenset()) for one in node.input)
        )
    nodes = {node.output[0]: node for node in model.graph.node}
    for layer in backbone.layers:
        weights: set[str] = set()
        macs = 0
        for name in needs[layer.name]:
            node = nodes[name]
            read_ = node.input[:3] if node.op_type == "BatchNormalization" else node.input
            weights.update(one for one in read_ if kinds.get(one) == TensorProto.FLOAT)
            if node.op_type in ("Conv", "Gemm", "MatMul"):
                macs += prod(sizes[node.input[1]]) * places.get(name, 1)
        assert layer.macs == macs, layer.name
        assert layer.params == sum(n for n in (prod(sizes[w]) for w in weights) if n > 1)


def test_a_cut_gives_the_whole_graphs_maps(network: tuple[str, Backbone]) -> None:
    name, backbone = network
    layers = [backbone.layer("1"), backbone.ranked[len(backbone.ranked) // 2]]
    whole = run(backbone, [layer.name for layer in layers])
    for layer, map_ in zip(layers, whole, strict=True):
        tap = backbone.tap(layer, pooling=Pooling(PoolingKind.NONE))
        (made,) = run_graph(cut(backbone.graph, [tap]), inputs(backbone))
        assert made.shape == (1, layer.channels, layer.height, layer.width)
        assert np.array_equal(made, map_), f"{layer.name!r} of {name} differs when cut"


def inputs(backbone: Backbone) -> np.ndarray:
    random = np.random.default_rng(5)
    return random.normal(size=(1, *backbone.recipe.shape)).astype(np.float32)


def run(backbone: Backbone, tensors: list[str]) -> list[np.ndarray]:
    """The values of these tensors, from the whole graph."""
    model = onnx.load_model_from_string(backbone.graph)
    del model.graph.output[:]
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in tensors
    )
    return run_graph(model.SerializeToString(), inputs(backbone))


def run_graph(graph: bytes, images: np.ndarray) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    made: list[np.ndarray] = session.run(None, {session.get_inputs()[0].name: images})
    return made
