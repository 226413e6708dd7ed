"""The random twin: nothing of the training survives, and nothing dies or blows up."""

from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from icecore.server.backbones.admission.house_form.draft import Draft
from icecore.server.backbones.admission.house_form.house import bring_home
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.graphs.graph import Graph
from icecore.server.backbones.graphs.layers import Layer, layers_of
from icecore.server.backbones.redrawing import TOKEN_STD, Redrawing
from icecore.server.backbones.twins import random_twin
from icecore.server.errors import BackboneNotFloat, CalibrationInvalid
from networks import network
from toys import toy_graph

SMALL = (
    "vgg11",
    "googlenet",
    "resnet18",
    "resnetv2",
    "densenet",
    "mobilenetv2",
    "mobilenetv3",
    "efficientnet",
    "shufflenetv2",
    "regnet_y",
    "convnext",
    "vit",
    "vit-attention",
)


def images_for(graph: bytes, n: int = 16) -> np.ndarray:
    """Noise of a brightness of its own in each image, as photos have; (n, 3, h, w) float32."""
    network = Graph(graph)
    random = np.random.default_rng(8)
    pixels = random.normal(size=(n, 3, network.height, network.width))
    return (pixels + random.normal(size=(n, 3, 1, 1))).astype(np.float32)


@cache
def house(name: str) -> bytes:
    return toy_graph() if name == "toy" else bring_home(network(name)).graph


@cache
def twin_of(name: str, seed: int = 1) -> bytes:
    return random_twin(house(name), images_for(house(name)), seed=seed)


def weights(graph: bytes) -> dict[str, np.ndarray]:
    model = onnx.load_model_from_string(graph)
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def values(graph: bytes, names: list[str], images: np.ndarray) -> list[np.ndarray]:
    """The tensors of these names, from onnxruntime alone."""
    model = onnx.load_model_from_string(graph)
    del model.graph.output[:]
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    made: list[np.ndarray] = session.run(None, {session.get_inputs()[0].name: images})
    return made


def ranked(graph: bytes) -> list[Layer]:
    return [layer for layer in layers_of(Graph(graph)) if layer.depth is not None]


def assert_alive(graph: bytes, images: np.ndarray) -> None:
    layers = ranked(graph)
    for layer, codes in zip(
        layers, values(graph, [layer.name for layer in layers], images), strict=True
    ):
        # A standard normal's half has .58; sums of up to thirty of them have more.
        assert 0.3 < codes.std() < 6, f"{layer.name!r} has deviation {codes.std()}"
        if layer.thresholded:
            by_channel = np.moveaxis(codes, 1, 0).reshape(codes.shape[1], -1)
            n_dead = int((by_channel == 0).all(axis=1).sum())
            assert n_dead == 0, f"{n_dead} channels of {layer.name!r} are zero in every image"


@pytest.mark.parametrize("name", ["toy", *SMALL])
def test_no_weight_survives_and_every_shape_does(name: str) -> None:
    before, after = weights(house(name)), weights(twin_of(name))
    for tensor, value in before.items():
        if value.dtype != np.float32 or np.unique(value).size <= 2:
            continue  # a bound, a shape, a mask
        if tensor in after:
            assert after[tensor].shape == value.shape
            n_same = int((after[tensor] == value).sum())
            assert n_same <= value.size // 100, f"{n_same} values of {tensor!r} are as trained"
    made, found = (onnx.load_model_from_string(g).graph for g in (twin_of(name), house(name)))
    assert [(n.op_type, n.output) for n in made.node] == [(n.op_type, n.output) for n in found.node]
    assert ranked(twin_of(name))[-1].macs == ranked(house(name))[-1].macs


@pytest.mark.parametrize("name", ["toy", *SMALL])
def test_layers_neither_die_nor_blow_up(name: str) -> None:
    assert_alive(twin_of(name), images_for(house(name)))


@pytest.mark.parametrize("name", ["toy", "vgg11", "resnet18", "mobilenetv2"])
def test_channels_of_convolutions_have_mean_zero_and_deviation_one(name: str) -> None:
    model = onnx.load_model_from_string(twin_of(name)).graph
    made = [node.output[0] for node in model.node if node.op_type in ("Conv", "Gemm")]
    for tensor, maps in zip(
        made, values(twin_of(name), made, images_for(house(name))), strict=True
    ):
        by_channel = np.moveaxis(maps, 1, 0).reshape(maps.shape[1], -1).astype(np.float64)
        # Sums of thousands of float32 values, three layers after each other.
        assert np.abs(by_channel.mean(axis=1)).max() < 1e-3, tensor
        assert np.abs(by_channel.std(axis=1) - 1).max() < 1e-3, tensor


def test_a_bare_matrix_product_has_its_mean_taken_by_the_sum_behind_it() -> None:
    graph = twin_of("convnext")
    nodes = onnx.load_model_from_string(graph).graph.node
    products = {node.output[0] for node in nodes if node.op_type == "MatMul"}
    sums = [n.output[0] for n in nodes if n.op_type == "Add" and products.intersection(n.input)]
    assert len(sums) >= 8
    for tensor, rows in zip(sums, values(graph, sums, images_for(graph)), strict=True):
        by_channel = rows.reshape(-1, rows.shape[-1])
        assert np.abs(by_channel.mean(axis=0)).max() < 1e-3, tensor
        assert np.abs(by_channel.std(axis=0) - 1).max() < 1e-3, tensor


def test_batch_norms_have_the_images_statistics() -> None:
    graph = twin_of("resnetv2")
    model = onnx.load_model_from_string(graph).graph
    norms = [node for node in model.node if node.op_type == "BatchNormalization"]
    assert norms
    for node, maps in zip(
        norms, values(graph, [n.output[0] for n in norms], images_for(graph)), strict=True
    ):
        by_channel = np.moveaxis(maps, 1, 0).reshape(maps.shape[1], -1)
        assert np.abs(by_channel.mean(axis=1)).max() < 1e-3, node.name
        # Epsilon, 1e-5 by default, takes a little off where a channel varies little.
        assert np.abs(by_channel.std(axis=1) - 1).max() < 1e-2, node.name


@pytest.mark.parametrize("name", ["toy", "mobilenetv3", "vit"])
def test_seed_and_images_decide_every_bit(name: str) -> None:
    images = images_for(house(name))
    assert random_twin(house(name), images, seed=1) == twin_of(name)
    assert random_twin(house(name), images, seed=2) != twin_of(name)
    assert random_twin(house(name), images[:8], seed=1) != twin_of(name)


def test_weights_are_drawn_he_normal_by_what_one_channel_reads() -> None:
    random = np.random.default_rng(0)
    grouped = random.random((64, 8, 3, 3)).astype(np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=4)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 32, 9, 9])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 64, 7, 7])],
        [numpy_helper.from_array(grouped, "w")],
    )
    draft = Draft(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]))
    Redrawing(draft).redraw(draft.nodes[0], np.random.default_rng(3))
    drawn = draft.constant("w")
    assert drawn is not None
    # 4,608 draws: their deviation is within 4 % of the truth but once in a thousand million.
    assert abs(drawn.std() / np.sqrt(2 / (8 * 9)) - 1) < 0.06
    assert abs(drawn.mean()) < 0.05 * drawn.std()


def test_position_tables_are_drawn_small() -> None:
    drawn = weights(twin_of("vit"))
    positions = [name for name, value in drawn.items() if value.ndim == 3 and value.size > 100]
    assert positions
    for name in positions:
        assert 0.8 < drawn[name].std() / TOKEN_STD < 1.2, name


def test_layer_scales_are_one() -> None:
    nodes = onnx.load_model_from_string(twin_of("convnext")).graph.node
    factors = {name for node in nodes if node.op_type == "Mul" for name in node.input}
    drawn = weights(twin_of("convnext"))
    scales = [name for name in factors if name in drawn and drawn[name].size > 1]
    assert len(scales) >= 4
    assert all((drawn[name] == 1).all() for name in scales)


def test_a_graph_that_takes_one_image_has_the_same_twin() -> None:
    model = onnx.load_model_from_string(house("resnet18"))
    for described in (*model.graph.input, *model.graph.output):
        described.type.tensor_type.shape.dim[0].Clear()
        described.type.tensor_type.shape.dim[0].dim_value = 1
    fixed = model.SerializeToString()
    one_by_one = weights(random_twin(fixed, images_for(fixed), seed=1))
    for name, value in weights(twin_of("resnet18")).items():
        # Statistics are summed in another order.
        np.testing.assert_allclose(one_by_one[name], value, atol=1e-4, err_msg=name)


def test_what_cannot_have_a_twin_is_refused() -> None:
    with pytest.raises(BackboneNotFloat, match="int8"):
        random_twin(house("resnet18-int8"), images_for(house("resnet18-int8")), seed=0)
    images = images_for(toy_graph())
    for bad in (images[:1], np.repeat(images[:1], 4, axis=0), images * np.float32(np.nan)):
        with pytest.raises(CalibrationInvalid, match="differ"):
            random_twin(toy_graph(), bad, seed=0)
    with pytest.raises(ValueError, match="float64"):
        random_twin(toy_graph(), images.astype(np.float64), seed=0)


def test_lite0s_twin_lives_in_all_layers(lite0: Backbone) -> None:
    images = images_for(lite0.graph, 4)
    twin = random_twin(lite0.graph, images, seed=3)
    assert len(ranked(twin)) == 33
    assert_alive(twin, images)
    before, after = weights(lite0.graph), weights(twin)
    assert all((after[k] != v).mean() > 0.99 for k, v in before.items() if v.size > 1)


def test_fifty_five_residual_layers_do_not_blow_up(shared: Path) -> None:
    graph = (shared / "models" / "resnet56-cifar10.onnx").read_bytes()
    images = images_for(graph, 32)
    assert_alive(random_twin(graph, images, seed=3), images)
