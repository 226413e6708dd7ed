"""The searcher: hits, its cache, and the walls between tenants."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import pytest_asyncio

from icecore.server.errors import (
    CodesInvalid,
    ExampleNotFound,
    FilterInvalid,
    KInvalid,
    Overloaded,
    ShuttingDown,
)
from icecore.server.search.exact_index import ExactIndex
from icecore.server.search.metrics import Metric
from icecore.server.search.scannable import Float32Array
from icecore.server.search.searcher import Searcher
from icecore.server.storage.records import CodeArray, CollectionRecord, ExampleRecord
from icecore.wire.taps import TapId

TAP = TapId(digest="0" * 64, layer="three")
MADE = datetime(2025, 1, 1, tzinfo=UTC)
QUERY = np.array([[1, 0]], np.float32)


class Shelf:
    """A collection in memory, which counts how often it is loaded."""

    def __init__(self, codes: npt.ArrayLike, *, sequence: int = 1, prefix: str = "e") -> None:
        self.codes = np.asarray(codes, np.float16)
        self.sequence = sequence
        self.examples = tuple(
            ExampleRecord(f"{prefix}{i}", "odd" if i % 2 else "even", {"i": float(i)}, "")
            for i in range(len(self.codes))
        )
        self.n_loads = 0
        self.may_load = asyncio.Event()
        self.may_load.set()

    def record(self, sequence: int | None = None, number: int = 1) -> CollectionRecord:
        return CollectionRecord(
            number=number,
            collection_id="c",
            backbone="toy",
            digest=TAP.digest,
            keep_images=True,
            create_time=MADE,
            sequence=self.sequence if sequence is None else sequence,
            n_examples=len(self.examples),
            labels={},
        )

    async def load(self) -> tuple[int, Sequence[ExampleRecord], CodeArray]:
        self.n_loads += 1
        await self.may_load.wait()
        return self.sequence, self.examples, self.codes


@pytest_asyncio.fixture
async def searcher() -> AsyncIterator[Searcher]:
    searcher = Searcher(max_bytes=1 << 20)
    yield searcher
    searcher.close()


async def test_hits_come_best_first_with_their_examples(searcher: Searcher) -> None:
    shelf = Shelf([[0, 1], [2, 0], [1, 1], [0, 0]])
    [hits] = await searcher.search("t", shelf.record(), TAP, shelf.load, QUERY, k=10)
    assert [hit.example.example_id for hit in hits] == ["e1", "e2", "e0", "e3"]
    assert [hit.score for hit in hits] == pytest.approx([1, 0.5**0.5, 0, 0], abs=1e-15)
    far = await searcher.search("t", shelf.record(), TAP, shelf.load, QUERY, metric=Metric.L2, k=2)
    assert [(hit.example.example_id, hit.score) for hit in far[0]] == [("e1", 1.0), ("e2", 1.0)]


async def test_a_filter_leaves_only_what_it_takes(searcher: Searcher) -> None:
    shelf = Shelf(np.random.default_rng(0).standard_normal((300, 2)))
    [hits] = await searcher.search(
        "t", shelf.record(), TAP, shelf.load, QUERY, k=100, filter="label = odd AND metadata.i < 9"
    )
    assert sorted(hit.example.example_id for hit in hits) == ["e1", "e3", "e5", "e7"]
    nothing = await searcher.search(
        "t", shelf.record(), TAP, shelf.load, QUERY, filter="label = purple"
    )
    assert nothing == [[]]


async def test_a_stored_example_is_the_first_of_its_own_hits(searcher: Searcher) -> None:
    shelf = Shelf(np.random.default_rng(1).standard_normal((9, 4)))
    found = await searcher.search("t", shelf.record(), TAP, shelf.load, ["e7", "e0"], k=3)
    assert [hits[0].example.example_id for hits in found] == ["e7", "e0"]
    assert [hits[0].score for hits in found] == pytest.approx([1, 1], abs=1e-15)
    with pytest.raises(ExampleNotFound, match="collection 'c' has no example 'e70'"):
        await searcher.search("t", shelf.record(), TAP, shelf.load, ["e7", "e70"])


async def test_an_empty_collection_has_no_hits(searcher: Searcher) -> None:
    shelf = Shelf(np.zeros((0, 2)))
    assert await searcher.search("t", shelf.record(), TAP, shelf.load, QUERY) == [[]]


@pytest.mark.parametrize("k", [0, -1, 1001])
async def test_a_k_out_of_range_is_refused(searcher: Searcher, k: int) -> None:
    shelf = Shelf([[1, 0]])
    with pytest.raises(KInvalid, match=f"k is {k}, but must be at least 1 and at most 1,000"):
        await searcher.search("t", shelf.record(), TAP, shelf.load, QUERY, k=k)
    assert shelf.n_loads == 0


@pytest.mark.parametrize(
    ("queries", "sentence"),
    [
        (np.array([[1, np.nan]], np.float32), "query 0 has a value that is not finite"),
        (np.array([[1, 0], [np.inf, 0]], np.float16), "query 1 has a value"),
        (np.ones((1, 2)), "float32 or float16 codes, not float64"),
        (np.ones(2, np.float32), "have the shape (2,), but must be (q, d)"),
        (np.ones((0, 2), np.float32), "have the shape (0, 2)"),
        (np.ones((1, 3), np.float32), "have 3 values each, but the collection's codes"),
    ],
)
async def test_queries_that_are_no_codes_are_refused(
    searcher: Searcher, queries: npt.NDArray[np.float32], sentence: str
) -> None:
    shelf = Shelf([[1, 0]])
    with pytest.raises(CodesInvalid) as caught:
        await searcher.search("t", shelf.record(), TAP, shelf.load, queries)
    assert sentence in caught.value.message


async def test_a_wrong_filter_is_refused_before_anything_is_loaded(searcher: Searcher) -> None:
    shelf = Shelf([[1, 0]])
    with pytest.raises(FilterInvalid):
        await searcher.search("t", shelf.record(), TAP, shelf.load, QUERY, filter="!")
    assert shelf.n_loads == 0


async def test_an_index_is_loaded_once_and_again_when_the_collection_changed(
    searcher: Searcher,
) -> None:
    shelf = Shelf([[1, 0]])
    shelf.may_load.clear()
    searches = [
        asyncio.create_task(searcher.search("t", shelf.record(), TAP, shelf.load, QUERY))
        for _ in range(5)
    ]
    await asyncio.sleep(0)
    shelf.may_load.set()
    await asyncio.gather(*searches)
    assert shelf.n_loads == 1, "five at once share one load"

    newer = Shelf([[1, 0], [0, 1]], sequence=2)
    [hits] = await searcher.search("t", newer.record(), TAP, newer.load, QUERY)
    assert len(hits) == 2
    assert newer.n_loads == 1
    await searcher.search("t", newer.record(sequence=1), TAP, newer.load, QUERY)
    assert newer.n_loads == 1, "an index that is newer than the caller knows is fresh"


async def test_tenants_never_share_an_index(searcher: Searcher) -> None:
    """The same ids, times, sequence and even numbers: still another tenant's collection."""
    ours, theirs = Shelf([[1, 0]], prefix="ours"), Shelf([[1, 0]], prefix="theirs")
    await searcher.search("us", ours.record(), TAP, ours.load, QUERY)
    [hits] = await searcher.search("them", theirs.record(), TAP, theirs.load, QUERY)
    assert [hit.example.example_id for hit in hits] == ["theirs0"]
    assert (ours.n_loads, theirs.n_loads) == (1, 1)


async def test_a_collection_made_again_under_its_name_is_another(searcher: Searcher) -> None:
    """Also where the clock was put back and both were made at the same time."""
    old = Shelf([[1, 0]], sequence=9)
    await searcher.search("t", old.record(), TAP, old.load, QUERY)
    again = Shelf([[0, 1]], prefix="new")
    [hits] = await searcher.search("t", again.record(number=2), TAP, again.load, QUERY)
    assert [hit.example.example_id for hit in hits] == ["new0"]


async def test_what_is_forgotten_is_loaded_again(searcher: Searcher) -> None:
    shelf = Shelf([[1, 0]])
    for tenant_id, collection_id, n_loads in [
        ("t", "c", 2),
        ("t", None, 3),
        ("t", "another", 3),
        ("someone", "c", 3),
    ]:
        await searcher.search("t", shelf.record(), TAP, shelf.load, QUERY)
        searcher.forget(tenant_id, collection_id)
        await searcher.search("t", shelf.record(), TAP, shelf.load, QUERY)
        assert shelf.n_loads == n_loads, (tenant_id, collection_id)


async def test_what_was_deleted_while_it_loaded_is_not_kept(searcher: Searcher) -> None:
    shelf = Shelf([[1, 0]])
    shelf.may_load.clear()
    search = asyncio.create_task(searcher.search("t", shelf.record(), TAP, shelf.load, QUERY))
    await asyncio.sleep(0)
    searcher.forget("t", "c")
    shelf.may_load.set()
    await search
    await searcher.search("t", shelf.record(), TAP, shelf.load, QUERY)
    assert shelf.n_loads == 2


@pytest.mark.parametrize(("tenant_id", "collection_id"), [("t", "another"), ("someone", None)])
async def test_what_others_delete_while_it_loads_is_no_reason_to_load_again(
    searcher: Searcher, tenant_id: str, collection_id: str | None
) -> None:
    """Else one tenant's deletions would make all others' searches slow."""
    shelf = Shelf([[1, 0]])
    shelf.may_load.clear()
    search = asyncio.create_task(searcher.search("t", shelf.record(), TAP, shelf.load, QUERY))
    await asyncio.sleep(0)
    searcher.forget(tenant_id, collection_id)
    shelf.may_load.set()
    await search
    await searcher.search("t", shelf.record(), TAP, shelf.load, QUERY)
    assert shelf.n_loads == 1


async def test_the_least_recently_used_index_goes_first() -> None:
    """Each index of 100 x 2 takes 100 * (2 * (2 + 4) + 500) bytes: two fit, three do not."""
    searcher = Searcher(max_bytes=110_000)
    shelves = {name: Shelf(np.ones((100, 2))) for name in "abc"}
    for name in "abacab":
        await searcher.search(name, shelves[name].record(), TAP, shelves[name].load, QUERY)
    searcher.close()
    assert {name: shelf.n_loads for name, shelf in shelves.items()} == {"a": 1, "b": 2, "c": 1}


async def test_an_index_that_is_larger_than_the_cache_still_answers() -> None:
    searcher = Searcher(max_bytes=10)
    shelf = Shelf([[1, 0]])
    for _ in range(2):
        assert len(await searcher.search("t", shelf.record(), TAP, shelf.load, QUERY)) == 1
    assert shelf.n_loads == 2
    searcher.close()


async def test_a_failed_load_fails_its_search_and_no_other(searcher: Searcher) -> None:
    shelf = Shelf([[1, 0]])

    async def broken() -> tuple[int, Sequence[ExampleRecord], CodeArray]:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        await searcher.search("t", shelf.record(), TAP, broken, QUERY)
    assert len(await searcher.search("t", shelf.record(), TAP, shelf.load, QUERY)) == 1


async def test_a_closed_searcher_searches_no_more(searcher: Searcher) -> None:
    shelf = Shelf([[1, 0]])
    searcher.close()
    searcher.close()
    with pytest.raises(ShuttingDown):
        await searcher.search("t", shelf.record(), TAP, shelf.load, QUERY)


async def test_a_tenant_with_too_many_searches_refuses_no_other(searcher: Searcher) -> None:
    """Whose codes are slow to load, say; who is refused hears when to come again."""
    slow, quick = Shelf([[1, 0]]), Shelf([[1, 0]])
    slow.may_load.clear()
    searches = [
        asyncio.create_task(searcher.search("greedy", slow.record(), TAP, slow.load, ["e0"] * 1024))
        for _ in range(4)
    ]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="4,096 queries of this tenant's searches") as caught:
        await searcher.search("greedy", slow.record(), TAP, slow.load, QUERY)
    assert caught.value.retry_after_s == 1.0
    assert len(await searcher.search("other", quick.record(), TAP, quick.load, QUERY)) == 1
    slow.may_load.set()
    await asyncio.gather(*searches)
    assert len(await searcher.search("greedy", slow.record(), TAP, slow.load, QUERY)) == 1


async def test_a_search_comes_between_the_pieces_of_anothers_large_ones() -> None:
    """One thread, and a hundred large searches that came before."""
    searcher = Searcher(max_bytes=1 << 20, threads=1)
    large, small = Shelf(np.ones((50, 2)), prefix="large"), Shelf([[1, 0]])
    await searcher.search("small", small.record(), TAP, small.load, QUERY)
    await searcher.search("large", large.record(), TAP, large.load, QUERY)
    before = [
        asyncio.create_task(searcher.search("large", large.record(), TAP, large.load, ["large1"]))
        for _ in range(100)
    ]
    await asyncio.sleep(0)
    await searcher.search("small", small.record(), TAP, small.load, QUERY)
    n_before = sum(task.done() for task in before)
    await asyncio.gather(*before)
    searcher.close()
    assert n_before < 10


@pytest.mark.parametrize(("piece_values", "n_pieces"), [(100, 40), (400, 10), (1 << 27, 2)])
async def test_pieces_of_a_large_search_are_as_large_as_a_turn_may_be(
    monkeypatch: pytest.MonkeyPatch, piece_values: int, n_pieces: int
) -> None:
    """Forty queries on fifty codes of two values; at most 32 at once."""
    monkeypatch.setattr("icecore.server.search.searcher.PIECE_VALUES", piece_values)
    searcher = Searcher(max_bytes=1 << 20)
    shelf = Shelf(np.random.default_rng(2).standard_normal((50, 2)))
    sizes: list[int] = []
    nearest = ExactIndex.nearest

    def counted(index: ExactIndex, queries: Float32Array, **how: Any) -> Any:
        sizes.append(len(queries))
        return nearest(index, queries, **how)

    monkeypatch.setattr(ExactIndex, "nearest", counted)
    queries = shelf.codes[:40].astype(np.float32)
    found = await searcher.search("t", shelf.record(), TAP, shelf.load, queries, k=1)
    searcher.close()
    assert [hits[0].score for hits in found] == pytest.approx([1] * 40, abs=1e-15)
    assert (len(sizes), sum(sizes)) == (n_pieces, 40)
