"""How many images a graph takes: any number where that comes to the same, else one by one."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from house_graphs import TOKEN, conv, graph, ints, node
from house_runs import answers, batch_of, photos, same_at_home
from icecore.server.backbones.admission.house_form.house import House, bring_home
from icecore.server.errors import GraphInvalid

IMAGES = photos(3, 8)


def _tokens(batch: int) -> list[onnx.NodeProto]:
    """A class token in front of the positions, then two heads of two, as exporters write them."""
    return [
        conv(),
        node("Reshape", "map flat", "rows"),
        node("Transpose", "rows", "positions", perm=[0, 2, 1]),
        node("Concat", "token positions", "tokens", axis=1),
        node("Transpose", "tokens", "first", perm=[1, 0, 2]),
        node("Reshape", "first heads", "split"),
        node("Transpose", "split", "out", perm=[1, 0, 2]),
    ]


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_a_fixed_batch_is_opened_through_tokens_and_heads(batch: int) -> None:
    constants = {
        "flat": ints(batch, 4, 64),
        "token": np.repeat(TOKEN, batch, axis=0),
        "heads": ints(65, batch * 2, 2),
    }
    data = graph(_tokens(batch), constants, shape=[batch, 3, 8, 8], out_shape=[batch * 2, 65, 2])
    model = onnx.load_model_from_string(data)
    model.graph.node.append(node("Reshape", "out rows_again", "logits"))
    model.graph.initializer.append(numpy_helper.from_array(ints(batch, 260), "rows_again"))
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 260])
    )
    house = same_at_home(model.SerializeToString())
    assert batch_of(house.graph) is None
    assert f"the batch was fixed at {batch}; it is open" in house.changes


def test_an_image_that_cannot_be_batched_stays_alone() -> None:
    nodes = [conv(), node("Squeeze", "map zero", "one"), node("ReduceMax", "one", "out", axes=[0])]
    data = graph(nodes, {"zero": ints(0)}, shape=[1, 3, 8, 8], out_shape=[1, 8, 8])
    house = bring_home(data)
    assert batch_of(house.graph) == 1
    assert house == House(data, "NCHW", ())
    nodes[1] = node("Reshape", "map all", "one")
    several = graph(nodes, {"all": ints(16, 8, 8)}, shape=[4, 3, 8, 8], out_shape=[1, 8, 8])
    with pytest.raises(GraphInvalid, match="takes 4 images at a time"):
        bring_home(several)


def test_images_that_change_each_other_are_run_one_by_one() -> None:
    mixing = [conv(), node("ReduceMean", "map", "mean", axes=[0]), node("Sub", "map mean", "out")]
    house = bring_home(graph(mixing))
    assert batch_of(house.graph) == 1
    assert any("one by one" in change for change in house.changes)
    assert bring_home(house.graph) == House(house.graph, "NCHW", ())
    with pytest.raises(GraphInvalid, match="takes 4 images at a time"):
        bring_home(graph(mixing, shape=[4, 3, 8, 8]))


def test_tokens_that_differ_from_image_to_image_are_refused() -> None:
    constants = {"flat": ints(2, 4, 64), "token": np.concatenate([TOKEN, -TOKEN])}
    data = graph(
        _tokens(2)[:4], constants, shape=[2, 3, 8, 8], output="tokens", out_shape=[2, 65, 4]
    )
    with pytest.raises(GraphInvalid, match="takes 2 images at a time"):
        bring_home(data)


def test_an_open_batch_that_is_none_is_opened_in_truth() -> None:
    """torch leaves the traced batch in a Reshape while the file calls its batch open."""
    data = graph(
        [conv(), node("Reshape", "map shape", "out")],
        {"shape": ints(1, 256)},
        out_shape=[None, None],
    )
    house = bring_home(data)
    assert batch_of(house.graph) is None
    assert answers(house.graph, IMAGES)[0].shape == (3, 256)
