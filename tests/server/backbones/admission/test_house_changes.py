"""What is changed on the way home, one thing at a time, and what must not be."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from house_graphs import conv, graph, ints, node, ops
from house_runs import photos, same_at_home
from icecore.server.backbones.admission.house_form.house import bring_home
from icecore.server.errors import GraphInvalid, GraphTooLarge

IMAGES = photos(3, 8)


def test_constants_identities_and_dropouts_go() -> None:
    value = numpy_helper.from_array(np.array(2.0, np.float32))
    house = same_at_home(
        graph(
            [
                conv(),
                node("Constant", "", "two", value=value),
                node("Constant", "", "three", value_float=3.0),
                node("Identity", "map", "same"),
                node("Dropout", "same", "kept mask"),
                node("Mul", "kept two", "double"),
                node("Add", "double three", "out"),
            ]
        )
    )
    assert ops(house.graph) == ["Conv", "Mul", "Add"]
    assert any("Identity, Dropout" in change for change in house.changes)


def test_an_output_keeps_its_name_behind_a_dropout() -> None:
    house = same_at_home(graph([conv(), node("Dropout", "map", "out")]))
    assert ops(house.graph) == ["Conv", "Identity"]


def test_nodes_that_no_output_needs_go() -> None:
    house = same_at_home(graph([conv("out"), node("Relu", "out", "unread")]))
    assert ops(house.graph) == ["Conv"]
    assert house.changes == ("nodes and weights that no output needs are left out",)


def test_padding_worked_out_from_the_images_shape_is_folded() -> None:
    """As torch writes TensorFlow's SAME padding; the batch is in the shape, not in the pads."""
    house = same_at_home(
        graph(
            [
                node("Shape", "image", "shape"),
                node("Gather", "shape three", "width"),
                node("Mod", "width two", "odd"),
                node("Add", "odd one", "pad"),
                node("Concat", "zero zero zero pad zero zero zero pad", "pads", axis=0),
                node("Pad", "image pads", "padded"),
                node("Conv", "padded weight", "out"),
            ],
            {name: ints(v) for name, v in {"zero": 0, "one": 1, "two": 2, "three": 3}.items()},
        )
    )
    assert ops(house.graph) == ["Pad", "Conv"]


def test_a_reshape_by_the_batch_counts_for_itself() -> None:
    house = same_at_home(
        graph(
            [
                conv(),
                node("Shape", "map", "shape"),
                node("Gather", "shape zero", "n"),
                node("Concat", "n two two", "front", axis=0),
                node("Concat", "front eight eight", "target", axis=0),
                node("Reshape", "map target", "out"),
            ],
            {"zero": ints(0), "two": ints(2), "eight": ints(8)},
            out_shape=[None] * 5,
        )
    )
    assert ops(house.graph) == ["Conv", "Reshape"]


def test_branches_of_fixed_condition_are_taken() -> None:
    def branch(op: str, name: str) -> onnx.GraphProto:
        value = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        return helper.make_graph(
            [node("Neg", "map", "inner"), node(op, "inner", name)], name, [], [value]
        )

    parts = [
        conv(),
        node("Shape", "map", "shape"),
        node("Gather", "shape two", "height"),
        node("Equal", "height eight", "is_eight"),
        node("Squeeze", "is_eight", "yes"),
        node("If", "yes", "a", then_branch=branch("Relu", "t"), else_branch=branch("Abs", "e")),
        node("Not", "yes", "no"),
        node("If", "no", "b", then_branch=branch("Abs", "t"), else_branch=branch("Exp", "e")),
        node("Add", "a b", "out"),
    ]
    house = same_at_home(graph(parts, {"two": ints(2), "eight": ints(8)}))
    assert sorted(ops(house.graph)) == ["Add", "Conv", "Exp", "Neg", "Neg", "Relu"]


def test_a_branch_by_the_pixels_is_refused() -> None:
    value = helper.make_tensor_value_info("t", TensorProto.FLOAT, None)
    other = helper.make_tensor_value_info("e", TensorProto.FLOAT, None)
    data = graph(
        [
            conv(),
            node("ReduceMean", "map", "mean", keepdims=0),
            node("Greater", "mean zero", "bright"),
            node(
                "If",
                "bright",
                "out",
                name="choice",
                then_branch=helper.make_graph([node("Relu", "map", "t")], "t", [], [value]),
                else_branch=helper.make_graph([node("Abs", "map", "e")], "e", [], [other]),
            ),
        ],
        {"zero": np.array(0, np.float32)},
    )
    with pytest.raises(GraphInvalid, match=r"decides at 'choice' \(If\) by the image"):
        bring_home(data)


def test_functions_are_written_out() -> None:
    body = [node("Mul", "x x", "square"), node("Add", "square x", "y")]
    function = helper.make_function(
        "local", "Both", ["x"], ["y"], body, [helper.make_opsetid("", 13)]
    )
    house = same_at_home(
        graph(
            [conv(), node("Both", "map", "out", domain="local")],
            functions=[function],
            domains=["local"],
        )
    )
    assert ops(house.graph) == ["Conv", "Mul", "Add"]
    assert "functions are replaced by what they do" in house.changes


def test_nodes_out_of_order_are_sorted() -> None:
    model = onnx.load_model_from_string(graph([conv(), node("Relu", "map", "out")]))
    nodes = [*model.graph.node][::-1]
    shuffled = onnx.ModelProto()
    shuffled.CopyFrom(model)
    del shuffled.graph.node[:]
    shuffled.graph.node.extend(nodes)
    house = bring_home(shuffled.SerializeToString())
    assert ops(house.graph) == ["Conv", "Relu"]
    assert "order" in house.changes[0]


def test_an_output_of_unsaid_shape_gets_one() -> None:
    model = onnx.load_model_from_string(graph([conv("out")]))
    model.graph.output[0].type.tensor_type.ClearField("shape")
    house = bring_home(model.SerializeToString())
    made = onnx.load_model_from_string(house.graph).graph.output[0].type.tensor_type.shape.dim
    assert [d.dim_value or d.dim_param for d in made] == ["n", 4, 8, 8]


def test_constants_too_large_to_store_are_refused() -> None:
    nodes = [
        conv(),
        node("ConstantOfShape", "shape", "zeros"),
        node("Slice", "zeros nought one nought", "part"),
        node("ReduceMax", "zeros", "most", keepdims=0),
        node("Add", "map most", "sum"),
        node("Concat", "zeros zeros", "twice", axis=0),
        node("MatMul", "sum twice", "out"),
    ]
    data = graph(nodes, {"shape": ints(4, 3_000_000), "nought": ints(0), "one": ints(1)})
    with pytest.raises(GraphTooLarge, match="works out constants of 96,000,004 bytes"):
        bring_home(data)


def test_a_network_that_amplifies_rounding_is_no_other_network() -> None:
    """A convolution fused with its norm rounds otherwise; a sine of large values shows it."""
    random = np.random.default_rng(3)
    norm = {name: random.uniform(0.5, 2.0, 4).astype(np.float32) for name in "sbmv"}
    nodes = [
        conv(),
        node("BatchNormalization", "map s b m v", "norm"),
        node("Identity", "norm", "same"),
        node("Mul", "same gain", "large"),
        node("Sin", "large", "out"),
    ]
    house = bring_home(graph(nodes, {"gain": np.array([1e6], np.float32), **norm}))
    assert ops(house.graph) == ["Conv", "BatchNormalization", "Mul", "Sin"]


@pytest.mark.parametrize("opset", [10, 13, 21])
def test_quantised_steps_stay_and_their_weights_stay_integers(opset: int) -> None:
    """As quantisation-aware training leaves them: the weight is quantised inside the graph."""
    nodes = [
        node("QuantizeLinear", "image step zero", "q"),
        node("DequantizeLinear", "q step zero", "x"),
        node("QuantizeLinear", "weight fine nought", "qw"),
        node("DequantizeLinear", "qw fine nought", "w"),
        node("Conv", "x w", "out", pads=[1, 1, 1, 1]),
    ]
    constants: dict[str, np.ndarray] = {
        "step": np.array(0.05, np.float32),
        "zero": np.array(128, np.uint8),
        "fine": np.array(0.02, np.float32),
        "nought": np.array(0, np.int8),
    }
    house = same_at_home(graph(nodes, constants, opset=opset))
    assert ops(house.graph) == ["QuantizeLinear", "DequantizeLinear", "DequantizeLinear", "Conv"]
    kept = {t.name: t for t in onnx.load_model_from_string(house.graph).graph.initializer}
    assert kept["qw"].data_type == TensorProto.INT8
    assert "weight" not in kept
