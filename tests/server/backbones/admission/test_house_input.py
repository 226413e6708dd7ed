"""The input of the house form: size, order of channels, type; and training mode left."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from house_graphs import WEIGHT, conv, graph, ints, node, ops
from house_runs import EXACT, answers, apart, photos
from icecore.server.backbones.admission.house_form.house import House, bring_home, input_size
from icecore.server.errors import GraphInvalid

IMAGES = photos(3, 8)


@pytest.mark.parametrize(("size", "expected"), [((8, 8), (8, 8)), ((6, 10), (6, 10))])
def test_the_recipe_fixes_what_the_file_leaves_open(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    data = graph([conv("out")], shape=["n", 3, "h", "w"])
    assert input_size(data) is None
    house = bring_home(data, size)
    assert input_size(house.graph) == expected
    assert f"the recipe's {expected[0]} x {expected[1]}" in house.changes[0]


def test_the_file_wins_over_the_recipe() -> None:
    data = graph([conv("out")])
    assert bring_home(data, (16, 16)) == House(data, "NCHW", ())


def test_nobody_knowing_the_size_it_is_the_usual_one() -> None:
    house = bring_home(graph([conv("out")], shape=["n", 3, None, None]))
    assert input_size(house.graph) == (224, 224)
    assert "224 x 224" in house.changes[0]


def test_a_size_that_does_not_fit_asks_for_a_recipe() -> None:
    data = graph(
        [conv(), node("Reshape", "map shape", "out")],
        {"shape": ints(0, 4 * 64)},
        shape=["n", 3, None, None],
        out_shape=[None, None],
    )
    with pytest.raises(GraphInvalid, match="name them in a recipe"):
        bring_home(data)
    assert input_size(bring_home(data, (8, 8)).graph) == (8, 8)


def test_channels_last_are_turned_once() -> None:
    turned = [node("Transpose", "image", "first", perm=[0, 3, 1, 2]), conv("out", "first")]
    house = bring_home(graph(turned, shape=["n", 8, 8, 3]))
    assert house.layout == "NHWC"
    assert ops(house.graph) == ["Conv"]
    kept = [*turned, node("ReduceMean", "image", "mean", axes=[1, 2])]
    data = graph([*kept, node("Add", "mean mean", "unused")], shape=["n", 8, 8, 3])
    model = onnx.load_model_from_string(data)
    model.graph.output.append(helper.make_tensor_value_info("mean", TensorProto.FLOAT, [None] * 4))
    house = bring_home(model.SerializeToString())
    assert sorted(ops(house.graph)) == ["Conv", "ReduceMean", "Transpose"]
    images = photos(2, 8)
    assert apart(answers(house.graph, images), answers(model.SerializeToString(), images)) <= EXACT


def test_double_precision_is_rounded_to_float32() -> None:
    """Held against onnx's own evaluator: onnxruntime has no such convolution."""
    weight = WEIGHT.astype(np.float64) + 1e-12
    data = graph([conv("out")], {"weight": weight}, kind=TensorProto.DOUBLE)
    house = bring_home(data)
    found = ReferenceEvaluator(data).run(None, {"image": IMAGES.astype(np.float64)})
    assert isinstance(found, list)
    assert apart(answers(house.graph, IMAGES), found) <= EXACT
    assert "double weights are kept as float32" in house.changes


def test_bfloat16_weights_are_kept_exactly() -> None:
    weight = helper.make_tensor(
        "weight", TensorProto.BFLOAT16, WEIGHT.shape, WEIGHT.ravel().tolist()
    )
    model = onnx.load_model_from_string(
        graph([node("Cast", "weight", "half", to=1), conv("out", "image")], opset=22)
    )
    model.graph.node[1].input[1] = "half"
    model.graph.initializer[0].CopyFrom(weight)
    house = bring_home(model.SerializeToString())
    (kept,) = onnx.load_model_from_string(house.graph).graph.initializer
    np.testing.assert_array_equal(
        numpy_helper.to_array(kept), numpy_helper.to_array(weight).astype(np.float32)
    )


def test_training_mode_is_left() -> None:
    names = ("scale", "shift", "mean", "variance")
    constants: dict[str, np.ndarray] = {
        name: np.linspace(0.5, 2, 4).astype(np.float32) for name in names
    }
    constants["ratio"] = np.array(0.5, np.float32)
    constants["yes"] = np.array(True)

    def network(*, training: bool) -> bytes:
        outputs = "normed m v" if training else "normed"
        dropout = "normed ratio yes" if training else "normed"
        return graph(
            [
                conv(),
                node(
                    "BatchNormalization",
                    "map scale shift mean variance",
                    outputs,
                    training_mode=int(training),
                ),
                node("Dropout", dropout, "out"),
            ],
            constants,
            opset=15,
        )

    house = bring_home(network(training=True))
    evaluated = answers(network(training=False), IMAGES)
    assert apart(answers(house.graph, IMAGES), evaluated) <= EXACT
    assert any("running statistics" in change for change in house.changes)
