"""The house form of a file says what the file says, and has the form that is promised."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from house_runs import EXACT, answers, apart, batch_of, image_of, one_by_one, photos
from house_variants import VARIANTS, written_in
from icecore.server.backbones.admission.house_form.house import House, bring_home, input_size
from icecore.server.backbones.graphs.graph import Graph
from icecore.server.backbones.graphs.layers import layers_of
from networks import FACTS, NAMES, network
from toys import toy_graph

ROUNDED = 3e-2
"""Of the peak: half precision's eleven bits through some dozen layers."""

WRITTEN = {
    "weights as inputs": ("resnet50", "vit"),
    "float16": ("convnext", "regnet_y", "vgg11_bn", "vit"),
    "channels last": ("caffenet", "resnet18-int8", "shufflenetv2", "vit"),
    "batch of 1": NAMES,
    "batch of 4": ("mobilenet_nhwc", "resnet18-int8", "shufflenetv2", "vit", "vit_registers"),
    "open size": ("efficientnet_lite", "resnet18-int8", "shufflenetv2", "vgg11_bn"),
    "softmax": ("googlenet", "vit-attention"),
    "opset 7": ("googlenet", "mobilenetv2", "resnetv2", "shufflenetv1", "squeezenet1_1"),
    "opset 9": ("densenet-dynamo", "efficientnet_lite", "regnet_y"),
    "opset 10": ("mobilenet_nhwc", "shufflenetv2"),
    "opset 11": ("efficientnet", "resnet50"),
    "opset 12": ("caffenet", "densenet"),
    "opset 24": ("convnext", "mobilenetv3", "resnet18-int8", "vit-dynamo"),
}
"""Networks of each way of writing them, such that each kind of graph is there;
bench/house_form.py takes every network in every way."""

ONE_BY_ONE = ("convnext-dynamo",)
"""Of a batch of one that stays: torch wrote a table of places, made for one image, for `Gather`."""


def tolerance(name: str) -> float:
    return {"float32": EXACT, "int8": 0.1}.get(FACTS[name].form, ROUNDED)


def assert_in_house_form(house: House, size: int) -> None:
    model = onnx.load_model_from_string(house.graph)
    onnx.checker.check_model(model, full_check=True)
    graph = Graph(house.graph)
    assert (graph.height, graph.width) == (size, size)
    assert graph.opset >= 13
    assert {node.domain for node in graph.nodes} <= {"", "ai.onnx"}
    assert not model.functions
    ops = {node.op_type for node in graph.nodes}
    assert ops.isdisjoint({"Constant", "Dropout", "If", "Loop"}), ops
    floats = {t.data_type for t in model.graph.initializer} - {
        TensorProto.INT64,
        TensorProto.INT32,
        TensorProto.INT8,
        TensorProto.UINT8,
        TensorProto.BOOL,
    }
    assert floats <= {TensorProto.FLOAT}
    needed = {name for node in graph.nodes for name in node.input}
    needed |= {value.name for value in model.graph.output}
    assert {t.name for t in model.graph.initializer} <= needed
    assert all(needed.intersection(node.output) for node in graph.nodes)
    assert layers_of(graph)


@pytest.mark.parametrize("name", NAMES)
def test_every_network_says_the_same_at_home(name: str) -> None:
    data, size = network(name), FACTS[name].size
    house = bring_home(data)
    assert_in_house_form(house, size)
    assert house.layout == FACTS[name].layout
    assert input_size(data) == (size, size)
    images = photos(batch_of(data) or 3, size)
    found = answers(data, images)
    assert apart(answers(house.graph, images), found) <= tolerance(name)
    assert apart(one_by_one(house.graph, images), found) <= tolerance(name)
    assert batch_of(house.graph) is None


@pytest.mark.parametrize("name", NAMES)
def test_what_is_at_home_stays_as_it_is(name: str) -> None:
    house = bring_home(network(name))
    again = bring_home(house.graph)
    assert again.graph == house.graph, again.changes
    assert again.changes == ()
    assert bool(house.changes) == (house.graph != network(name))


def test_our_own_graphs_are_in_house_form() -> None:
    assert bring_home(toy_graph()) == House(toy_graph(), "NCHW", ())


@pytest.mark.parametrize("name", NAMES)
def test_outputs_and_activations_keep_their_names(name: str) -> None:
    before = onnx.load_model_from_string(network(name)).graph
    after = onnx.load_model_from_string(bring_home(network(name)).graph).graph
    assert [value.name for value in after.output] == [value.name for value in before.output]
    kinds = ("Relu", "Clip", "HardSwish", "Sigmoid", "Conv", "Gemm", "MatMul", "Erf", "Softmax")
    made = {name for node in after.node for name in node.output}
    for node in before.node:
        # A Clip with one bound works on shapes here.
        if node.op_type in kinds and all(node.input):
            assert node.output[0] in made, node


@pytest.mark.parametrize(
    ("variant", "name"), [(variant, name) for variant, names in WRITTEN.items() for name in names]
)
def test_another_way_of_writing_it_comes_to_the_same(variant: str, name: str) -> None:
    size = FACTS[name].size
    source = bring_home(network(name)).graph if "opset" in variant else network(name)
    data = VARIANTS[variant](onnx.load_model_from_string(source)).SerializeToString()
    images = photos(batch_of(data) or 2, size)
    found = answers(data, images)
    house = bring_home(data, (size, size))
    assert_in_house_form(house, size)
    allowed = ROUNDED if variant == "float16" else tolerance(name)
    assert apart(one_by_one(house.graph, images), found) <= allowed
    assert bring_home(house.graph).graph == house.graph
    stays = variant == "batch of 1" and name in ONE_BY_ONE
    assert batch_of(house.graph) == (1 if stays else None)


@pytest.mark.parametrize("name", ["resnet18-float16", "mobilenetv2-mixed"])
def test_half_precision_weights_are_kept_exactly(name: str) -> None:
    found = onnx.load_model_from_string(network(name)).graph
    house = onnx.load_model_from_string(bring_home(network(name)).graph).graph
    kept = {t.name: numpy_helper.to_array(t) for t in house.initializer}
    halves = [t for t in found.initializer if t.data_type == TensorProto.FLOAT16 and t.dims]
    assert halves
    for tensor in halves:
        assert kept[tensor.name].dtype == np.float32
        np.testing.assert_array_equal(kept[tensor.name], numpy_helper.to_array(tensor))
    ops = [node.op_type for node in house.node]
    assert "Cast" not in ops


def test_a_half_precision_file_computes_what_its_weights_say_in_float32() -> None:
    model = onnx.load_model_from_string(network("resnet18"))
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            value = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    images = photos(2, 32)
    rounded = answers(model.SerializeToString(), images)
    half = VARIANTS["float16"](onnx.load_model_from_string(network("resnet18")))
    house = bring_home(half.SerializeToString())
    assert apart(answers(house.graph, images), rounded) <= EXACT


@pytest.mark.parametrize(
    "name", ["alexnet-pool5", "mobilenetv2", "resnet56-cifar10", "squeezenet1.1"]
)
def test_real_networks_are_in_house_form(shared: Path, name: str) -> None:
    data = (shared / "models" / f"{name}.onnx").read_bytes()
    assert bring_home(data).graph == data


@pytest.mark.parametrize("name", ["mobilenetv2", "squeezenet1.1"])
def test_real_networks_come_home_from_opset_7(shared: Path, name: str) -> None:
    data = (shared / "models" / f"{name}.onnx").read_bytes()
    old = written_in(7)(onnx.load_model_from_string(data)).SerializeToString()
    house = bring_home(old)
    images = photos(1, 224)
    assert apart(answers(house.graph, images), answers(data, images)) <= EXACT
    first = onnx.load_model_from_string(data).graph.input[0].name
    assert image_of(onnx.load_model_from_string(house.graph)).name == first
    assert any("opset 13 in place of 7" in change for change in house.changes)
