"""A loaded cut runs as ONNX Runtime would run it, each head right after its map."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest

from icecore.server.backbones.admission.house_form.house import bring_home
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.graphs.layers import read_layers
from icecore.server.backbones.running import loaded
from icecore.server.backbones.running.cutting import cut
from icecore.server.backbones.running.loaded import Loaded
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.backbones.running.shared_weights import SharedWeights
from icecore.wire.taps import TapId
from networks import network
from toys import toy_backbone, toy_graph, toy_recipe

Array = npt.NDArray[np.float32]


def images(side: int, n: int) -> Array:
    return np.random.default_rng(2).normal(size=(n, 3, side, side)).astype(np.float32)


def operators_run(profile: str) -> list[str]:
    """Names of the operators of the last run, in the order in which they ran."""
    events = json.loads(Path(profile).read_text())
    runs = [event for event in events if event["name"] == "model_run"]
    first = max(event["ts"] for event in runs)
    kernels = [e for e in events if e["name"].endswith("_kernel_time") and e["ts"] >= first]
    return [e["args"]["op_name"] for e in sorted(kernels, key=lambda e: float(e["ts"]))]


@pytest.fixture
def profiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Sessions made from now on write down what they run."""
    real = loaded._options

    def options(threads: int) -> ort.SessionOptions:
        made = real(threads)
        made.enable_profiling = True
        made.profile_file_prefix = str(tmp_path / "run")
        return made

    monkeypatch.setattr(loaded, "_options", options)


def test_each_map_is_pooled_before_the_next_but_one_is_made(
    lite0: Backbone, profiled: None
) -> None:
    """Else all maps of a core lie in memory at once, and it costs 22 % over a plain pass."""
    session = Loaded(cut(lite0.graph, lite0.core), threads=1, weights=SharedWeights())
    session.run(images(224, 1))
    ran = operators_run(session._session.end_profiling())
    n_made = n_pooled = ahead = 0
    for operator in ran:
        n_made += operator == "Conv"
        n_pooled += operator == "GlobalAveragePool"
        # 49 convolutions make 33 layers: between two of them there is one other at most.
        ahead = max(ahead, n_made - n_pooled * 49 // 33)
    assert (n_made, n_pooled) == (49, 33)
    assert ahead <= 4, ran


def test_a_cut_alone_runs_in_that_order_too(lite0: Backbone, tmp_path: Path) -> None:
    """In plain ONNX Runtime, and whatever order the taps were given in."""
    options = ort.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(tmp_path / "run")
    for taps in (lite0.core, lite0.core[::-1]):
        session = ort.InferenceSession(
            cut(lite0.graph, taps), options, providers=["CPUExecutionProvider"]
        )
        session.run(None, {session.get_inputs()[0].name: images(224, 1)})
        ran = operators_run(session.end_profiling())
        convolutions = [i for i, operator in enumerate(ran) if operator == "Conv"]
        pooled = [i for i, operator in enumerate(ran) if operator == "GlobalAveragePool"]
        assert sum(i < convolutions[-1] for i in pooled) >= 31, ran


def test_a_network_of_one_image_a_pass_runs_image_by_image() -> None:
    """A batch fixed at 1 gives what an open one does."""
    model = onnx.load_model_from_string(toy_graph())
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    one = Backbone.read("one", model.SerializeToString(), toy_recipe())
    many = toy_backbone()
    sessions = Sessions(max_bytes=1 << 30, threads=1)
    inputs = images(8, 3)
    expected = sessions.run(many, many.core, inputs)
    made = sessions.run(one, one.core, inputs)
    for a, b in zip(made, expected, strict=True):
        assert a.shape == b.shape
        assert np.allclose(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["resnet18-int8", "mobilenetv2-int8"])
def test_cuts_of_int8_graphs_keep_their_int8_kernels(name: str, profiled: None) -> None:
    graph = bring_home(network(name)).graph
    ranked = [layer for layer in read_layers(graph) if layer.depth]
    whole = onnx.load_model_from_string(graph)
    side = whole.graph.input[0].type.tensor_type.shape.dim[2].dim_value
    taps = [TapId(digest="0" * 64, layer=layer.name) for layer in ranked]
    for some in ([taps[0]], [taps[-1]], taps):
        session = Loaded(cut(graph, some), threads=1, weights=SharedWeights())
        session.run(images(side, 1))
        ran = operators_run(session._session.end_profiling())
        assert "Conv" not in ran, ran
        assert ran.count("QLinearConv") >= len(some), ran


def test_weights_handed_in_start_at_a_cache_line() -> None:
    """As ONNX Runtime's own do; its kernels are slower on others."""
    toy = toy_backbone()
    session = Loaded(cut(toy.graph, toy.core), threads=1, weights=SharedWeights())
    for weight in session.weights.values():
        assert weight.value.data_ptr() % 64 == 0
