"""Only whole, checked ONNX files with one image input are read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from icecore.server.backbones.graphs.graph import Graph
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


def fix_the_batch(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def open_the_height(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "h"


def use_an_old_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 7
    del model.graph.node[3:]
    del model.graph.output[:]
    model.graph.output.append(
        helper.make_tensor_value_info("two.conv", TensorProto.FLOAT, ["n", 6, 4, 4])
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (keep_weights_outside, "keeps tensor 'one.weight' in another file"),
        (keep_an_attribute_outside, "in another file"),
        (name_an_unknown_operator, "checker refuses the graph: .*Convolve"),
        (read_what_is_not_there, "checker refuses the graph: .*nowhere"),
        (take_a_second_input, r"inputs \['image', 'more'\]"),
        (take_bytes, "must be float32"),
        (fix_the_batch, "must leave the batch open"),
        (open_the_height, "fix height and width"),
        (use_an_old_opset, "has opset 7"),
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


def test_a_tensor_used_only_inside_of_a_branch_is_an_ancestor() -> None:
    """A subgraph reads outer tensors without naming them as its node's inputs."""

    def branch(model: onnx.ModelProto) -> None:
        inner = helper.make_graph(
            [helper.make_node("Relu", ["two.conv"], ["inner"])],
            "inner",
            [],
            [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)],
        )
        model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
        node = helper.make_node(
            "If", ["yes"], ["chosen"], name="chosen", then_branch=inner, else_branch=inner
        )
        model.graph.node.append(node)

    graph = Graph(changed(branch))
    names = [graph.nodes[index].name for index in graph.ancestors(["chosen"])]
    assert names == ["one.conv", "one", "two.conv", "chosen"]
    assert graph.is_data("chosen")
