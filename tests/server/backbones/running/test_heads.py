"""Pooled inside of the graph, codes are what numpy makes of the same values in float64."""

import itertools

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from icecore.server.backbones.graphs.layers import Layer
from icecore.server.backbones.graphs.layouts import Layout
from icecore.server.backbones.running.heads import GEM_FLOOR, Heads
from icecore.server.backbones.running.poolings import codes_shape, grid_side
from icecore.server.errors import PoolingInvalid
from icecore.wire.taps import AVG, Pooling, PoolingKind

Array = npt.NDArray[np.float32]
Exact = npt.NDArray[np.float64]

CLS = Pooling(PoolingKind.CLS)
OF_MAPS = [
    AVG,
    Pooling(PoolingKind.MAX),
    Pooling(PoolingKind.GEM, 3.0),
    Pooling(PoolingKind.GEM, 0.7),
    Pooling(PoolingKind.GRID),
    Pooling(PoolingKind.NONE),
]
SIZES = [(8, 1, 1), (5, 7, 7), (24, 14, 14), (16, 15, 14), (3, 33, 21), (2, 1, 300), (1, 300, 1)]
EVERYWHERE = pytest.mark.parametrize("opset", [13, 18, 21])


def a_layer(
    layout: Layout, channels: int, height: int, width: int, prefix_tokens: int = 0
) -> Layer:
    return Layer(
        name="here",
        depth=None,
        channels=channels,
        height=height,
        width=width,
        stride=1,
        thresholded=False,
        dims=channels,
        params=0,
        macs=0,
        op="Add",
        prefix_tokens=prefix_tokens,
        layout=layout,
    )


def pooled_in_a_graph(values: Array, layer: Layer, pooling: Pooling, opset: int) -> Array:
    """What the head makes of `values`, which the graph takes as its input."""
    heads = Heads("head.")
    made = heads.pool("here", layer, pooling)
    shape: list[str | int | None] = ["n", *codes_shape(layer, pooling)]
    graph = helper.make_graph(
        heads.nodes,
        "heads",
        [helper.make_tensor_value_info("here", TensorProto.FLOAT, ["n", *values.shape[1:]])],
        [helper.make_tensor_value_info(made, TensorProto.FLOAT, shape)],
        heads.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (codes,) = session.run(None, {"here": values})
    return np.asarray(codes)


def by_numpy(map_: Exact, pooling: Pooling, side: int) -> Exact:
    """The definitions over (n, c, h, w), written plainly."""
    match pooling.kind:
        case PoolingKind.AVG:
            return np.asarray(map_.mean((2, 3)))
        case PoolingKind.MAX:
            return np.asarray(map_.max((2, 3)))
        case PoolingKind.GEM:
            powers = np.maximum(map_, GEM_FLOOR) ** pooling.gem_p
            return np.asarray(powers.mean((2, 3)) ** (1 / pooling.gem_p))
        case PoolingKind.GRID:
            n, c, h, w = map_.shape
            cells = np.zeros((n, c, side, side))
            for i, j in itertools.product(range(side), repeat=2):
                rows = slice(i * h // side, -(-(i + 1) * h // side))
                columns = slice(j * w // side, -(-(j + 1) * w // side))
                cells[:, :, i, j] = map_[:, :, rows, columns].mean((2, 3))
            return cells.reshape(n, -1)
        case _:
            return map_


def laid_out(map_: Array, layout: Layout, front: Array) -> Array:
    """(n, c, h, w) as the layout has it, with the tokens (n, t, c) in front."""
    if layout is Layout.VECTOR:
        return map_[:, :, 0, 0]
    if layout is Layout.MAP:
        return map_
    rows = np.ascontiguousarray(map_.transpose(0, 2, 3, 1))
    if layout is Layout.ROWS:
        return rows
    return np.concatenate([front, rows.reshape(len(rows), -1, rows.shape[3])], axis=1)


@EVERYWHERE
@pytest.mark.parametrize("pooling", OF_MAPS, ids=str)
@pytest.mark.parametrize("layout", list(Layout))
def test_codes_are_those_of_numpy_in_float64(layout: Layout, pooling: Pooling, opset: int) -> None:
    """To 1e-5 of the largest; of tokens, those in front change nothing."""
    random = np.random.default_rng(20240229)
    for (channels, height, width), n_front in zip(SIZES, itertools.cycle([0, 1, 5])):
        if layout is Layout.VECTOR and height * width > 1:
            continue
        prefix = n_front if layout is Layout.TOKENS else 0
        layer = a_layer(layout, channels, height, width, prefix)
        map_ = random.normal(size=(3, channels, height, width)).astype(np.float32)
        front = 1e3 * random.normal(size=(3, prefix, channels)).astype(np.float32)
        values = laid_out(map_, layout, front)
        codes = pooled_in_a_graph(values, layer, pooling, opset)
        expected = by_numpy(map_.astype(np.float64), pooling, grid_side(layer))
        assert codes.dtype == np.float32
        assert codes.shape == expected.shape == (3, *codes_shape(layer, pooling))
        if pooling.kind in (PoolingKind.MAX, PoolingKind.NONE):
            assert np.array_equal(codes, expected.astype(np.float32))
        else:
            miss = np.abs(codes - expected).max() / np.abs(map_).max()
            assert miss <= 1e-5, f"{layout} {map_.shape[1:]} misses by {miss:.1e}"


@pytest.mark.parametrize("layout", [Layout.MAP, Layout.ROWS])
@pytest.mark.parametrize("side", [14, 15, 112, 160])
def test_averages_of_wide_maps_miss_by_2e_5_of_the_peak_at_most(side: int, layout: Layout) -> None:
    """Also where rounding leans one way all along: the same odd value everywhere."""
    layer = a_layer(layout, 16, side, side)
    for value in (5.9999995, 1 / 3, 0.1):
        map_ = np.full((1, 16, side, side), value, np.float32)
        codes = pooled_in_a_graph(laid_out(map_, layout, map_), layer, AVG, 13)
        miss = np.abs(codes / map_[0, 0, 0, 0].astype(np.float64) - 1).max()
        assert miss <= 2e-5, f"{value} on {side} x {side} misses by {miss:.1e}"


@EVERYWHERE
@pytest.mark.parametrize("n_front", [1, 5])
def test_the_class_token_is_the_first_to_the_bit(n_front: int, opset: int) -> None:
    layer = a_layer(Layout.TOKENS, 6, 4, 3, n_front)
    tokens = np.random.default_rng(1).normal(size=(2, n_front + 12, 6)).astype(np.float32)
    codes = pooled_in_a_graph(tokens, layer, CLS, opset)
    assert codes.shape == (2, *codes_shape(layer, CLS))
    assert np.array_equal(codes, tokens[:, 0])


@pytest.mark.parametrize("layout", list(Layout))
def test_a_layer_without_class_token_says_so(layout: Layout) -> None:
    layer = a_layer(layout, 6, 4, 3)
    told = r"layer 'here' has no class token: its 6 channels lie on 4 x 3 places"
    with pytest.raises(PoolingInvalid, match=told):
        codes_shape(layer, CLS)
    with pytest.raises(PoolingInvalid, match=told):
        Heads("head.").pool("here", layer, CLS)
