"""int8 graphs rewritten for the processor say the same to the bit."""

from collections import Counter

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from icecore.server.backbones.admission.house_form.house import bring_home
from icecore.server.backbones.graphs.layers import read_layers
from icecore.server.backbones.graphs.layouts import Layout
from icecore.server.backbones.quantising.quantise import quantise
from icecore.server.backbones.running import int8_kernels, processor
from icecore.server.backbones.running.cutting import cut
from icecore.server.backbones.running.int8_kernels import suited
from icecore.wire.taps import Pooling, PoolingKind, TapId
from networks import FACTS, network
from toys import toy_graph

Array = npt.NDArray[np.float32]


def run(graph: bytes, inputs: Array) -> list[Array]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    codes: list[Array] = session.run(None, {session.get_inputs()[0].name: inputs})
    return codes


def weights(graph: bytes) -> dict[str, npt.NDArray[np.int8]]:
    """int8 weights of convolutions by name."""
    tensors = onnx.ModelProto.FromString(graph).graph.initializer
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in tensors}
    return {name: value for name, value in arrays.items() if value.ndim == 4}


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2", "squeezenet1_1", "densenet"])
@pytest.mark.parametrize("has_tiles", [True, False])
def test_codes_are_the_same_to_the_bit(
    name: str, has_tiles: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(int8_kernels, "has_int8_tiles", lambda: has_tiles)
    monkeypatch.setattr(int8_kernels, "TILED_PRODUCTS", 32)  # these networks are narrow
    monkeypatch.setattr(int8_kernels, "add_up_integers", lambda _: None)
    size = FACTS[name].size
    inputs = np.random.default_rng(0).normal(size=(8, 3, size, size)).astype(np.float32)
    int8 = quantise(bring_home(network(name), (size, size)).graph, [inputs])
    changed = suited(int8)
    before, after = weights(int8), weights(changed)
    n_shifted = sum(
        after[name].shape == value.shape and bool((after[name] == value - 1).all())
        for name, value in before.items()
    )
    assert (n_shifted > 3) == has_tiles
    assert sum(value.shape[1] == 4 for value in after.values()) > sum(
        value.shape[1] == 4 for value in before.values()
    ), "the image has no fourth channel"
    np.testing.assert_array_equal(run(changed, inputs)[0], run(int8, inputs)[0])


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv2", "efficientnet", "resnet18-int8"])
def test_means_are_of_the_dequantised_maps(name: str) -> None:
    """Against float64 means of whole maps: thresholded, signed, and made by other quantisers."""
    size = FACTS[name].size
    inputs = np.random.default_rng(0).normal(size=(8, 3, size, size)).astype(np.float32)
    int8 = bring_home(network(name), (size, size)).graph
    if FACTS[name].form != "int8":
        int8 = quantise(int8, [inputs])
    layers = [layer for layer in read_layers(int8) if layer.layout is Layout.MAP]
    averages = suited(cut(int8, [TapId("0" * 64, layer.name) for layer in layers]))
    whole = Pooling(PoolingKind.NONE)
    maps = cut(int8, [TapId("0" * 64, layer.name, pooling=whole) for layer in layers])
    ops = Counter(node.op_type for node in onnx.ModelProto.FromString(averages).graph.node)
    assert ops["MatMulInteger"] > 5
    for layer, mean, values in zip(layers, run(averages, inputs), run(maps, inputs), strict=True):
        exact = values.astype(np.float64).mean(axis=(2, 3))
        # A layer without a quantised tensor of its own is averaged in float32, as before.
        np.testing.assert_allclose(
            mean, exact, rtol=1e-5, atol=1e-6 * np.abs(values).max(), err_msg=layer.name
        )


def test_float_graphs_come_back_as_they_are() -> None:
    graph = toy_graph()
    assert suited(graph) is graph


def test_a_processor_without_vnni_is_told_not_to_saturate(monkeypatch: pytest.MonkeyPatch) -> None:
    for flags, name, expected in (
        ({"avx2", "avx512_vnni"}, "x86_64", False),
        ({"avx2", "avx_vnni"}, "AMD64", False),
        ({"avx2"}, "x86_64", True),
        (set(), "aarch64", False),
    ):
        monkeypatch.setattr(processor, "_flags", lambda flags=flags: frozenset(flags))
        monkeypatch.setattr(processor, "machine", lambda name=name: name)
        assert processor.saturates() == expected
