"""Layers of the families that people use: counts from their definitions, counted there as calls."""

from math import prod

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from icecore.server.backbones.admission.house_form.house import bring_home
from icecore.server.backbones.graphs.graph import Graph
from icecore.server.backbones.graphs.layers import Layer, layers_of
from icecore.server.backbones.graphs.layouts import Layout
from networks import FACTS, NAMES, network

GATES = {"mobilenetv3": 3, "mobilenetv3-dynamo": 3, "regnet_y": 5}
"""Thresholds inside of squeeze-and-excitation gates, which have no depth."""

HEADS = {"efficientnet": 1, "efficientnet-dynamo": 1}
"""Activations behind the last block, which count as one."""


@pytest.fixture(scope="module", params=NAMES)
def read(request: pytest.FixtureRequest) -> tuple[str, Graph, tuple[Layer, ...]]:
    name = str(request.param)
    graph = Graph(bring_home(network(name), None).graph)
    return name, graph, layers_of(graph)


def test_thresholds_and_blocks_are_those_of_the_definition(
    read: tuple[str, Graph, tuple[Layer, ...]],
) -> None:
    name, _, layers = read
    facts = FACTS[name]
    ranked = [layer for layer in layers if layer.depth is not None]
    assert [layer.depth for layer in ranked] == list(range(1, len(ranked) + 1))
    if facts.n_thresholds:
        assert all(layer.thresholded for layer in ranked)
        assert len(ranked) == facts.n_thresholds - GATES.get(name, 0)
        assert not any(layer.thresholded and layer.depth is None for layer in layers)
    else:
        assert all(layer.role == "block" for layer in ranked)
        assert len(ranked) == facts.n_blocks + HEADS.get(name, 0)


def test_the_classifier_is_found(read: tuple[str, Graph, tuple[Layer, ...]]) -> None:
    name, graph, layers = read
    roles = {layer.role: layer for layer in layers}
    assert roles["logits"].channels == 10
    assert roles["logits"].layout in (Layout.VECTOR, Layout.MAP)
    is_last = roles["probabilities" if FACTS[name].head == "probabilities" else "logits"]
    assert is_last.name == graph.outputs[0]
    if FACTS[name].form != "int8":
        assert ("probabilities" in roles) == any(n.op_type == "Softmax" for n in graph.nodes[-3:])


def test_shapes_and_costs_are_those_of_a_run(
    read: tuple[str, Graph, tuple[Layer, ...]],
) -> None:
    """Shapes of the arrays that ONNX Runtime makes, and multiply-accumulates counted from them."""
    name, graph, layers = read
    made = run_all(graph)
    for layer in layers:
        shape = made[layer.name].shape[1:]
        expected = {
            Layout.MAP: (layer.channels, layer.height, layer.width),
            Layout.ROWS: (layer.height, layer.width, layer.channels),
            Layout.TOKENS: (layer.prefix_tokens + layer.height * layer.width, layer.channels),
            Layout.VECTOR: (layer.channels,),
        }
        assert shape == expected[layer.layout], layer
    macs = sum(products(node, made, graph) for node in graph.nodes)
    assert max(layer.macs for layer in layers) == macs, name


def test_params_are_all_the_floats_stored_but_statistics(
    read: tuple[str, Graph, tuple[Layer, ...]],
) -> None:
    name, graph, layers = read
    passed = {
        read_
        for node in graph.nodes
        for read_ in (
            node.input[3:]
            if node.op_type == "BatchNormalization"
            else node.input[1:]
            if node.op_type in ("QuantizeLinear", "DequantizeLinear")
            else ()
        )
    }
    kinds = (onnx.TensorProto.FLOAT, onnx.TensorProto.INT8, onnx.TensorProto.INT32)
    sizes = [
        prod(tensor.dims)
        for tensor in graph.model.graph.initializer
        if tensor.name not in passed and tensor.data_type in (*kinds, onnx.TensorProto.UINT8)
    ]
    assert max(layer.params for layer in layers) == sum(size for size in sizes if size > 1), name


def test_steps_and_fields_grow_along_the_way(
    read: tuple[str, Graph, tuple[Layer, ...]],
) -> None:
    _, graph, layers = read
    side = max(graph.height, graph.width)
    for layer in layers:
        assert 1 <= layer.receptive_field <= side
        if layer.height > 1:
            assert abs(layer.height * layer.stride - graph.height) <= 2.1 * layer.stride, layer
    assert layers[-1].receptive_field == side


def run_all(graph: Graph) -> dict[str, np.ndarray]:
    """All float tensors that depend on one image, as ONNX Runtime makes them."""
    model = onnx.ModelProto.FromString(graph.model.SerializeToString())
    del model.graph.output[:]
    names = [
        name
        for node in graph.nodes
        for name in node.output
        if graph.is_data(name) and graph.is_float(name)
    ]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    image = np.ones((1, 3, graph.height, graph.width), np.float32)
    return dict(zip(names, session.run(None, {graph.input: image}), strict=True))


def products(node: onnx.NodeProto, made: dict[str, np.ndarray], graph: Graph) -> int:
    """Multiply-accumulates of one node, from the shapes of what it read and made."""
    if node.op_type not in ("Conv", "Gemm", "MatMul", "Attention"):
        return 0
    after: tuple[int, ...] = made[node.output[0]].shape
    if node.op_type == "Conv":
        weight = graph.sizes(node.input[1])
        assert weight is not None
        return prod(after) * prod(weight[1:])
    if node.op_type == "Attention":
        query, key = made[node.input[0]].shape, made[node.input[1]].shape
        return 2 * prod(query) * int(key[-2])
    assert not any(a.name == "transA" and a.i for a in node.attribute)
    return prod(after) * int(made[node.input[0]].shape[-1])
