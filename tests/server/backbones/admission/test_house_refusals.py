"""Files that cannot come home: each gets a sentence that says why and what to do."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from house_graphs import WEIGHT, conv, graph, ints, node
from icecore.server.backbones.admission.house_form.house import bring_home, input_size
from icecore.server.errors import GraphInvalid

STEP: dict[str, np.ndarray] = {"s": np.array(0.1, np.float32), "z": np.array(0, np.uint8)}


def loop() -> list[onnx.NodeProto]:
    body = helper.make_graph(
        [node("Identity", "going", "goes_on"), node("Relu", "x", "y")],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
        ],
    )
    return [conv(), node("Loop", "times - map", "out", body=body)]


def external() -> bytes:
    model = onnx.load_model_from_string(graph([conv("out")]))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    return model.SerializeToString()


def sparse() -> bytes:
    model = onnx.load_model_from_string(graph([conv("out")]))
    values = numpy_helper.from_array(np.ones(1, np.float32), "weight")
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, numpy_helper.from_array(ints(3), "at"), [4, 3, 3, 3])
    )
    del model.graph.initializer[:]
    return model.SerializeToString()


def two_images() -> bytes:
    model = onnx.load_model_from_string(graph([conv("out")]))
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))
    return model.SerializeToString()


QLINEAR = [
    node("QuantizeLinear", "image s z", "q"),
    node("QLinearConv", "q s z w s z s z", "c"),
    node("DequantizeLinear", "c s z", "out"),
]

REFUSED = {
    "nothing": (b"", "hold no ONNX graph"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(99), "are not an ONNX file"),
    "outside data": (external(), "save_as_external_data=False"),
    "sparse weights": (sparse(), "export it with dense weights"),
    "two inputs": (two_images(), r"inputs \['image', 'mask'\], but must have one"),
    "opset 6": (graph([conv("out")], opset=6), "has opset 6, but 7 is the oldest"),
    "an operator of a runtime's": (
        graph(
            [conv(), node("FusedGelu", "map", "out", domain="com.microsoft")],
            domains=["com.microsoft"],
        ),
        "'FusedGelu' of domain 'com.microsoft'.*before any runtime has optimised it",
    ),
    "a loop": (graph(loop(), {"times": np.array(3)}), "'Loop'.*runs a loop"),
    "lists": (
        graph(
            [
                conv(),
                node("SequenceConstruct", "map map", "both"),
                node("ConcatFromSequence", "both", "out", axis=1),
            ]
        ),
        "'SequenceConstruct'.*works on lists",
    ),
    "chance": (
        graph([conv(), node("RandomNormalLike", "map", "noise"), node("Add", "map noise", "out")]),
        "'RandomNormalLike'.*draws random numbers",
    ),
    "integer arithmetic": (
        graph(QLINEAR, {**STEP, "w": np.ones((4, 3, 3, 3), np.uint8)}),
        "'QLinearConv'.*export it in the QDQ format",
    ),
    "uint8 pixels": (
        graph([node("Cast", "image", "x", to=1), conv("out", "x")], kind=TensorProto.UINT8),
        "is uint8, but must be float32",
    ),
    "grey images": (
        graph([node("Conv", "image grey", "out")], {"grey": WEIGHT[:, :1]}, shape=["n", 1, 8, 8]),
        r"shape \(\?, 1, 8, 8\), but must have three channels",
    ),
    "an image without batch": (
        graph(
            [node("Unsqueeze", "image zero", "x"), conv("out", "x")],
            {"zero": ints(0)},
            shape=[3, 8, 8],
        ),
        r"shape \(3, 8, 8\), but must be \(n, 3, h, w\)",
    ),
    "weights that do not fit": (
        graph([conv(), node("Conv", "map weight", "out")]),
        "does not run on 1 image",
    ),
    "a mask that is read": (
        graph(
            [
                conv(),
                node("Dropout", "map", "kept mask"),
                node("Cast", "mask", "m", to=1),
                node("Mul", "kept m", "out"),
            ]
        ),
        "reads the mask of dropout",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_sentence_says_why(what: str) -> None:
    data, sentence = REFUSED[what]
    with pytest.raises(GraphInvalid, match=sentence) as refusal:
        bring_home(data)
    assert "\n" not in refusal.value.message
    assert not refusal.value.message.endswith(".")


def test_a_circle_is_refused() -> None:
    data = graph([node("Add", "image b", "a"), node("Relu", "a", "b"), conv("out", "b")])
    with pytest.raises(GraphInvalid, match="sorted"):
        bring_home(data)


def test_the_size_is_refused_as_the_file_is() -> None:
    with pytest.raises(GraphInvalid, match="not an ONNX file"):
        input_size(REFUSED["a picture"][0])
