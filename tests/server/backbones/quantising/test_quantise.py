"""An int8 graph: the same layers under the same names, nearly the same codes, int8 kernels."""

import tempfile
from collections import Counter
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from PIL import Image

from icecore.server.backbones.admission.house_form.house import bring_home
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.graphs.graph import Graph
from icecore.server.backbones.graphs.layers import layers_of
from icecore.server.backbones.quantising import calibrating
from icecore.server.backbones.quantising.quantise import quantise
from icecore.server.backbones.running.cutting import cut
from icecore.server.errors import BackboneNotFloat, CalibrationInvalid, GraphInvalid
from icecore.wire.taps import TapId
from networks import FACTS, network
from small_graphs import SmallGraph
from toys import toy_graph

Array = npt.NDArray[np.float32]

SEED = 20240805

FAMILIES = [
    *("resnet18", "mobilenetv2", "densenet", "vgg11_bn", "shufflenetv2", "caffenet"),
    *("efficientnet", "mobilenetv3", "regnet_y", "resnet_nhwc", "convnext", "vit"),
]
"""Batch norms folded and not, before and behind convolutions, sums, gates, splits, LRN, tokens."""


def images(n: int, height: int, width: int) -> Array:
    """Smooth noise with a mean and a contrast of its own, as photos have."""
    random = np.random.default_rng(SEED)
    coarse = random.normal(size=(n, 3, 4, 4)).repeat(height // 4, 2).repeat(width // 4, 3)
    made = coarse + 0.3 * random.normal(size=coarse.shape) + random.normal(size=(n, 3, 1, 1))
    return np.asarray(made, np.float32)


@lru_cache
def family(name: str) -> tuple[bytes, bytes, Array]:
    """The float32 graph in house form, its int8 one, and the images it was calibrated on."""
    size = FACTS[name].size
    plain = bring_home(network(name), (size, size)).graph
    inputs = images(16, size, size)
    return plain, quantise(plain, [inputs]), inputs


def run(graph: bytes, inputs: Array, **config: str) -> list[Array]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    for key, value in config.items():
        options.add_session_config_entry(key.replace("__", "."), value)
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    image = session.get_inputs()[0]
    step = image.shape[0] if isinstance(image.shape[0], int) else len(inputs)
    parts = [
        session.run(None, {image.name: inputs[i : i + step]}) for i in range(0, len(inputs), step)
    ]
    return [np.concatenate(codes) for codes in zip(*parts, strict=True)]


def optimised(graph: bytes) -> Counter[str]:
    """Operators as ONNX Runtime runs them."""
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.optimized_model_filepath = str(Path(folder) / "graph.onnx")
        ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        model = onnx.load_model(options.optimized_model_filepath)
    return Counter(node.op_type for node in model.graph.node)


def cosines(one: Array, other: Array) -> npt.NDArray[np.float64]:
    a, b = (each.reshape(len(each), -1).astype(np.float64) for each in (one, other))
    return np.asarray((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))


@pytest.mark.parametrize("name", FAMILIES)
def test_layers_are_the_same_under_the_same_names(name: str) -> None:
    plain, int8, _ = family(name)
    before, after = layers_of(Graph(plain)), layers_of(Graph(int8))
    assert [(one.name, one.depth, one.thresholded) for one in after] == [
        (one.name, one.depth, one.thresholded) for one in before
    ]
    assert [(one.channels, one.height, one.width, one.role) for one in after] == [
        (one.channels, one.height, one.width, one.role) for one in before
    ]


@pytest.mark.parametrize(("gain", "bias"), [(0.0, 0.0), (0.0, 2.0), (0.01, 5.0)])
def test_what_happens_to_be_positive_is_no_threshold(gain: float, bias: float) -> None:
    """Residual branches that start at zero; sums and products that no image brought below it."""
    net = SmallGraph(16)
    trunk = net.relu(net.conv("image", 8))
    branch = net.relu(net.conv(trunk, 8))
    weight = net.constant(gain * np.random.default_rng(1).normal(size=(8, 8, 1, 1)))
    branch = net.node("Conv", [branch, weight, net.constant(np.full(8, bias))], "linear")
    trunk = net.relu(net.node("Add", [branch, trunk], "sum"))
    net.node("Add", [net.conv(trunk, 8), trunk], "end")
    plain = net.to_bytes("end")
    before, after = layers_of(Graph(plain)), layers_of(Graph(quantise(plain, [images(8, 16, 16)])))
    assert [(x.name, x.depth) for x in before] == [(x.name, x.depth) for x in after]
    assert {x.name: x.thresholded for x in before} == {x.name: x.thresholded for x in after}
    assert not {x.name: x.thresholded for x in after}["linear"]


@pytest.mark.parametrize("name", FAMILIES)
def test_codes_at_every_layer_are_nearly_the_float_ones(name: str) -> None:
    """Random weights of few channels; real networks come closer (see bench/int8.py).

    MobileNetV3's gates multiply what rounding did to both sides.
    """
    plain, int8, inputs = family(name)
    taps = [TapId("0" * 64, layer.name) for layer in layers_of(Graph(plain))]
    before, after = (run(cut(graph, taps), inputs) for graph in (plain, int8))
    for tap, one, other in zip(taps, before, after, strict=True):
        found = cosines(one, other).mean()
        assert found > (0.93 if name == "mobilenetv3" else 0.98), f"{tap.layer}: {found:.4f}"


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2", "densenet", "shufflenetv2"])
def test_no_product_is_left_in_float32(name: str) -> None:
    found = optimised(family(name)[1])
    left = {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "Add", "Concat", "MaxPool"}
    assert not left & found.keys(), found
    assert found["QLinearConv"] >= 12
    assert found["QuantizeLinear"] + found["DequantizeLinear"] <= 4, found


def test_it_is_in_house_form_already() -> None:
    for name in ("resnet18", "vit"):
        assert bring_home(family(name)[1]).changes == ()


def test_int8_kernels_agree_with_the_reference_evaluator() -> None:
    """Which computes each operator in float32; a value may fall to the other side of a step."""
    inputs = images(8, 8, 8)
    int8 = quantise(toy_graph(), [inputs])
    for layer in ("one", "two", "three"):
        part = cut(int8, [TapId("0" * 64, layer)])
        newer = onnx.ModelProto.FromString(part)
        newer.opset_import[0].version = 21  # the evaluator knows no older DequantizeLinear
        expected = np.asarray(ReferenceEvaluator(newer).run(None, {"image": inputs}))[0]
        found = run(part, inputs)[0]
        scale = constants(int8)[f"{layer}.scale"].item()
        np.testing.assert_allclose(found, expected, atol=1.01 * scale)
        assert np.abs(found - expected).mean() < 0.05 * scale


def constants(graph: bytes) -> dict[str, npt.NDArray[np.float64]]:
    tensors = onnx.ModelProto.FromString(graph).graph.initializer
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in tensors}


def test_weights_are_int8_with_a_scale_a_channel() -> None:
    int8 = constants(quantise(toy_graph(), [images(8, 8, 8)]))
    plain = constants(toy_graph())
    whole = {name: value for name, value in int8.items() if value.dtype == np.int8}
    big = {name: value for name, value in whole.items() if value.ndim > 1}
    assert sorted(value.shape for value in big.values()) == sorted(
        value.shape for value in plain.values() if value.ndim > 1
    )
    scales = int8["two.conv.weight.scales"].reshape(-1, 1, 1, 1)
    assert scales.size == 6
    made = int8["two.conv.weight.integers"] * scales
    np.testing.assert_allclose(made, plain["two.weight"], atol=0.501 * scales.max())


def test_the_same_images_give_the_same_bytes() -> None:
    inputs = images(12, 8, 8)
    assert quantise(toy_graph(), [inputs]) == quantise(toy_graph(), [inputs])


def test_batches_change_no_range(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = images(12, 8, 8)
    whole = constants(quantise(toy_graph(), [inputs]))
    monkeypatch.setattr(calibrating, "MAX_BYTES", 1)  # one by one
    parts = constants(quantise(toy_graph(), iter([inputs[5:], inputs[:5]])))
    for name in whole:
        if name.endswith((".scale", ".zero_point")):
            np.testing.assert_array_equal(parts[name], whole[name], err_msg=name)


def test_a_lower_percentile_gives_finer_steps() -> None:
    inputs = images(12, 8, 8)
    fine, coarse = (
        constants(quantise(toy_graph(), [inputs], percentile=p))["three.scale"]
        for p in (95.0, 100.0)
    )
    assert fine < coarse


def test_a_tensor_keeps_its_name_where_ours_are_taken() -> None:
    model = onnx.ModelProto.FromString(toy_graph())
    for node in model.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = "two.uint8" if name == "one" else name
    model.graph.output.append(
        helper.make_tensor_value_info("three", TensorProto.FLOAT, ["N", 6, 4, 4])
    )
    inputs = images(8, 8, 8)
    int8 = quantise(model.SerializeToString(), [inputs])
    onnx.checker.check_model(int8)
    logits, three = run(int8, inputs)
    expected = run(model.SerializeToString(), inputs)
    assert cosines(three, expected[1]).min() > 0.99
    assert cosines(logits, expected[0]).min() > 0.99


def test_a_quantised_graph_is_refused() -> None:
    inputs = images(8, 8, 8)
    with pytest.raises(BackboneNotFloat, match="already"):
        quantise(quantise(toy_graph(), [inputs]), [inputs])


def test_images_that_tell_nothing_are_refused() -> None:
    with pytest.raises(CalibrationInvalid, match="there are 7 calibration images"):
        quantise(toy_graph(), [images(7, 8, 8)])
    broken = images(8, 8, 8)
    broken[3] = 3e38
    with pytest.raises(CalibrationInvalid, match="not finite"):
        quantise(toy_graph(), [broken])
    for percentile in (0.0, 89.9, 100.1, float("nan")):
        with pytest.raises(CalibrationInvalid, match="percentile"):
            quantise(toy_graph(), [images(8, 8, 8)], percentile=percentile)


def test_a_graph_without_products_is_refused() -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["image"], ["out"], name="out")],
        "relu",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 3, 8, 8])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    with pytest.raises(GraphInvalid, match="can be quantised"):
        quantise(model.SerializeToString(), [images(8, 8, 8)])


def test_lite0_keeps_its_codes_on_photos(lite0: Backbone, shared: Path) -> None:
    files = sorted((shared / "datasets/hymenoptera").glob("*/*.jpg"))[::8]
    photos = np.stack([lite0.recipe.apply(Image.open(f).convert("RGB")) for f in files])
    int8 = quantise(lite0.graph, [photos[:12]])
    assert len(int8) < 0.3 * len(lite0.graph)
    taps = [TapId("0" * 64, layer.name) for layer in lite0.ranked]
    before, after = (run(cut(graph, taps), photos[-4:]) for graph in (lite0.graph, int8))
    found = [cosines(one, other).mean() for one, other in zip(before, after, strict=True)]
    assert min(found) > 0.985, dict(zip(taps, found, strict=True))
    assert np.mean(found) > 0.998
