"""Trainings, predictions and advice whose layers or pooling the server chooses, as messages."""

from typing import Any

import pytest

from icecore.client import Accuracy, Difference, Pooling, PoolingKind, SharedClasses, TapId
from icecore.client._operations import advice as advice_operations
from icecore.client._operations import predict as predict_operations
from icecore.client._operations import probe_answers
from icecore.client._operations import training as training_operations
from icecore.client.advice_values import JoinedAdvice, LayerPlace
from icecore.v1 import probe_pb2
from icecore.wire import messages

TAPS = tuple(
    TapId(digest="ab" * 32, layer=f"blocks.{depth}.expand", backbone="lite0", depth=depth)
    for depth in (11, 3, 7)
)


def train(pooling: Any) -> probe_pb2.TrainProbeRequest:
    request = training_operations.train_probe(
        "p",
        "c",
        kind="svm",
        layers=11,
        activation="as-trained",
        pooling=pooling,
        seed=0,
        promote=True,
        not_worse_by=None,
        request_id=None,
    ).request
    assert isinstance(request, probe_pb2.TrainProbeRequest)
    return request


def advised(**given: Any) -> probe_pb2.AdviseTransferResponse:
    """The last answer of an advice with next to nothing in it."""
    advice = probe_pb2.Advice(
        kind=probe_pb2.PROBE_KIND_SVM,
        verdict=probe_pb2.Verdict(kind=probe_pb2.VERDICT_KIND_UNDECIDED),
        sufficiency=probe_pb2.Sufficiency(kind=probe_pb2.SUFFICIENCY_KIND_ENOUGH),
        scenario=probe_pb2.Scenario(
            size="SMALL", similarity="PARTLY", recommendation="PROBE_AT_ANY"
        ),
        confusion=probe_pb2.Confusion(classes=["ant", "bee"], counts=[1, 0, 0, 1]),
        **given,
    )
    return probe_pb2.AdviseTransferResponse(stage="done", progress=1.0, advice=advice)


def joined_of(answer: probe_pb2.AdviseTransferResponse) -> JoinedAdvice | None:
    operation = advice_operations.advise_transfer(
        "c", backbones=(), kind="svm", seed=0, max_images=0
    )
    advice = operation.read(answer).advice
    assert advice is not None
    return advice.joined


def test_the_server_is_asked_to_choose_the_pooling_and_sent_none() -> None:
    request = train("auto")
    assert request.choose_pooling
    assert not request.HasField("pooling")


@pytest.mark.parametrize("pooling", ["avg", "gem", PoolingKind.MAX, Pooling(PoolingKind.GEM, 2.5)])
def test_a_pooling_that_is_named_is_sent_and_none_is_chosen(pooling: Any) -> None:
    request = train(pooling)
    assert not request.choose_pooling
    assert request.HasField("pooling")


def test_every_prediction_names_the_layers_that_were_joined_in_their_order() -> None:
    operation = predict_operations.predict("p", [b"x", b"y"], codes=None, version=0)
    answer = probe_pb2.PredictResponse(
        predictions=[probe_pb2.Prediction(label="bee", scores=[-1.0, 1.0])] * 2,
        classes=["ant", "bee"],
        version=3,
        joined_taps=map(messages.tap_to_message, TAPS),
    )
    assert [(one.tap, one.joined_taps) for one in operation.read(answer)] == [(None, TAPS)] * 2


def test_shared_classes_are_none_where_the_server_sent_none() -> None:
    message = probe_pb2.CompareVersionsResponse(n_images=9)
    assert probe_answers.comparison_value(message).shared is None
    part = probe_pb2.SharedClasses(
        n_images=5,
        accuracy_a=probe_pb2.Accuracy(estimate=0.5, low=0.25, high=0.75),
        accuracy_b=probe_pb2.Accuracy(estimate=0.75, low=0.5, high=1.0),
        difference=probe_pb2.Difference(estimate=0.25, low=0.125, high=0.5),
    )
    message = probe_pb2.CompareVersionsResponse(version_a=1, version_b=2, shared=part)
    found = probe_answers.comparison_value(message)
    assert found.shared == SharedClasses(
        5, Accuracy(0.5, 0.25, 0.75), Accuracy(0.75, 0.5, 1.0), Difference(0.25, 0.125, 0.5)
    )
    assert (found.better, found.better_on_shared) == (None, 2)


def test_an_advice_tells_what_joining_gives_and_of_which_layers() -> None:
    joined = probe_pb2.JoinedAdvice(
        places=[
            probe_pb2.LayerPlace(backbone="lite0", layer="b", depth=7),
            probe_pb2.LayerPlace(backbone="lite0", layer="logits"),
        ],
        accuracy=probe_pb2.Accuracy(estimate=0.91, low=0.84, high=0.96),
        difference=probe_pb2.Difference(estimate=0.1, low=0.02, high=0.17),
    )
    assert joined_of(advised(joined=joined)) == JoinedAdvice(
        (LayerPlace("lite0", "b", 7), LayerPlace("lite0", "logits", None)),
        Accuracy(0.91, 0.84, 0.96),
        Difference(0.1, 0.02, 0.17),
    )
    assert joined_of(advised()) is None
