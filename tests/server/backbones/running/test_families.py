"""Networks of the usual families give, cut anywhere and pooled, what the whole file gives.

The reference is plain ONNX Runtime on the file in house form with every layer
as an output, and numpy in float64 on what comes out.
"""

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from icecore.server.backbones.admission.house_form.house import bring_home
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.graphs.graph import Graph
from icecore.server.backbones.graphs.layers import Layer
from icecore.server.backbones.graphs.layouts import Layout
from icecore.server.backbones.graphs.sources import source_of
from icecore.server.backbones.recipes.recipe import Recipe
from icecore.server.backbones.running.cutting import cut
from icecore.server.backbones.running.int8_kernels import suited
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.errors import PoolingInvalid
from icecore.wire.taps import AVG, Activation, Pooling, PoolingKind
from networks import network

Array = npt.NDArray[np.float32]
Exact = npt.NDArray[np.float64]

WHOLE_MAP, MAX, CLS = (
    Pooling(kind) for kind in (PoolingKind.NONE, PoolingKind.MAX, PoolingKind.CLS)
)
FAMILIES = ["alexnet", "convnext", "deit", "densenet", "mobilenetv3", "resnet_nhwc"]
FAMILIES += ["resnet18-int8", "shufflenetv2", "vit_registers"]


@pytest.fixture(scope="module", params=FAMILIES)
def backbone(request: pytest.FixtureRequest) -> Backbone:
    graph = bring_home(network(str(request.param)), None).graph
    found = Graph(graph)
    recipe = Recipe(height=found.height, width=found.width, resize=found.height)
    return Backbone.read(str(request.param), graph, recipe)


def images(backbone: Backbone, n: int) -> Array:
    random = np.random.default_rng(7)
    return random.normal(size=(n, *backbone.recipe.shape)).astype(np.float32)


def tensors(backbone: Backbone, names: list[str], inputs: Array) -> dict[str, Array]:
    """Values of any tensors, image by image, of the whole graph."""
    model = onnx.load_model_from_string(backbone.graph)
    there = {value.name for value in model.graph.output}
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        for name in dict.fromkeys(names)
        if name not in there
    )
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0].name
    runs = [session.run(names, {feed: inputs[i : i + 1]}) for i in range(len(inputs))]
    return {
        name: np.concatenate(values)
        for name, values in zip(names, zip(*runs, strict=True), strict=True)
    }


def as_map(values: Array, layer: Layer) -> Array:
    """(n, c, h, w), without the tokens in front."""
    match layer.layout:
        case Layout.VECTOR:
            return values[:, :, None, None]
        case Layout.ROWS:
            return values.transpose(0, 3, 1, 2)
        case Layout.TOKENS:
            patches = values[:, layer.prefix_tokens :]
            rows = patches.reshape(len(values), layer.height, layer.width, layer.channels)
            return rows.transpose(0, 3, 1, 2)
        case Layout.MAP:
            return values


def close(made: Array, expected: npt.NDArray[np.floating], to: float = 1e-5) -> bool:
    return bool(np.abs(made - expected).max() <= to * max(float(np.abs(expected).max()), 1e-3))


def test_codes_of_every_layer_are_those_of_the_whole_file(backbone: Backbone) -> None:
    """All layers in one pass, to 1e-5 of the largest."""
    inputs = images(backbone, 2)
    graph = Graph(backbone.graph)
    read = {layer: source_of(graph, layer, Activation.AS_TRAINED) for layer in backbone.layers}
    whole = tensors(backbone, list(dict.fromkeys(read.values())), inputs)
    for pooling in (AVG, MAX, WHOLE_MAP):
        taps = [backbone.tap(layer, pooling=pooling) for layer in backbone.layers]
        made = Sessions(max_bytes=0, threads=1).run(backbone, taps, inputs)
        for layer, codes in zip(backbone.layers, made, strict=True):
            map_ = as_map(whole[read[layer]], layer)
            expected: npt.NDArray[np.floating] = map_
            if pooling != WHOLE_MAP:
                axes = (2, 3)
                exact = map_.astype(np.float64)
                expected = exact.mean(axes) if pooling == AVG else exact.max(axes)
            assert codes.shape == expected.shape
            assert close(codes, expected), f"{pooling} of {layer}"


def test_class_tokens_are_there_where_there_are_prefix_tokens(backbone: Backbone) -> None:
    inputs = images(backbone, 2)
    tokens = [layer for layer in backbone.layers if layer.prefix_tokens]
    if tokens:
        made = Sessions(max_bytes=0, threads=1).run(
            backbone, [backbone.tap(layer, pooling=CLS) for layer in tokens], inputs
        )
        whole = tensors(backbone, [layer.name for layer in tokens], inputs)
        for layer, codes in zip(tokens, made, strict=True):
            assert close(codes, whole[layer.name][:, 0]), layer.name
    for layer in backbone.layers:
        if not layer.prefix_tokens:
            with pytest.raises(PoolingInvalid, match=r"has no class token"):
                backbone.tap(layer, pooling=CLS)


def test_a_tap_alone_is_the_tap_in_the_core_to_the_bit(backbone: Backbone) -> None:
    inputs = images(backbone, 2)
    sessions = Sessions(max_bytes=1 << 30, threads=1)
    core = sessions.run(backbone, backbone.core, inputs)
    for tap, codes in zip(backbone.core, core, strict=True):
        (alone,) = sessions.run(backbone, [tap], inputs)
        assert np.array_equal(alone, codes), str(tap)


def test_sessions_change_no_bit_of_what_a_cut_gives(backbone: Backbone) -> None:
    """Neither laying out weights beforehand, nor sharing them, nor their order.

    Means of int8 maps are added up otherwise before all of that (test_int8_kernels.py).
    """
    inputs = images(backbone, 1)
    taps = [*backbone.core, *(backbone.tap(layer, pooling=MAX) for layer in backbone.ranked)]
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    plain = ort.InferenceSession(
        suited(cut(backbone.graph, taps)), options, providers=["CPUExecutionProvider"]
    )
    expected = plain.run(None, {plain.get_inputs()[0].name: inputs})
    made = Sessions(max_bytes=0, threads=1).run(backbone, taps, inputs)
    assert all(np.array_equal(a, b) for a, b in zip(made, expected, strict=True))
