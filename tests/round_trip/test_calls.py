"""The calls of the contract at work, on the toy backbone, over a real socket."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from callers import Caller, calling, pixels, refusal
from icecore.v1 import backbone_pb2 as bpb
from icecore.v1 import codes_pb2 as epb
from icecore.v1 import collection_pb2 as cpb
from icecore.v1 import common_pb2
from icecore.v1 import probe_pb2 as ppb
from icecore.v1 import tenant_pb2 as tpb
from icecore.wire.messages import codes_from_message, image_to_message
from servers import Server, serving
from toys import toy_graph, toy_recipe

N = 24
"""Examples of the collection `c`: even numbers are dark and of class a, odd ones bright, b."""


def _prepared(seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(0, 1, (3, 8, 8)).astype(np.float32)


def _image(number: int) -> common_pb2.Image:
    low = 128 * (number % 2)
    random = np.random.default_rng(number)
    return image_to_message(random.integers(low, low + 128, (8, 8, 3), dtype=np.uint8))


def _batch(collection_id: str, *numbers: int, **fields: Any) -> cpb.AddExamplesRequest:
    request = cpb.AddExamplesRequest(collection_id=collection_id, **fields)
    for number in numbers:
        example = cpb.Example(example_id=f"{number:02}.png", label="ab"[number % 2])
        example.metadata.update({"number": number, "odd": bool(number % 2), "name": f"n{number}"})
        request.examples.add(example=example, image=_image(number))
    return request


def _add(caller: Caller, *batches: cpb.AddExamplesRequest) -> list[cpb.AddExamplesResponse]:
    return list(caller.collections.AddExamples(iter(batches)))


def _collection(caller: Caller, collection_id: str, *numbers: int, **fields: Any) -> None:
    caller.collections.CreateCollection(
        cpb.CreateCollectionRequest(collection_id=collection_id, **fields)
    )
    if numbers:
        _add(caller, _batch(collection_id, *numbers))


def _train(caller: Caller, probe_id: str, **fields: Any) -> ppb.ProbeVersion:
    fields = {"collection_id": "c", "layers": ["-1"], **fields}
    caller.probes.TrainProbe(ppb.TrainProbeRequest(probe_id=probe_id, **fields))
    *_, last = caller.probes.WatchProbe(ppb.WatchProbeRequest(probe_id=probe_id))
    assert last.version.state == ppb.VERSION_STATE_READY, last.version.failure_message
    assert (last.stage, last.progress) == ("done", 1.0)
    version: ppb.ProbeVersion = last.version
    return version


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("calls") / "data") as server:
        yield server


@pytest.fixture(scope="module")
def caller(server: Server) -> Iterator[Caller]:
    with calling(server.address) as caller:
        _collection(caller, "c", *range(N))
        _train(caller, "p")
        yield caller


def test_backbones_and_their_layers_are_listed(caller: Caller) -> None:
    (listed,) = caller.backbones.ListBackbones(bpb.ListBackbonesRequest()).backbones
    answer = caller.backbones.GetBackbone(bpb.GetBackboneRequest(backbone="toy"))
    assert answer.backbone == listed
    assert (listed.name, listed.depths, listed.is_default) == ("toy", 3, True)
    assert listed.recipe.height == 8
    depths = [(layer.depth, layer.name) for layer in answer.layers if layer.depth]
    assert depths == [(1, "one"), (2, "two"), (3, "three")]


def test_codes_are_those_of_the_whole_network(caller: Caller) -> None:
    images = [_prepared(seed) for seed in range(3)]
    answer = caller.codes.Embed(
        epb.EmbedRequest(
            layers=["*"],
            pooling=common_pb2.Pooling(kind=common_pb2.POOLING_KIND_NONE),
            images=[image_to_message(image) for image in images],
        )
    )
    got = [codes_from_message(codes) for codes in answer.codes]
    assert [(codes.tap.depth, codes.tap.layer) for codes in got] == [
        (1, "one"),
        (2, "two"),
        (3, "three"),
    ]
    assert [codes.values.shape for codes in got] == [(3, 4, 8, 8), (3, 6, 4, 4), (3, 6, 4, 4)]
    assert all((codes.values >= 0).all() for codes in got)
    model = onnx.load_from_string(toy_graph())
    model.graph.output.extend(onnx.ValueInfoProto(name=codes.tap.layer) for codes in got)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    whole = session.run([codes.tap.layer for codes in got], {"image": np.stack(images)})
    for one, codes in zip(whole, got, strict=True):
        np.testing.assert_array_equal(one, codes.values)
    pooled = caller.codes.Embed(
        epb.EmbedRequest(layers=["*"], images=[image_to_message(image) for image in images])
    )
    for maps, codes in zip(got, pooled.codes, strict=True):
        expected = maps.values.astype(np.float64).mean(axis=(2, 3))
        # float32 sums of at most 64 values
        np.testing.assert_allclose(codes_from_message(codes).values, expected, rtol=1e-5, atol=1e-6)


def test_one_image_alone_has_the_codes_it_has_in_a_batch_and_in_a_stream(caller: Caller) -> None:
    images = [_image(number) for number in range(5)]
    (together,) = caller.codes.Embed(epb.EmbedRequest(images=images)).codes
    requests = [epb.EmbedRequest(images=[image]) for image in images]
    streamed = list(caller.codes.EmbedStream(iter(requests)))
    rows = np.concatenate([codes_from_message(one.codes[0]).values for one in streamed])
    np.testing.assert_allclose(rows, codes_from_message(together).values, rtol=1e-6)
    assert streamed[0].timings.total_ms > 0


def test_float16_halves_the_bytes(caller: Caller) -> None:
    (wide,) = caller.codes.Embed(epb.EmbedRequest(images=[_image(0)])).codes
    request = epb.EmbedRequest(images=[_image(0)], dtype=common_pb2.D_TYPE_FLOAT16)
    (narrow,) = caller.codes.Embed(request).codes
    assert 2 * len(narrow.data) == len(wide.data)
    expected = codes_from_message(wide).values.astype(np.float16)
    np.testing.assert_array_equal(codes_from_message(narrow).values, expected)


def test_a_stream_answers_each_request_before_the_next_is_sent(caller: Caller) -> None:
    answered = threading.Event()

    def requests() -> Iterator[epb.EmbedRequest]:
        for number in range(3):
            yield epb.EmbedRequest(images=[_image(number)])
            assert answered.wait(30), "no answer while the stream is open"
            answered.clear()

    n_answers = 0
    for _ in caller.codes.EmbedStream(requests(), timeout=60):
        n_answers += 1
        answered.set()
    assert n_answers == 3


@pytest.mark.parametrize("page_size", [1, 5, N, N + 1])
@pytest.mark.parametrize(
    ("filter", "wanted"),
    [
        ("", range(N)),
        ('label = "b"', range(1, N, 2)),
        ("metadata.number >= 20", range(20, N)),
        ("metadata.odd = true AND metadata.number < 4", (1, 3)),
        ('id = "07.png"', (7,)),
        ("metadata.number > 1000", ()),
    ],
)
def test_pages_hold_all_examples_of_a_filter_once_in_order(
    page_size: int,
    filter: str,  # noqa: A002 - the contract's word
    wanted: Any,
    caller: Caller,
) -> None:
    seen: list[str] = []
    token = ""
    while True:
        page = caller.collections.ListExamples(
            cpb.ListExamplesRequest(
                collection_id="c", filter=filter, page_size=page_size, page_token=token
            )
        )
        assert len(page.examples) <= page_size
        seen += [item.example.example_id for item in page.examples]
        token = page.next_page_token
        if not token:
            break
        assert page.examples, "an empty page has a next one"
    assert seen == [f"{number:02}.png" for number in wanted]


def test_examples_come_back_as_they_went_in(caller: Caller) -> None:
    listing = cpb.ListExamplesRequest(collection_id="c", page_size=1)
    (item,) = caller.collections.ListExamples(listing).examples
    assert item.example.label == "a"
    assert dict(item.example.metadata) == {"number": 0.0, "odd": False, "name": "n0"}
    assert len(item.image_sha256) == 64
    got = caller.collections.GetCollection(cpb.GetCollectionRequest(collection_id="c")).collection
    assert (got.n_examples, dict(got.labels)) == (N, {"a": N // 2, "b": N // 2})
    assert got.collection_name == "tenants/default/collections/c"


METRICS: dict[Any, Callable[[Any, Any], Any]] = {
    cpb.METRIC_COSINE: lambda X, q: X @ q / np.linalg.norm(X, axis=1) / np.linalg.norm(q),
    cpb.METRIC_INNER_PRODUCT: lambda X, q: X @ q,
    cpb.METRIC_L2: lambda X, q: -np.linalg.norm(X - q, axis=1),
}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("layer", ["1", "three"])
def test_search_is_a_float64_scan_by_image_by_id_and_by_codes(
    metric: Any, layer: str, caller: Caller
) -> None:
    images = [_image(number) for number in range(N)]
    request = epb.EmbedRequest(layers=[layer], images=images)
    (codes,) = caller.codes.Embed(request).codes
    X = codes_from_message(codes).values.astype(np.float16).astype(np.float64)
    kind = {"layer": layer, "metric": metric, "collection_id": "c", "k": 5}
    query = np.float64(codes_from_message(codes).values[3])
    queries: dict[str, tuple[dict[str, Any], Any]] = {
        "image": ({"images": {"images": [_image(3)]}}, query),
        "id": ({"example_ids": {"example_ids": ["03.png"]}}, X[3]),
        "codes": ({"codes": _row(codes, 3)}, query),
    }
    for how, (sent, q) in queries.items():
        answer = caller.collections.Search(cpb.SearchRequest(**kind, **sent))
        (result,) = answer.results
        scores = METRICS[metric](X, q)
        best = sorted(range(N), key=lambda i: (-scores[i], i))[:5]
        ids = [hit.example.example_id for hit in result.hits]
        assert ids == [f"{number:02}.png" for number in best], how
        expected = -scores[best] if metric == cpb.METRIC_L2 else scores[best]
        np.testing.assert_allclose([hit.score for hit in result.hits], expected, atol=1e-9)
        assert answer.tap == codes.tap
        assert dict(result.hits[0].example.metadata)["number"] == best[0]


def _row(codes: common_pb2.Codes, row: int) -> common_pb2.Codes:
    d = codes.shape[1]
    return common_pb2.Codes(
        tap=codes.tap, dtype=codes.dtype, shape=[1, d], data=codes.data[4 * d * row :][: 4 * d]
    )


def test_a_filter_narrows_a_search_and_k_may_be_more_than_there_are(caller: Caller) -> None:
    request = cpb.SearchRequest(
        collection_id="c",
        k=1000,
        filter="metadata.number < 3",
        example_ids=cpb.SearchRequest.ExampleIds(example_ids=["03.png", "04.png"]),
    )
    results = caller.collections.Search(request).results
    assert [len(result.hits) for result in results] == [3, 3]


def test_a_search_sees_what_was_just_added_and_not_what_was_just_deleted(caller: Caller) -> None:
    _collection(caller, "fresh", 0, 1)

    def found() -> list[str]:
        images = cpb.SearchRequest.Images(images=[_image(2)])
        request = cpb.SearchRequest(collection_id="fresh", k=9, images=images)
        (result,) = caller.collections.Search(request).results
        return sorted(hit.example.example_id for hit in result.hits)

    assert found() == ["00.png", "01.png"]
    _add(caller, _batch("fresh", 2))
    assert found() == ["00.png", "01.png", "02.png"]
    gone = cpb.DeleteExamplesRequest(collection_id="fresh", example_ids=["00.png", "02.png"])
    assert caller.collections.DeleteExamples(gone).n_deleted == 2
    assert found() == ["01.png"]
    caller.collections.DeleteCollection(cpb.DeleteCollectionRequest(collection_id="fresh"))
    _collection(caller, "fresh")
    assert found() == []


def test_without_kept_images_only_the_stored_core_can_be_read(caller: Caller) -> None:
    _collection(caller, "core", 0, 1, 2, 3, keep_images=False)

    def search(pooling: Any) -> Any:
        images = cpb.SearchRequest.Images(images=[_image(1)])
        request = cpb.SearchRequest(collection_id="core", k=1, images=images, layer="2")
        request.pooling.kind = pooling
        return caller.collections.Search(request)

    assert search(common_pb2.POOLING_KIND_AVG).results[0].hits[0].example.example_id == "01.png"
    said = refusal(lambda: search(common_pb2.POOLING_KIND_MAX))
    assert (said.code, said.reason) == ("FAILED_PRECONDITION", "IMAGES_NOT_KEPT")


def test_other_taps_are_computed_from_kept_images(caller: Caller) -> None:
    images = cpb.SearchRequest.Images(images=[_image(1)])
    request = cpb.SearchRequest(collection_id="c", k=1, images=images, layer="2")
    request.pooling.kind = common_pb2.POOLING_KIND_MAX
    request.metric = cpb.METRIC_L2
    (hit,) = caller.collections.Search(request).results[0].hits
    assert (hit.example.example_id, hit.score) == ("01.png", pytest.approx(0, abs=1e-5))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (cpb.AddExamplesRequest.ON_DUPLICATE_REPLACE, (1, 1, 1)),
        (cpb.AddExamplesRequest.ON_DUPLICATE_SKIP, (1, 0, 2)),
    ],
)
def test_known_ids_are_replaced_or_skipped(
    rule: Any, expected: tuple[int, int, int], caller: Caller
) -> None:
    _collection(caller, "again", 0, 1)
    batch = _batch("again", 0, 1, 2, on_duplicate=rule)
    batch.examples[1].example.label = "other"
    (answer,) = _add(caller, batch)
    assert (answer.n_added, answer.n_replaced, answer.n_unchanged) == expected
    caller.collections.DeleteCollection(cpb.DeleteCollectionRequest(collection_id="again"))


def test_what_was_done_once_is_not_done_again(caller: Caller) -> None:
    """Each mutation, sent twice under one id, gives its first answer."""
    c, p = caller.collections, caller.probes
    create = cpb.CreateCollectionRequest(collection_id="once", request_id="o1")
    assert c.CreateCollection(create) == c.CreateCollection(create)
    batch = _batch("once", *range(6), request_id="o2")
    assert _add(caller, batch) == _add(caller, batch)
    other = _batch("once", 7, request_id="o2")
    said = refusal(lambda: _add(caller, other))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    train = ppb.TrainProbeRequest(
        probe_id="once", collection_id="once", layers=["-1"], request_id="o3"
    )
    first = p.TrainProbe(train).version
    assert p.TrainProbe(train).version.version == first.version == 1
    list(p.WatchProbe(ppb.WatchProbeRequest(probe_id="once", version=1)))
    assert p.TrainProbe(train).version.version == 1
    train.request_id = "o4"
    assert p.TrainProbe(train).version.version == 2
    list(p.WatchProbe(ppb.WatchProbeRequest(probe_id="once", version=2)))
    promote = ppb.PromoteVersionRequest(
        probe_id="once", version=1, expected_version=2, request_id="o5"
    )
    assert p.PromoteVersion(promote) == p.PromoteVersion(promote)
    for call, request in (
        (p.DeleteVersion, ppb.DeleteVersionRequest(probe_id="once", version=2, request_id="o6")),
        (
            c.DeleteExamples,
            cpb.DeleteExamplesRequest(
                collection_id="once", example_ids=["00.png"], request_id="o7"
            ),
        ),
        (p.DeleteProbe, ppb.DeleteProbeRequest(probe_id="once", request_id="o8")),
        (
            c.DeleteCollection,
            cpb.DeleteCollectionRequest(collection_id="once", request_id="o9"),
        ),
    ):
        assert call(request) == call(request), request


def _predict(caller: Caller, probe_id: str = "p", **fields: Any) -> ppb.PredictResponse:
    fields.setdefault("images", {"images": [_image(number) for number in range(4)]})
    answer = caller.probes.Predict(ppb.PredictRequest(probe_id=probe_id, **fields))
    assert isinstance(answer, ppb.PredictResponse)
    return answer


def test_images_and_their_codes_are_predicted_alike(caller: Caller) -> None:
    by_image = _predict(caller)
    (codes,) = caller.codes.Embed(
        epb.EmbedRequest(images=[_image(number) for number in range(4)])
    ).codes
    by_codes = _predict(caller, codes=codes, images=None)
    assert list(by_image.classes) == ["a", "b"]
    assert [one.label for one in by_image.predictions] == ["a", "b", "a", "b"]
    assert by_image.tap == codes.tap
    assert (by_image.probe_id, by_image.version) == ("p", 1)
    for one, other in zip(by_image.predictions, by_codes.predictions, strict=True):
        assert one.label == other.label
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-6)
        low, high = one.scores
        assert low == -high, "binary logits are -s/2 and s/2"
        chance = 1 / (1 + np.exp(-abs(high - low)))
        assert one.probability == pytest.approx(chance)


def test_an_svm_has_no_probability(caller: Caller) -> None:
    version = _train(caller, "svm", kind=ppb.PROBE_KIND_SVM)
    assert version.kind == ppb.PROBE_KIND_SVM
    answer = _predict(caller, "svm")
    assert not any(one.HasField("probability") for one in answer.predictions)
    assert [one.label for one in answer.predictions] == ["a", "b", "a", "b"]


def test_a_stream_of_predictions_keeps_its_order(caller: Caller) -> None:
    requests = [
        ppb.PredictRequest(probe_id="p", images=ppb.PredictRequest.Images(images=[_image(number)]))
        for number in range(6)
    ]
    answers = list(caller.probes.PredictStream(iter(requests)))
    assert [answer.predictions[0].label for answer in answers] == list("ababab")


def test_a_version_tells_what_it_is(caller: Caller) -> None:
    answer = caller.probes.GetProbe(ppb.GetProbeRequest(probe_id="p"))
    (version,) = answer.probe.versions
    assert answer.probe.promoted_version == version.version == 1
    assert version.version_name == "tenants/default/probes/p/versions/1"
    assert version.state == ppb.VERSION_STATE_READY
    assert version.is_promoted
    assert (version.n_images, list(version.classes)) == (N, ["a", "b"])
    assert version.tap.layer == "three"
    assert 0 <= version.accuracy.low <= version.accuracy.estimate <= version.accuracy.high <= 1
    assert version.c > 0
    assert 0 <= version.gap < 1e-3
    assert len(version.data_digest) == len(version.file_digest) == 64
    assert [trial.layer for trial in version.trials if trial.is_chosen] == ["three"]
    listed = caller.probes.ListProbes(ppb.ListProbesRequest()).probes
    assert answer.probe in listed


def test_the_promoted_pointer_moves_by_compare_and_swap(caller: Caller) -> None:
    p = caller.probes
    _train(caller, "moved")
    _train(caller, "moved", leave_unpromoted=True)

    def promote(version: int, **fields: Any) -> Any:
        request = ppb.PromoteVersionRequest(probe_id="moved", version=version, **fields)
        return p.PromoteVersion(request).probe.promoted_version

    assert _predict(caller, "moved").version == 1
    said = refusal(lambda: promote(2, expected_version=2))
    assert (said.code, said.reason) == ("FAILED_PRECONDITION", "PROMOTION_CONFLICT")
    assert promote(2, expected_version=1) == 2
    assert _predict(caller, "moved").version == 2
    assert _predict(caller, "moved", version=1).version == 1
    said = refusal(lambda: p.DeleteVersion(ppb.DeleteVersionRequest(probe_id="moved", version=2)))
    assert (said.code, said.reason) == ("FAILED_PRECONDITION", "VERSION_IN_USE")
    p.DeleteVersion(ppb.DeleteVersionRequest(probe_id="moved", version=1))
    assert refusal(lambda: _predict(caller, "moved", version=1)).reason == "VERSION_NOT_FOUND"
    p.DeleteProbe(ppb.DeleteProbeRequest(probe_id="moved"))
    assert refusal(lambda: _predict(caller, "moved")).reason == "PROBE_NOT_FOUND"


def test_a_version_goes_on_from_an_earlier_one(caller: Caller) -> None:
    """It knows six images more, and is the same again when asked again."""
    _collection(caller, "growing", *range(N))
    _train(caller, "growing", collection_id="growing", kind=ppb.PROBE_KIND_SVM, layers=["1"])
    _add(caller, _batch("growing", *range(N, N + 6)))
    _train(caller, "growing", collection_id="growing", layers=[], base_version=1)
    first, second = (_version(caller, "growing", number) for number in (1, 2))
    assert (first.base_version, first.is_choice_kept) == (0, False)
    assert (second.base_version, second.is_choice_kept) == (1, True)
    assert (second.kind, second.tap, second.c) == (first.kind, first.tap, first.c)
    assert (first.n_images, second.n_images) == (N, N + 6)
    assert second.is_promoted
    assert second.gap < 1e-6
    found = caller.probes.CompareVersions(
        ppb.CompareVersionsRequest(probe_id="growing", version_a=1, version_b=2)
    )
    assert (found.n_new_to_a, found.n_new_to_b) == (6, 0)
    assert (found.n_images, found.n_left_out) == (6, N), "of the others version 2 has no answer"
    assert found.accuracy_b.estimate == second.accuracy.estimate
    assert (first.n_judged, second.n_judged) == (N, 6)

    def ask(**fields: Any) -> Any:
        given: dict[str, Any] = {"probe_id": "growing", "collection_id": "growing", **fields}
        return caller.probes.TrainProbe(ppb.TrainProbeRequest(**given)).version

    asked = {"request_id": "once", "base_version": 1, "leave_unpromoted": True}
    begun = ask(**asked)
    assert (begun.version, begun.base_version, begun.kind) == (3, 1, ppb.PROBE_KIND_SVM)
    assert ask(**asked).version == 3, "a retry begins nothing"
    list(caller.probes.WatchProbe(ppb.WatchProbeRequest(probe_id="growing", version=3)))
    third = _version(caller, "growing", 3)
    assert third.file_digest == second.file_digest, "the same request, the same bits"
    said = refusal(lambda: ask(base_version=1, kind=ppb.PROBE_KIND_SVM, layers=["1"]))
    assert (said.code, said.reason) == ("INVALID_ARGUMENT", "ARGUMENT_INVALID")
    assert "leave out kind, layers" in said.message
    assert refusal(lambda: ask(base_version=9)).reason == "VERSION_NOT_FOUND"
    assert refusal(lambda: ask(base_version=1, probe_id="none")).reason == "PROBE_NOT_FOUND"


def test_versions_are_compared_on_the_same_images(caller: Caller) -> None:
    """The first was trained before images 24 to 29 came."""
    _collection(caller, "grown", *range(N))
    _train(caller, "grown", collection_id="grown", layers=["1"])
    _add(caller, _batch("grown", *range(N, N + 6)))
    _train(caller, "grown", collection_id="grown", leave_unpromoted=True)

    def compare(a: int, b: int, collection_id: str = "") -> ppb.CompareVersionsResponse:
        answer: ppb.CompareVersionsResponse = caller.probes.CompareVersions(
            ppb.CompareVersionsRequest(
                probe_id="grown", version_a=a, version_b=b, collection_id=collection_id
            )
        )
        return answer

    found = compare(1, 2)
    assert (found.version_a, found.version_b, found.collection_id) == (1, 2, "grown")
    assert (found.n_images, found.n_new_to_a, found.n_new_to_b) == (N + 6, 6, 0)
    counts = (found.n_both_right, found.n_only_a_right, found.n_only_b_right, found.n_neither_right)
    assert sum(counts) == N + 6
    assert found.difference.low <= found.difference.estimate <= found.difference.high
    assert found.accuracy_b.estimate == _version(caller, "grown", 2).accuracy.estimate
    back = compare(2, 1, "grown")
    assert back.difference.low == pytest.approx(-found.difference.high)
    assert compare(1, 1, "c").n_images == N, "the same images, in another collection"
    assert refusal(lambda: compare(1, 3)).reason == "VERSION_NOT_FOUND"
    assert refusal(lambda: compare(1, 2, "nothing")).reason == "COLLECTION_NOT_FOUND"
    assert refusal(lambda: compare(0, 2)).reason == "ARGUMENT_INVALID"


def test_a_version_is_promoted_only_if_not_worse(caller: Caller) -> None:
    _train(caller, "strict")
    kept = _train(caller, "strict", promote_if_not_worse_by=0.0)
    assert not kept.is_promoted
    assert kept.not_promoted_reason == "VERSION_WORSE"
    assert "may be worse than version 1" in kept.not_promoted_message

    def promote(not_worse_by: float) -> Any:
        request = ppb.PromoteVersionRequest(probe_id="strict", version=2, not_worse_by=not_worse_by)
        return caller.probes.PromoteVersion(request).probe.promoted_version

    said = refusal(lambda: promote(0.0))
    assert (said.code, said.reason) == ("FAILED_PRECONDITION", "VERSION_WORSE")
    assert ("promoted_version", "1") in said.details
    assert refusal(lambda: promote(-1.0)).reason == "ARGUMENT_INVALID"
    assert promote(1.0) == 2
    third = _train(caller, "strict", promote_if_not_worse_by=1.0)
    assert (third.is_promoted, third.not_promoted_reason) == (True, "")


def _version(caller: Caller, probe_id: str, number: int) -> ppb.ProbeVersion:
    probe = caller.probes.GetProbe(ppb.GetProbeRequest(probe_id=probe_id)).probe
    found: list[ppb.ProbeVersion] = [one for one in probe.versions if one.version == number]
    return found[0]


def test_a_probe_that_is_not_promoted_predicts_by_version_only(caller: Caller) -> None:
    _train(caller, "unpromoted", leave_unpromoted=True)
    said = refusal(lambda: _predict(caller, "unpromoted"))
    assert (said.code, said.reason) == ("FAILED_PRECONDITION", "PROBE_NOT_PROMOTED")
    assert _predict(caller, "unpromoted", version=1).version == 1


def test_a_cancelled_training_ends_for_those_who_watch(caller: Caller) -> None:
    p = caller.probes
    version = p.TrainProbe(
        ppb.TrainProbeRequest(probe_id="cancelled", collection_id="c")
    ).version.version
    watch = p.WatchProbe(ppb.WatchProbeRequest(probe_id="cancelled"))
    next(watch)
    request = ppb.CancelTrainingRequest(probe_id="cancelled", version=version)
    state = p.CancelTraining(request).version.state
    assert state == ppb.VERSION_STATE_CANCELLED
    *_, last = watch
    assert last.version.state == ppb.VERSION_STATE_CANCELLED
    said = refusal(lambda: _predict(caller, "cancelled", version=1))
    assert (said.code, said.reason) == ("FAILED_PRECONDITION", "VERSION_NOT_READY")


def test_a_probe_deleted_in_training_ends_its_watches(caller: Caller) -> None:
    p = caller.probes
    p.TrainProbe(ppb.TrainProbeRequest(probe_id="deleted", collection_id="c"))
    watch = p.WatchProbe(ppb.WatchProbeRequest(probe_id="deleted"))
    next(watch)
    p.DeleteProbe(ppb.DeleteProbeRequest(probe_id="deleted"))
    said = refusal(lambda: watch)
    assert said.reason in ("PROBE_NOT_FOUND", "VERSION_NOT_FOUND")


@pytest.fixture
def another_server(tmp_path: Path) -> Iterator[Server]:
    """For tests that make keys, after which nobody calls without one."""
    with serving(tmp_path / "data", training_workers=2) as server:
        yield server


def test_many_tenants_train_at_once_over_the_same_backbone(another_server: Server) -> None:
    server = another_server
    with calling(server.address, server.admin_key) as admin:
        keys = {}
        for number in range(4):
            tenant_id = f"many-{number}"
            admin.tenants.CreateTenant(tpb.CreateTenantRequest(tenant_id=tenant_id))
            keys[number] = admin.tenants.CreateKey(tpb.CreateKeyRequest(tenant_id=tenant_id)).secret

    def work(number: int) -> list[str]:
        with calling(server.address, keys[number]) as caller:
            _collection(caller, "c", *range(number, number + 8))
            version = _train(caller, "p")
            return [version.version_name, *version.classes]

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(work, keys))
    assert done == [[f"tenants/many-{n}/probes/p/versions/1", "a", "b"] for n in range(4)]


def test_an_image_that_is_pixels_goes_through_the_recipe(caller: Caller) -> None:
    image = pixels(3)
    array = np.frombuffer(image.tensor.data, np.uint8).reshape(8, 8, 3)
    prepared = toy_recipe().apply(Image.fromarray(array))
    sent = [image, image_to_message(prepared)]
    (codes,) = caller.codes.Embed(epb.EmbedRequest(images=sent)).codes
    rows = codes_from_message(codes).values
    np.testing.assert_array_equal(rows[0], rows[1])
