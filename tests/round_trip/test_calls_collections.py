"""Examples kept, listed and searched, on the toy backbone, over a real socket."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from callers import Caller, refusal
from icecore.v1 import codes_pb2 as epb
from icecore.v1 import collection_pb2 as cpb
from icecore.v1 import common_pb2
from icecore.wire.messages import codes_from_message
from toy_calls import N, add, collect, filled, toy_batch, toy_image

METRICS: dict[Any, Callable[[Any, Any], Any]] = {
    cpb.METRIC_COSINE: lambda X, q: X @ q / np.linalg.norm(X, axis=1) / np.linalg.norm(q),
    cpb.METRIC_INNER_PRODUCT: lambda X, q: X @ q,
    cpb.METRIC_L2: lambda X, q: -np.linalg.norm(X - q, axis=1),
}


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    with filled(tmp_path_factory.mktemp("calls") / "data") as caller:
        yield caller


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


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("layer", ["1", "three"])
def test_search_is_a_float64_scan_by_image_by_id_and_by_codes(
    metric: Any, layer: str, caller: Caller
) -> None:
    images = [toy_image(number) for number in range(N)]
    request = epb.EmbedRequest(layers=[layer], images=images)
    (codes,) = caller.codes.Embed(request).codes
    X = codes_from_message(codes).values.astype(np.float16).astype(np.float64)
    kind = {"layer": layer, "metric": metric, "collection_id": "c", "k": 5}
    query = np.float64(codes_from_message(codes).values[3])
    queries: dict[str, tuple[dict[str, Any], Any]] = {
        "image": ({"images": {"images": [toy_image(3)]}}, query),
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
    collect(caller, "fresh", 0, 1)

    def found() -> list[str]:
        images = cpb.SearchRequest.Images(images=[toy_image(2)])
        request = cpb.SearchRequest(collection_id="fresh", k=9, images=images)
        (result,) = caller.collections.Search(request).results
        return sorted(hit.example.example_id for hit in result.hits)

    assert found() == ["00.png", "01.png"]
    add(caller, toy_batch("fresh", 2))
    assert found() == ["00.png", "01.png", "02.png"]
    gone = cpb.DeleteExamplesRequest(collection_id="fresh", example_ids=["00.png", "02.png"])
    assert caller.collections.DeleteExamples(gone).n_deleted == 2
    assert found() == ["01.png"]
    caller.collections.DeleteCollection(cpb.DeleteCollectionRequest(collection_id="fresh"))
    collect(caller, "fresh")
    assert found() == []


def test_without_kept_images_only_the_stored_core_can_be_read(caller: Caller) -> None:
    collect(caller, "core", 0, 1, 2, 3, keep_images=False)

    def search(pooling: Any) -> Any:
        images = cpb.SearchRequest.Images(images=[toy_image(1)])
        request = cpb.SearchRequest(collection_id="core", k=1, images=images, layer="2")
        request.pooling.kind = pooling
        return caller.collections.Search(request)

    assert search(common_pb2.POOLING_KIND_AVG).results[0].hits[0].example.example_id == "01.png"
    said = refusal(lambda: search(common_pb2.POOLING_KIND_MAX))
    assert (said.code, said.reason) == ("FAILED_PRECONDITION", "IMAGES_NOT_KEPT")


def test_other_taps_are_computed_from_kept_images(caller: Caller) -> None:
    images = cpb.SearchRequest.Images(images=[toy_image(1)])
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
    collect(caller, "again", 0, 1)
    batch = toy_batch("again", 0, 1, 2, on_duplicate=rule)
    batch.examples[1].example.label = "other"
    (answer,) = add(caller, batch)
    assert (answer.n_added, answer.n_replaced, answer.n_unchanged) == expected
    caller.collections.DeleteCollection(cpb.DeleteCollectionRequest(collection_id="again"))
