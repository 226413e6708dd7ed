"""TrainRequest and VersionFacts: checked once, and the same after a round trip."""

import json
from dataclasses import replace

import pytest

from icecore.server.errors import InvalidArgument, NameInvalid, StorageCorrupt
from icecore.server.training.facts import VersionFacts
from icecore.server.training.request import TrainRequest
from icecore.server.training.trials import Accuracy, JoinedGain, LayerTrial, PoolingTrial
from icecore.wire.taps import Activation, Pooling, PoolingKind, TapId

TAP = TapId("0" * 64, "two", backbone="toy", depth=2)
FACTS = VersionFacts(
    taps=(TAP,),
    C=0.1,
    classes=("ant", "bee"),
    accuracy=Accuracy(0.97, 0.93, 0.99),
    naive=0.98,
    trials=(
        LayerTrial("one", 1, Accuracy(0.6, 0.5, 0.7), 1.0, False),
        LayerTrial("two", 2, Accuracy(0.97, 0.93, 0.99), 0.1, True),
    ),
    objective=12.5,
    gap=1e-9,
    seed=2**63,
    data_digest="1" * 64,
    n_images=200,
)


@pytest.mark.parametrize(
    "request_",
    [
        TrainRequest("ants", "insects"),
        TrainRequest("ants", "insects", "svm", ("17", "-1", "name:267")),
        TrainRequest(
            "ants",
            "insects",
            activation=Activation.NONE,
            pooling=Pooling(PoolingKind.GEM, 2.5),
            seed=2**64 - 1,
            promote=False,
        ),
        TrainRequest("ants", "insects", layers=("all",)),
        TrainRequest("ants", "insects", choose_pooling=True),
    ],
)
def test_a_request_is_the_same_after_json(request_: TrainRequest) -> None:
    assert TrainRequest.from_json(json.loads(json.dumps(request_.to_json()))) == request_


def test_facts_are_the_same_after_json() -> None:
    again = VersionFacts.from_json(json.loads(json.dumps(FACTS.to_json())))
    assert again == FACTS
    assert str(again.taps[0]) == str(TAP), "the labels were lost"


def test_no_layers_means_auto() -> None:
    assert TrainRequest("p", "c", layers=()) == TrainRequest("p", "c", layers=("auto",))


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"kind": "tree"}, InvalidArgument, "kind 'tree' is not known: there are 'svm'"),
        ({"layers": ("auto", "3")}, InvalidArgument, "give 'auto' alone"),
        ({"seed": -1}, InvalidArgument, "seed is -1, but must be in 0.."),
        ({"not_worse_by": 2.0}, InvalidArgument, "promote_if_not_worse_by is 2.0, but must be"),
        ({"not_worse_by": float("nan")}, InvalidArgument, "is nan, but must be an accuracy"),
        (
            {"not_worse_by": 0.02, "promote": False},
            InvalidArgument,
            "leave_unpromoted and promote_if_not_worse_by are both set",
        ),
        ({"probe_id": "a/b"}, NameInvalid, "the probe's id 'a/b' is not made of"),
        ({"collection_id": ""}, NameInvalid, "the collection's id is empty"),
    ],
)
def test_a_wrong_request_is_refused(
    fields: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        TrainRequest(**{"probe_id": "p", "collection_id": "c", **fields})  # type: ignore[arg-type]


LATER = {
    "not_promoted_reason",
    "not_promoted_message",
    "not_worse_by",
    "preprocessing",
    "n_judged",
    "base_version",
    "choose_pooling",
    "gain",
    "pooling_trials",
    "n_layers",
}
"""What versions of before have not."""


def test_versions_of_before_are_read() -> None:
    request = TrainRequest("p", "c")
    for value in (FACTS, request):
        fields = {name: part for name, part in value.to_json().items() if name not in LATER}
        assert type(value).from_json(fields) == value


def test_versions_of_before_read_one_tap() -> None:
    fields = {**FACTS.to_json(), "tap": TAP.to_json()}
    del fields["taps"]
    assert VersionFacts.from_json(fields) == FACTS


def test_facts_of_joined_layers_are_the_same_after_json() -> None:
    gain = JoinedGain(Accuracy(0.7, 0.6, 0.8), 0.05, -0.01, 0.11)
    facts = replace(FACTS, taps=(replace(TAP, layer="one"), TAP), gain=gain)
    assert VersionFacts.from_json(json.loads(json.dumps(facts.to_json()))) == facts


def test_facts_of_what_was_tried_are_the_same_after_json() -> None:
    tried = (
        PoolingTrial(Pooling(), Accuracy(0.7, 0.6, 0.8), 0.1, False, "none"),
        PoolingTrial(Pooling(PoolingKind.GEM, 3.0), Accuracy(0.8, 0.7, 0.9), 1.0, True, "l2"),
    )
    facts = replace(FACTS, pooling_trials=tried, n_layers=33)
    assert VersionFacts.from_json(json.loads(json.dumps(facts.to_json()))) == facts


@pytest.mark.parametrize("key", sorted(set(FACTS.to_json()) - LATER))
def test_facts_with_a_part_missing_are_corrupt(key: str) -> None:
    fields = {name: value for name, value in FACTS.to_json().items() if name != key}
    with pytest.raises(StorageCorrupt, match=key):
        VersionFacts.from_json(fields)


@pytest.mark.parametrize("key", sorted(set(TrainRequest("p", "c").to_json()) - LATER))
def test_a_request_with_a_part_missing_is_corrupt(key: str) -> None:
    fields = dict(TrainRequest("p", "c").to_json())
    del fields[key]
    with pytest.raises(StorageCorrupt, match=key):
        TrainRequest.from_json(fields)
