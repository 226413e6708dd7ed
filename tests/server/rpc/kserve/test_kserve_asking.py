"""Outputs that are asked for: no more work is done for them than they are worth."""

from types import SimpleNamespace
from typing import Any

import pytest

from icecore.kserve import open_inference as pb
from icecore.server.errors import InvalidArgument
from icecore.server.rpc.inputs import MAX_LAYERS
from icecore.server.rpc.kserve import asking
from toys import toy_backbone

BACKBONE = toy_backbone()


def _asking(*names: str) -> pb.ModelInferRequest:
    make = pb.ModelInferRequest.InferRequestedOutputTensor
    return pb.ModelInferRequest(model_name="toy", outputs=[make(name=name) for name in names])


def test_all_layers_a_thousand_times_are_not_made_first() -> None:
    made = []

    def tap(*args: Any, **given: Any) -> Any:
        made.append(args)
        return BACKBONE.tap(*args, **given)

    backbone: Any = SimpleNamespace(tap=tap, select=lambda _: BACKBONE.ranked * 500)
    with pytest.raises(InvalidArgument, match="layers, but 4,096 are the most"):
        asking.codes_outputs(_asking(*["*"] * MAX_LAYERS), backbone)
    assert len(made) <= MAX_LAYERS + 500 * len(BACKBONE.ranked)


def test_the_output_that_is_there_twice_is_named() -> None:
    with pytest.raises(InvalidArgument, match="output '2' is asked for twice"):
        asking.codes_outputs(_asking("1", "2", "-1", "2"), BACKBONE)
    with pytest.raises(InvalidArgument, match="output 'label' is asked for twice"):
        asking.probe_outputs(_asking("scores", "label", "label"))


def test_of_a_million_outputs_of_a_probe_four_are_looked_at() -> None:
    class Outputs(list[Any]):
        def __iter__(self) -> Any:
            raise AssertionError("walked")

    asked: Any = SimpleNamespace(outputs=Outputs(_asking(*["label"] * 1000).outputs))
    with pytest.raises(InvalidArgument, match="output 'label' is asked for twice"):
        asking.probe_outputs(asked)


def test_a_switch_that_is_a_word_is_refused() -> None:
    """It would be taken for no."""
    made = _asking()
    made.parameters[asking.FINAL].string_param = "true"
    with pytest.raises(InvalidArgument, match="'true', but must be true or false"):
        asking.how(made, is_probe=False)
