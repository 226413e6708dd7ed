"""Only whole, checked ONNX files with one image input are read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from icecore.server.backbones.graphs import shapes
from icecore.server.backbones.graphs.graph import Graph
from icecore.server.backbones.graphs.parsing import MAX_NODES
from icecore.server.errors import GraphInvalid
from toys import toy_graph

Change = Callable[[onnx.ModelProto], None]


def changed(change: Change) -> bytes:
    model = onnx.load_model_from_string(toy_graph())
    change(model)
    return bytes(model.SerializeToString())


def keep_weights_outside(model: onnx.ModelProto) -> None:
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "weights.bin")


def keep_an_attribute_outside(model: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(4, np.float32))
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/hostname"
    model.graph.node.insert(0, helper.make_node("Constant", [], ["outside"], value=tensor))


def name_an_unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Convolve"


def read_what_is_not_there(model: onnx.ModelProto) -> None:
    model.graph.node[1].input[0] = "nowhere"


def take_a_second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, ["n"]))


def take_bytes(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8


def fix_the_batch_at(n: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = n
        model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = n

    return change


def take_negative_rows(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = -8


def use_a_foreign_operator(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.node[1].op_type, model.graph.node[1].domain = "Gelu", "com.microsoft"


def branch(model: onnx.ModelProto) -> None:
    inner = helper.make_graph(
        [helper.make_node("Relu", ["two.conv"], ["inner"])],
        "inner",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node.append(
        helper.make_node("If", ["yes"], ["chosen"], then_branch=inner, else_branch=inner)
    )


def define_a_function(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("mine", 1))
    body = [helper.make_node("Relu", ["x"], ["y"])]
    opsets = [helper.make_opsetid("", 13)]
    model.functions.append(helper.make_function("mine", "Rectify", ["x"], ["y"], body, opsets))


def keep_weights_sparse(model: onnx.ModelProto) -> None:
    values = numpy_helper.from_array(np.ones(1, np.float32), "sparse")
    places = numpy_helper.from_array(np.zeros(1, np.int64))
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [9]))


def have_too_many_nodes(model: onnx.ModelProto) -> None:
    model.graph.node.extend(
        helper.make_node("Relu", ["one"], [f"more.{i}"]) for i in range(MAX_NODES)
    )


def open_the_height(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "h"


def use_an_old_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 12


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (keep_weights_outside, "keeps tensor 'one.weight' in another file"),
        (keep_an_attribute_outside, "in another file"),
        (name_an_unknown_operator, "checker refuses the graph: .*Convolve"),
        (read_what_is_not_there, "checker refuses the graph: .*nowhere"),
        (take_a_second_input, r"inputs \['image', 'more'\]"),
        (take_bytes, "must be float32"),
        (fix_the_batch_at(2), "must leave the batch open"),
        (take_negative_rows, "fix height and width"),
        (use_a_foreign_operator, "operator 'Gelu' of domain 'com.microsoft'"),
        (branch, "operator 'If', which holds a graph of its own"),
        (define_a_function, "function 'Rectify'"),
        (keep_weights_sparse, "sparse initializers"),
        (have_too_many_nodes, "20,010 nodes, but at most 20,000"),
        (open_the_height, "fix height and width"),
        (use_an_old_opset, "has opset 12"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_graph_that_is_not_ours_to_run_is_refused(change: Change, sentence: str) -> None:
    with pytest.raises(GraphInvalid, match=sentence) as caught:
        Graph(changed(change))
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("data", [b"", b"\x00\x01\x02", b"GIF89a", b"\xff" * 100])
def test_bytes_that_are_no_graph_are_refused(data: bytes) -> None:
    with pytest.raises(GraphInvalid):
        Graph(data)


def test_a_file_cut_short_anywhere_is_refused() -> None:
    data = toy_graph()
    for end in range(0, len(data), 97):
        with pytest.raises(GraphInvalid):
            Graph(data[:end])


def test_nothing_is_read_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the file that a graph refers to is right there."""
    monkeypatch.chdir(tmp_path)
    Path("weights.bin").write_bytes(bytes(48))
    with pytest.raises(GraphInvalid, match="another file"):
        Graph(changed(keep_weights_outside))


def test_ancestors_are_all_that_a_tensor_needs_and_no_more() -> None:
    graph = Graph(toy_graph())
    names = [graph.nodes[index].name for index in graph.ancestors(["two"])]
    assert names == ["one.conv", "one", "two.conv", "two"]
    assert graph.ancestors(["image", "one.weight"]) == []


def test_a_batch_is_open_or_one() -> None:
    assert Graph(toy_graph()).batch is None
    one = Graph(changed(fix_the_batch_at(1)))
    assert one.batch == 1
    assert one.shape("two") == (1, 6, 4, 4)


def test_readers_are_all_that_take_a_tensor() -> None:
    graph = Graph(toy_graph())
    assert [node.name for node in graph.readers("two")] == ["branch", "sum"]
    assert graph.readers("logits") == []


def test_shapes_are_known_with_the_batch_open() -> None:
    graph = Graph(toy_graph())
    assert graph.shape("image") == (None, 3, 8, 8)
    assert graph.shape("two.conv") == (None, 6, 4, 4)
    assert graph.shape("logits") == (None, 5)
    assert graph.shape("two.weight") == (6, 4, 3, 3)
    assert graph.shape("nowhere") is None


def test_what_a_file_says_of_its_inner_shapes_is_not_believed() -> None:
    def lie(model: onnx.ModelProto) -> None:
        said = helper.make_tensor_value_info("two", TensorProto.FLOAT, ["n", 6, 4000, 4000])
        model.graph.value_info.append(said)

    assert Graph(changed(lie)).shape("two") == (None, 6, 4, 4)


def test_weights_take_no_part_in_finding_shapes() -> None:
    """A network of any size is read at the price of its nodes."""
    model = onnx.load_model_from_string(toy_graph())
    wide = np.zeros((4, 3, 500, 500), np.float32)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(wide, "one.weight"))
    assert model.ByteSize() > wide.nbytes
    assert shapes.skeleton(model, image="image", is_open=True).ByteSize() < 4_000
