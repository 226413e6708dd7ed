"""Arguments become the contract's messages, and its answers become values."""

from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from icecore.client import (
    Accuracy,
    Activation,
    Codes,
    Example,
    Hit,
    Internal,
    InvalidArgument,
    NewExample,
    Pooling,
    PoolingKind,
    PoolingTrial,
    ProbeKind,
    Quota,
    Scalar,
    TapId,
    TrainingFailed,
    Usage,
    VersionState,
)
from icecore.client._operations import codes as codes_operations
from icecore.client._operations import collection as collection_operations
from icecore.client._operations import predict as predict_operations
from icecore.client._operations import search as search_operations
from icecore.client._operations import tenant as tenant_operations
from icecore.client._operations import training as training_operations
from icecore.client._operations.places import image_bytes
from icecore.client._operations.probe_answers import version_value
from icecore.v1 import codes_pb2, collection_pb2, common_pb2, probe_pb2, tenant_pb2
from icecore.wire import messages

TAP = TapId(digest="ab" * 32, layer="blocks.5.expand", backbone="lite0", depth=11)
CODES = Codes(np.ones((2, 3), np.float32), TAP)
NOW = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)


def plan(**given: Any) -> codes_operations.EmbedPlan:
    arguments = {
        "backbone": "",
        "layers": -1,
        "activation": Activation.AS_TRAINED,
        "pooling": Pooling(),
        "dtype": "float32",
    }
    return codes_operations.embed_plan(**{**arguments, **given})


def embed(images: Any) -> Any:
    return plan().embed(images)


def search(**given: Any) -> Any:
    arguments = {
        "images": None,
        "example_ids": None,
        "codes": None,
        "k": 10,
        "layer": -1,
        "activation": "as-trained",
        "pooling": "avg",
        "metric": "cosine",
        "where": "",
    }
    return search_operations.search("c", **{**arguments, **given})


def train(**given: Any) -> Any:
    arguments = {
        "kind": "svm",
        "layers": "auto",
        "activation": "as-trained",
        "pooling": "avg",
        "seed": 0,
        "not_worse_by": None,
        "promote": True,
        "request_id": None,
    }
    return training_operations.train_probe("p", "c", **{**arguments, **given})


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        (17, ["17"]),
        (-1, ["-1"]),
        ("17", ["17"]),
        ("*", ["*"]),
        ("name:267", ["name:267"]),
        ([3, "blocks.5.expand"], ["3", "blocks.5.expand"]),
        ([], []),
    ],
)
def test_one_layer_is_one_and_not_its_letters(layers: Any, names: list[str]) -> None:
    assert list(plan(layers=layers).head.layers) == names


@pytest.mark.parametrize(
    ("pooling", "kind", "gem_p"),
    [
        ("avg", common_pb2.POOLING_KIND_AVG, 0.0),
        ("gem", common_pb2.POOLING_KIND_GEM, 3.0),
        (PoolingKind.NONE, common_pb2.POOLING_KIND_NONE, 0.0),
        (Pooling(PoolingKind.GEM, 2.5), common_pb2.POOLING_KIND_GEM, 2.5),
    ],
)
def test_pooling_is_a_word_or_a_value(pooling: Any, kind: int, gem_p: float) -> None:
    message = plan(pooling=pooling).head.pooling
    assert (message.kind, message.gem_p) == (kind, gem_p)


@pytest.mark.parametrize(
    ("make", "sentence", "reason"),
    [
        (lambda: plan(pooling="mean"), "pooling 'mean' is not known: 'avg', ", "POOLING_INVALID"),
        (lambda: plan(dtype="float64"), "dtype 'float64' is not known", "DTYPE_INVALID"),
        (lambda: plan(dtype="uint8"), "dtype 'uint8' is not known", "DTYPE_INVALID"),
        (lambda: plan(dtype="nonsense"), "dtype 'nonsense' is not known", "DTYPE_INVALID"),
        (lambda: plan(activation="tanh"), "activation 'tanh' is not known", "ARGUMENT_INVALID"),
        (lambda: plan(layers=[1.5]), "layer 1.5 is neither", "ARGUMENT_INVALID"),
        (lambda: plan(layers=True), "layer True is neither", "ARGUMENT_INVALID"),
        (lambda: embed(b"one"), "images are one 'bytes'", "ARGUMENT_INVALID"),
        (lambda: embed("a.jpg"), "images are one 'str'", "ARGUMENT_INVALID"),
        (
            lambda: embed([b"x", 5]),
            "image 1 is a 'int', but must be bytes, a path",
            "ARGUMENT_INVALID",
        ),
        (lambda: embed([""]), "'' is not the path of an image", "ARGUMENT_INVALID"),
        (lambda: embed(["a\0.jpg"]), "is not the path of an image", "ARGUMENT_INVALID"),
        (
            lambda: embed([b"x", np.zeros((2, 2, 3))]),
            "image 1: the image is an array of 'float64'",
            "TENSOR_INVALID",
        ),
        (lambda: search(), "but 0 are given", "ARGUMENT_INVALID"),
        (lambda: search(codes=CODES, images=[b"x"]), "but 2 are given", "ARGUMENT_INVALID"),
        (lambda: search(codes=CODES, k=1 << 40), "k is 1099511627776", "K_INVALID"),
        (lambda: search(codes=CODES, metric="l1"), "metric 'l1' is not known", "ARGUMENT_INVALID"),
        (lambda: search(example_ids="a.jpg"), "one string 'a.jpg'", "ARGUMENT_INVALID"),
        (lambda: train(kind="tree"), "'svm', 'softmax'", "ARGUMENT_INVALID"),
        (lambda: train(seed=-1), "seed is -1", "ARGUMENT_INVALID"),
        (lambda: train(request_id=""), "request_id is ''", "REQUEST_ID_INVALID"),
        (
            lambda: predict_operations.predict("p", None, codes=None, version=0),
            "images or codes, but neither is given",
            "ARGUMENT_INVALID",
        ),
        (
            lambda: predict_operations.predict("p", [b"x"], codes=CODES, version=0),
            "but both are given",
            "ARGUMENT_INVALID",
        ),
        (
            lambda: predict_operations.predict("p", [b"x"], codes=None, version=-1),
            "version is -1",
            "ARGUMENT_INVALID",
        ),
        (
            lambda: collection_operations.delete_examples("c", "one", request_id=None),
            "one string 'one'",
            "ARGUMENT_INVALID",
        ),
        (
            lambda: collection_operations.add_plan("c", on_duplicate="merge"),
            "'refuse', 'replace', 'skip'",
            "ARGUMENT_INVALID",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_before_it_is_sent(
    make: Any, sentence: str, reason: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        make()
    assert sentence in str(refused.value)
    assert refused.value.reason == reason


def test_images_of_all_kinds_are_sent_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"file")
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    request = plan().embed([b"bytes", path, str(path), pixels]).request
    assert isinstance(request, codes_pb2.EmbedRequest)
    sent = [messages.image_from_message(image) for image in request.images]
    assert sent[:3] == [b"bytes", b"file", b"file"]
    np.testing.assert_array_equal(sent[3], pixels)
    assert [image_bytes(one) for one in (b"bytes", path, str(path))] == [5, 4, 4]


def test_a_file_that_is_not_there_is_the_systems_own_error(tmp_path: Path) -> None:
    path = tmp_path / "absent.jpg"
    for absent in (path, str(path)):
        with pytest.raises(FileNotFoundError, match=r"No such file or directory: '.*absent\.jpg'"):
            plan().embed([absent])


def test_an_empty_query_is_sent_as_one_so_that_the_server_can_refuse_it() -> None:
    assert search(images=[]).request.WhichOneof("query") == "images"
    assert search(example_ids=[]).request.WhichOneof("query") == "example_ids"
    empty = predict_operations.predict("p", [], codes=None, version=0).request
    assert isinstance(empty, probe_pb2.PredictRequest)
    assert empty.WhichOneof("input") == "images"


def test_each_call_has_a_request_id_of_its_own_unless_the_caller_gives_one() -> None:
    ids = {train().request.request_id for _ in range(10)}
    assert len(ids) == 10
    assert all(1 <= len(request_id) <= 128 for request_id in ids)
    assert train(request_id="mine").request.request_id == "mine"
    add = collection_operations.add_plan("c", on_duplicate="replace")
    first, second = (add.batch([NewExample("a", b"x")]).request for _ in range(2))
    assert first.request_id != second.request_id  # type: ignore[attr-defined]


def test_examples_survive_the_way_there_and_back() -> None:
    metadata: dict[str, Scalar] = {"year": 2020.0, "is_old": True, "note": "x", "empty": ""}
    request = (
        collection_operations.add_plan("c", on_duplicate="skip")
        .batch([NewExample("a/b.jpg", b"x", "ant", metadata)])
        .request
    )
    assert isinstance(request, collection_pb2.AddExamplesRequest)
    assert request.on_duplicate == collection_pb2.AddExamplesRequest.ON_DUPLICATE_SKIP
    back = collection_operations.example_value(request.examples[0].example, "ff")
    assert back == Example("a/b.jpg", "ant", metadata, "ff")
    assert isinstance(back.metadata["is_old"], bool)


@pytest.mark.parametrize("metadata", [{"a": [1]}, {"a": None}, {"a": {"b": 1}}, {1: "a"}])
def test_metadata_is_flat(metadata: Any) -> None:
    with pytest.raises(InvalidArgument, match="but metadata is flat") as refused:
        collection_operations.add_plan("c", on_duplicate="skip").batch(
            [NewExample("a", b"x", metadata=metadata)]
        )
    assert refused.value.reason == "METADATA_INVALID"


def test_names_of_files_that_are_not_utf8_are_refused_with_their_name() -> None:
    with pytest.raises(InvalidArgument, match=r"the example's id 'a\\udcff.jpg' is not text"):
        collection_operations.add_plan("c", on_duplicate="skip").batch(
            [NewExample("a\udcff.jpg", b"x")]
        )


def stamp() -> Timestamp:
    message = Timestamp()
    message.FromDatetime(NOW)
    return message


def version_message(state: probe_pb2.VersionState.ValueType, **given: Any) -> Any:
    return probe_pb2.ProbeVersion(
        probe_id="p",
        version=3,
        state=state,
        kind=probe_pb2.PROBE_KIND_SVM,
        create_time=stamp(),
        **given,
    )


def test_a_version_in_training_has_found_nothing_yet() -> None:
    version = version_value(version_message(probe_pb2.VERSION_STATE_TRAINING))
    assert (version.state, version.kind) == (VersionState.TRAINING, ProbeKind.SVM)
    assert version.create_time == NOW
    assert (version.tap, version.C, version.accuracy, version.gap) == (None, None, None, None)
    assert version.n_layers is None
    with pytest.raises(TrainingFailed, match="version 3 of probe 'p' is not ready"):
        training_operations.ready(version)


def test_a_ready_version_tells_what_was_found() -> None:
    version = version_value(
        version_message(
            probe_pb2.VERSION_STATE_READY,
            tap=messages.tap_to_message(TAP),
            c=0.01,
            classes=["ant", "bee"],
            accuracy=probe_pb2.Accuracy(estimate=0.96, low=0.93, high=0.98),
            trials=[probe_pb2.LayerTrial(layer="x", depth=0, c=1.0, is_chosen=True)],
            n_layers=33,
            pooling_trials=[
                probe_pb2.PoolingTrial(
                    pooling=common_pb2.Pooling(kind=common_pb2.POOLING_KIND_GEM, gem_p=3.0),
                    accuracy=probe_pb2.Accuracy(estimate=0.9, low=0.8, high=1.0),
                    c=2.0,
                    is_chosen=True,
                    preprocessing="l2",
                )
            ],
        )
    )
    assert training_operations.ready(version) is version
    assert (version.tap, version.C, version.classes) == (TAP, 0.01, ("ant", "bee"))
    assert version.accuracy == Accuracy(0.96, 0.93, 0.98)
    assert version.trials[0].depth is None
    assert (version.n_layers_judged, version.n_layers) == (1, 33)
    gem = Pooling(PoolingKind.GEM, 3.0)
    assert version.pooling_trials == (PoolingTrial(gem, Accuracy(0.9, 0.8, 1.0), 2.0, True, "l2"),)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (probe_pb2.VERSION_STATE_FAILED, "CLASS_TOO_SMALL"),
        (probe_pb2.VERSION_STATE_CANCELLED, "CANCELLED"),
    ],
)
def test_training_that_failed_says_why_and_holds_the_version(state: Any, reason: str) -> None:
    failed = state == probe_pb2.VERSION_STATE_FAILED
    version = version_value(
        version_message(
            state,
            failure_reason=reason if failed else "",
            failure_message="class 'x' has one image" if failed else "",
        )
    )
    with pytest.raises(TrainingFailed) as refused:
        training_operations.ready(version)
    assert (refused.value.reason, refused.value.version) == (reason, version)
    assert ("class 'x' has one image" in str(refused.value)) == failed


def test_predictions_name_their_classes() -> None:
    operation = predict_operations.predict("p", [b"x"], codes=None, version=0)
    answer = probe_pb2.PredictResponse(
        predictions=[
            probe_pb2.Prediction(label="bee", scores=[-1.0, 1.0]),
            probe_pb2.Prediction(label="ant", probability=0.9, scores=[1.0, -1.0]),
        ],
        classes=["ant", "bee"],
        version=3,
        tap=messages.tap_to_message(TAP),
    )
    svm, softmax = operation.read(answer)
    assert (svm.label, svm.probability, svm.scores) == ("bee", None, {"ant": -1.0, "bee": 1.0})
    assert (softmax.probability, softmax.version, softmax.tap) == (0.9, 3, TAP)


def test_hits_keep_their_order() -> None:
    results = [
        collection_pb2.SearchResponse.Result(
            hits=[
                collection_pb2.Hit(example=collection_pb2.Example(example_id=name), score=score)
                for name, score in (("b", 0.9), ("a", 0.5))
            ]
        )
    ]
    operation = search(codes=CODES)
    assert operation.read(collection_pb2.SearchResponse(results=results)) == [
        [Hit(Example("b", "", {}), 0.9), Hit(Example("a", "", {}), 0.5)]
    ]


def test_an_answer_that_breaks_the_contract_is_the_servers_fault() -> None:
    broken = codes_pb2.EmbedResponse(codes=[common_pb2.Codes()])
    with pytest.raises(Internal, match="answer to Embed breaks the contract: the codes have no"):
        plan().embed([b"x"]).read(broken)
    unknown = probe_pb2.TrainProbeResponse(version=version_message(9))  # type: ignore[arg-type]
    with pytest.raises(Internal, match="breaks the contract"):
        train().read(unknown)


def test_a_quota_says_what_it_says_and_comes_back() -> None:
    quota = Quota(12.5, 40, 64, 10**12, 2.0)
    operation = tenant_operations.set_quota("acme", quota, request_id="q")
    assert operation.request == tenant_pb2.SetQuotaRequest(
        request_id="q",
        tenant_id="acme",
        quota=tenant_pb2.Quota(
            images_per_second=12.5,
            burst_images=40,
            max_images_in_flight=64,
            storage_bytes=10**12,
            weight=2.0,
        ),
    )
    answer = tenant_pb2.SetQuotaResponse(quota=operation.request.quota)  # type: ignore[attr-defined]
    assert operation.read(answer) == quota


@pytest.mark.parametrize(
    "quota",
    [Quota(burst_images=-1), Quota(storage_bytes=2**64), Quota(max_images_in_flight=2**32)],
)
def test_what_no_message_holds_is_no_quota(quota: Quota) -> None:
    with pytest.raises(InvalidArgument) as caught:
        tenant_operations.set_quota("acme", quota, request_id=None)
    assert caught.value.reason == "QUOTA_INVALID"


def test_usage_has_every_field_of_the_contract() -> None:
    answer = tenant_pb2.GetUsageResponse(
        tenant_id="acme",
        quota=tenant_pb2.Quota(weight=1.0),
        storage_bytes=1,
        n_collections=2,
        n_examples=3,
        n_probes=4,
        n_images=5,
        n_cached_images=6,
        n_rejected_images=7,
        cpu_seconds=8.5,
        n_images_in_flight=9,
    )
    answer.since.FromDatetime(NOW)
    found = tenant_operations.usage("acme").read(answer)
    assert found == Usage("acme", Quota(), 1, 2, 3, 4, NOW, 5, 6, 7, 8.5, 9)
    assert len(fields(Usage)) == len(answer.DESCRIPTOR.fields)
