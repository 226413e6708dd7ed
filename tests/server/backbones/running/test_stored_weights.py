"""Weights are copied from file to file as they lie, and nothing else changes."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from icecore.server.backbones.running.stored_weights import join, split
from networks import NAMES, network
from toys import toy_graph, toy_weights


@pytest.mark.parametrize("name", NAMES)
def test_split_and_joined_a_file_says_the_same(name: str) -> None:
    data = network(name)
    model, spans = split(data)
    whole = onnx.load_model_from_string(data)
    assert not model.graph.initializer
    assert list(spans) == [tensor.name for tensor in whole.graph.initializer]
    for tensor in whole.graph.initializer:
        first, end = spans[tensor.name]
        assert data[first:end] == tensor.SerializeToString(deterministic=True)
    assert onnx.load_model_from_string(join(model, data, iter(spans.values()))) == whole


def test_only_what_is_named_is_joined() -> None:
    data = toy_graph()
    model, spans = split(data)
    part = onnx.load_model_from_string(join(model, data, iter([spans["two.weight"]])))
    (tensor,) = part.graph.initializer
    assert np.array_equal(numpy_helper.to_array(tensor), toy_weights()["two.weight"])


def test_a_graph_in_two_pieces_is_one() -> None:
    """As protobuf has it: a message that occurs twice is merged."""
    data = toy_graph()
    model, spans = split(data)
    once = join(model, data, iter(spans.values()))
    again, moved = split(once)
    assert again == model
    assert list(moved) == list(spans)
    assert [once[a:b] for a, b in moved.values()] == [data[a:b] for a, b in spans.values()]


@pytest.mark.parametrize("keep", [1, 40, 400, -1])
def test_what_ends_too_early_is_refused(keep: int) -> None:
    with pytest.raises(ValueError, match=r"ends behind the message|no number before byte"):
        split(toy_graph()[:keep])


def test_what_is_no_message_is_refused() -> None:
    with pytest.raises(ValueError, match="wire type 7 at byte 0 is none of protobuf's"):
        split(b"\x0f\x00")
