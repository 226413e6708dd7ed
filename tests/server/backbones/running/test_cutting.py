"""Cutting changes nothing: codes are those of the whole graph, to the bit."""

import itertools

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.running.cutting import cut
from icecore.server.backbones.running.poolings import codes_shape, grid_side
from icecore.server.errors import GraphInvalid, LayerNotFound
from icecore.wire.taps import AVG, Activation, Pooling, PoolingKind, TapId
from toys import toy_backbone, toy_graph, toy_weights

Array = npt.NDArray[np.float32]
Exact = npt.NDArray[np.float64]

WHOLE_MAP = Pooling(PoolingKind.NONE)
POOLINGS = [AVG, Pooling(PoolingKind.MAX), Pooling(PoolingKind.GEM, 3.0), WHOLE_MAP]
POOLINGS += [Pooling(PoolingKind.GRID)]


def run(graph: bytes, inputs: Array) -> list[Array]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    codes: list[Array] = session.run(None, {session.get_inputs()[0].name: inputs})
    return codes


def whole(backbone: Backbone, names: list[str]) -> bytes:
    """The graph as it is, with more outputs."""
    model = onnx.load_model_from_string(backbone.graph)
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in names
    )
    return bytes(model.SerializeToString())


def images(backbone: Backbone, n: int) -> Array:
    random = np.random.default_rng(7)
    return random.normal(size=(n, *backbone.recipe.shape)).astype(np.float32)


def test_codes_of_a_cut_graph_are_the_whole_graphs_at_every_depth(lite0: Backbone) -> None:
    """To the bit, whole maps and averages: a code is the same whatever else was asked."""
    assert len(lite0.ranked) == 33
    inputs = images(lite0, 1)
    names = [layer.name for layer in lite0.ranked]
    maps = run(whole(lite0, names), inputs)[1:]
    core = run(cut(lite0.graph, lite0.core), inputs)
    for layer, map_, average in zip(lite0.ranked, maps, core, strict=True):
        taps = [lite0.tap(layer, pooling=WHOLE_MAP), lite0.tap(layer)]
        cut_map, cut_average = run(cut(lite0.graph, taps), inputs)
        assert np.array_equal(cut_map, map_), f"the map at depth {layer.depth} differs when cut"
        assert np.array_equal(cut_average, average), f"codes at depth {layer.depth} differ when cut"
        assert cut_map.min() >= 0.0, f"values at depth {layer.depth} are negative"
        assert cut_average.min() >= 0.0, f"codes at depth {layer.depth} are negative"


@pytest.mark.parametrize("depth", [1, 17, 33])
def test_codes_of_one_tap_are_those_of_the_whole_core(lite0: Backbone, depth: int) -> None:
    inputs = images(lite0, 2)
    core = run(cut(lite0.graph, lite0.core), inputs)
    (alone,) = run(cut(lite0.graph, [lite0.core[depth - 1]]), inputs)
    assert np.array_equal(alone, core[depth - 1])


@pytest.mark.parametrize("image", ["white", "black", "noise"])
def test_averages_are_the_means_of_their_maps(lite0: Backbone, image: str) -> None:
    """To 2e-5: float32 sums of up to 112 values near 6; summed in one go they miss by 9e-4."""
    inputs = {
        "white": np.ones((1, 3, 224, 224), np.float32),
        "black": -np.ones((1, 3, 224, 224), np.float32),
        "noise": images(lite0, 1),
    }[image]
    maps = [lite0.tap(layer, pooling=WHOLE_MAP) for layer in lite0.ranked]
    codes = run(cut(lite0.graph, [*lite0.core, *maps]), inputs)
    for tap, average, map_ in zip(lite0.core, codes[:33], codes[33:], strict=True):
        miss = float(np.abs(average - map_.astype(np.float64).mean((2, 3))).max())
        assert miss <= 2e-5, f"the average at '{tap}' misses by {miss:.1e}"


def test_a_cut_graph_ends_at_its_deepest_tap(lite0: Backbone) -> None:
    first = onnx.load_model_from_string(cut(lite0.graph, lite0.core[:1]))
    assert [node.op_type for node in first.graph.node] == [
        "Conv",
        "Clip",
        "AveragePool",
        "GlobalAveragePool",
        "Flatten",
    ]
    assert {tensor.name for tensor in first.graph.initializer} == {
        "stem.weight",
        "stem.bias",
        "clip.min",
        "clip.max",
    }


def forward(inputs: Array) -> dict[str, Exact]:
    """The toy's maps by plain loops in float64, whose sums here are exact."""
    weights = {name: value.astype(np.float64) for name, value in toy_weights().items()}

    def conv(x: Exact, name: str, stride: int, pads: tuple[int, int]) -> Exact:
        weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        k = weight.shape[2]
        x = np.pad(x, ((0, 0), (0, 0), pads, pads))
        size = (x.shape[2] - k) // stride + 1
        made = np.zeros((len(x), len(weight), size, size))
        for i, j in itertools.product(range(size), repeat=2):
            patch = x[:, :, i * stride : i * stride + k, j * stride : j * stride + k]
            made[:, :, i, j] = np.einsum("nchw,ochw->no", patch, weight) + bias
        return made

    maps = {"one.conv": conv(inputs.astype(np.float64), "one", 1, (0, 0))}
    maps["one"] = np.maximum(maps["one.conv"], 0)
    maps["two.conv"] = conv(maps["one"], "two", 2, (0, 1))
    maps["two"] = np.clip(maps["two.conv"], 0, 6)
    maps["branch"] = conv(maps["two"], "branch", 1, (1, 1))
    maps["sum"] = maps["branch"] + maps["two"]
    maps["three"] = np.maximum(maps["sum"], 0)
    return maps


def pooled(map_: Exact, pooling: Pooling) -> Exact:
    """The definitions, written plainly."""
    match pooling.kind:
        case PoolingKind.AVG:
            return np.asarray(map_.mean((2, 3)))
        case PoolingKind.MAX:
            return np.asarray(map_.max((2, 3)))
        case PoolingKind.GEM:
            lifted = np.maximum(map_, 1e-6)
            return np.asarray((lifted**pooling.gem_p).mean((2, 3)) ** (1 / pooling.gem_p))
        case PoolingKind.GRID:
            n, c, h, w = map_.shape
            g = min(range(1, min(h, w) + 1), key=lambda g: abs(c * g * g - 9000))
            cells = np.zeros((n, c, g, g), map_.dtype)
            for i, j in itertools.product(range(g), repeat=2):
                rows = slice(i * h // g, -(-(i + 1) * h // g))
                columns = slice(j * w // g, -(-(j + 1) * w // g))
                cells[:, :, i, j] = map_[:, :, rows, columns].mean((2, 3))
            return cells.reshape(n, -1)
        case PoolingKind.CLS:
            raise AssertionError("a map has no class token")
        case PoolingKind.NONE:
            return map_


@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
@pytest.mark.parametrize("activation", list(Activation))
def test_the_toys_codes_are_those_worked_out_by_hand(
    activation: Activation, pooling: Pooling
) -> None:
    toy = toy_backbone()
    random = np.random.default_rng(3)
    inputs = random.integers(-8, 9, (3, 3, 8, 8)).astype(np.float32)
    maps = forward(inputs)
    names = list(maps)
    taps = [toy.tap(toy.layer(name), activation, pooling) for name in names]
    before = {"one": "one.conv", "two": "two.conv", "three": "sum"}
    for tap, codes in zip(taps, run(cut(toy.graph, taps), inputs), strict=True):
        map_ = maps[tap.layer]
        if activation is Activation.NONE:
            map_ = maps[before.get(tap.layer, tap.layer)]
        elif activation is Activation.RELU:
            map_ = np.maximum(map_, 0)
        assert codes.shape == (3, *codes_shape(toy.layer_of(tap), pooling))
        # Maps are exact in float32; means and powers round.
        assert np.allclose(codes, pooled(map_, pooling), rtol=1e-5, atol=1e-5), f"'{tap}'"


def test_none_reads_below_zero_and_relu_does_not() -> None:
    toy = toy_backbone()
    layer = toy.layer("one")
    taps = [toy.tap(layer, activation, WHOLE_MAP) for activation in Activation]
    trained, forced, raw = run(cut(toy.graph, taps), images(toy, 2))
    assert raw.min() < 0.0
    assert np.array_equal(trained, np.maximum(raw, 0))
    assert np.array_equal(forced, trained)


def test_grid_comes_as_near_to_9000_values_as_squares_do(lite0: Backbone) -> None:
    for layer in lite0.ranked:
        side = grid_side(layer)
        assert 1 <= side <= layer.height
        miss = abs(layer.channels * side**2 - 9000)
        assert all(
            miss <= abs(layer.channels * other**2 - 9000)
            for other in (side - 1, side + 1)
            if 1 <= other <= layer.height
        )
    assert grid_side(lite0.layer("-1")) == 3
    assert grid_side(lite0.layer("1")) == 17


@pytest.mark.parametrize("p", [0.5, 1.0, 64.0])
def test_gem_overflows_with_no_exponent(p: float) -> None:
    """1e30 to the power of 64 is past float32; the mean power of a map is not."""
    toy = toy_backbone()
    tap = toy.tap(toy.layer("one"), pooling=Pooling(PoolingKind.GEM, p))
    (codes,) = run(cut(toy.graph, [tap]), images(toy, 1) * np.float32(1e30))
    assert np.isfinite(codes).all()
    assert codes.max() > 1e28


def test_a_vector_is_a_map_of_one_place() -> None:
    toy = toy_backbone()
    for pooling in POOLINGS:
        tap = toy.tap(toy.layer("logits"), pooling=pooling)
        (codes,) = run(cut(toy.graph, [tap]), images(toy, 2))
        assert codes.shape == ((2, 5, 1, 1) if pooling == WHOLE_MAP else (2, 5)), str(pooling)


def test_outputs_come_in_the_order_of_the_taps_also_twice() -> None:
    toy = toy_backbone()
    one, two = toy.core[0], toy.core[1]
    inputs = images(toy, 1)
    a, b, c = run(cut(toy.graph, [two, one, two]), inputs)
    assert np.array_equal(a, c)
    assert (a.shape[1], b.shape[1]) == (6, 4)


def test_added_names_clash_with_nothing() -> None:
    model = onnx.load_model_from_string(toy_graph())
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = ["icecore.1" if name == "one" else name for name in names]
    made = cut(model.SerializeToString(), [TapId(digest="0" * 64, layer="icecore.1", pooling=AVG)])
    onnx.checker.check_model(made, full_check=True)


def test_cuts_pass_the_checker(lite0: Backbone) -> None:
    taps = [lite0.tap(lite0.layer("17"), pooling=pooling) for pooling in POOLINGS]
    onnx.checker.check_model(cut(lite0.graph, taps), full_check=True)


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(LayerNotFound, match="'four'"):
        cut(toy_graph(), [TapId(digest="0" * 64, layer="four")])


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(GraphInvalid):
        cut(b"no graph", [TapId(digest="0" * 64, layer="one")])
