"""Networks of others are read: their layers, their thresholds, and cuts to the bit."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.backbones.running.cutting import cut
from icecore.wire.taps import Pooling, PoolingKind

# file: side, thresholds, parameters, multiply-accumulates, first and last threshold, a layer.
FACTS = {
    "alexnet-pool5.onnx": (227, 5, 2_334_080, 665_784_864, "relu1", "relu5", "pool5"),
    "mobilenetv2.onnx": (
        224,
        35,
        3_487_816,
        300_774_272,
        "op1_conv_2d_relu6",
        "op62_conv_2d_relu6",
        "op10_add",
    ),
    "resnet56-cifar10.onnx": (32, 55, 853_018, 125_485_696, "relu1", "layer3.8.out", "features"),
    "squeezenet1.1.onnx": (224, 26, 1_235_496, 349_151_936, "conv0_relu", "conv25_relu", "pool5"),
}


@pytest.fixture(params=list(FACTS))
def network(request: pytest.FixtureRequest, shared: Path) -> tuple[str, Backbone]:
    name = str(request.param)
    data = (shared / "models" / name).read_bytes()
    side = FACTS[name][0]
    return name, Backbone.read(name, data, Recipe(height=side, width=side, resize=side))


def test_layers_are_read(network: tuple[str, Backbone]) -> None:
    name, backbone = network
    side, n_thresholds, params, macs, first, last, other = FACTS[name]
    assert len(backbone.ranked) == n_thresholds
    assert (backbone.layer("1").name, backbone.layer("-1").name) == (first, last)
    assert backbone.layer(other).depth is None
    assert max(layer.params for layer in backbone.layers) == params
    assert max(layer.macs for layer in backbone.layers) == macs
    for layer in backbone.layers:
        assert 1 <= layer.stride <= side
        if layer.height > 1:
            # Valid padding and pools that round up lose or win some rows.
            assert abs(layer.height * layer.stride - side) <= 2.1 * layer.stride, layer


def test_a_cut_gives_the_whole_graphs_maps(network: tuple[str, Backbone]) -> None:
    name, backbone = network
    layers = [backbone.layer("1"), backbone.ranked[len(backbone.ranked) // 2]]
    random = np.random.default_rng(5)
    inputs = random.normal(size=(1, *backbone.recipe.shape)).astype(np.float32)
    model = onnx.load_model_from_string(backbone.graph)
    n_outputs = len(model.graph.output)
    model.graph.output.extend(
        helper.make_tensor_value_info(layer.name, TensorProto.FLOAT, [None] * 4) for layer in layers
    )
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    feed = {model.graph.input[0].name: inputs}

    def run(graph: bytes) -> list[np.ndarray]:
        session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        made: list[np.ndarray] = session.run(None, feed)
        return made

    whole = run(model.SerializeToString())[n_outputs:]
    for layer, map_ in zip(layers, whole, strict=True):
        tap = backbone.tap(layer, pooling=Pooling(PoolingKind.NONE))
        (made,) = run(cut(backbone.graph, [tap]))
        assert made.shape == (1, layer.channels, layer.height, layer.width)
        assert np.array_equal(made, map_), f"{layer.name!r} of {name} differs when cut"
