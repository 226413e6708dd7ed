"""Nearest examples of a collection: load its codes once, then exact top k."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

import faiss
import numpy as np
import numpy.typing as npt

from icecore.server.errors import (
    KInvalid,
    Overloaded,
    ShuttingDown,
)
from icecore.server.search.building import Building
from icecore.server.search.exact_index import ExactIndex
from icecore.server.search.filters import Filter, read_filter
from icecore.server.search.index_cache import IndexCache, Place
from icecore.server.search.indexed import Indexed, StoredCodes
from icecore.server.search.metrics import Metric
from icecore.server.search.queries import check_width, checked, of_examples
from icecore.server.storage.records import CodeArray, CollectionRecord, ExampleRecord
from icecore.wire.taps import TapId

MAX_K: Final = 1000
APART_BYTES: Final = 4 << 20
"""An index of less is built here within 50 ms, sooner than it is asked for elsewhere."""
_QUERIES_AT_ONCE: Final = 32

T = TypeVar("T")
Load: TypeAlias = Callable[[], Awaitable[tuple[int, Sequence[ExampleRecord], CodeArray]]]


@dataclass(frozen=True, slots=True)
class Hit:
    """A cosine, a distance or an inner product, by the metric that was asked for."""

    example: ExampleRecord
    score: float


class Searcher:
    """Searches one tenant's collection at a time; keeps up to `max_bytes` of indexes.

    Loading is done once for all who wait for the same index. Work runs in
    `threads` threads of one OpenMP thread each; indexes of `apart_bytes` of codes or
    more are built in a niced process.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        threads: int = 2,
        max_waiting: int = 1000,
        apart_bytes: int = APART_BYTES,
    ) -> None:
        self._cache = IndexCache(max_bytes=max_bytes)
        self._loading: dict[Place, _Turn] = {}
        self._building = Building()
        self._apart_bytes = apart_bytes
        self._pool = ThreadPoolExecutor(
            threads,
            thread_name_prefix="search",
            initializer=faiss.omp_set_num_threads,
            initargs=(1,),
        )
        self._max_waiting = max_waiting
        self._n_waiting = 0
        self._is_closed = False

    async def search(
        self,
        tenant_id: str,
        collection: CollectionRecord,
        tap: TapId,
        load: Load,
        queries: npt.NDArray[Any] | Sequence[str],
        *,
        metric: Metric = Metric.COSINE,
        k: int = 10,
        stored: StoredCodes | None = None,
        filter: str = "",  # noqa: A002 - the contract's word
    ) -> list[list[Hit]]:
        """Return the k best examples for each query, best first; equal scores by id.

        Exactly what a float64 scan over the stored codes gives. A `k` beyond the
        number of examples gives all of them.

        Args:
            tenant_id: whose collection it is; indexes are never shared.
            collection: as it is now; its sequence says whether an index is fresh.
            tap: what `load` loads and the queries were made with.
            load: gives (sequence, examples in order of id, codes (n, d)), and is
                called only where no fresh index is kept.
            queries: (q, d) float32 or float16, finite; or ids of examples, whose
                stored codes are the queries.
            metric: how likeness is measured.
            k: 1 to `MAX_K`.
            stored: where the codes can be read without `load`, if they can.
            filter: see `filters`.

        Raises:
            KInvalid, FilterInvalid, CodesInvalid, Overloaded, ShuttingDown.
            CollectionNotFound, StorageCorrupt, Internal: as `Building.from_store`.
            ExampleNotFound: an id that the collection does not hold.
        """
        check_k(k)
        wanted = read_filter(filter)
        asked = checked(queries) if isinstance(queries, np.ndarray) else tuple(queries)
        if self._is_closed:
            raise ShuttingDown("the server is shutting down and searches no more")
        if self._n_waiting >= self._max_waiting:
            raise Overloaded(f"{self._n_waiting} searches are waiting already; try again later")
        self._n_waiting += 1
        try:
            place = Place.of(tenant_id, collection, tap, is_cosine=metric is Metric.COSINE)
            indexed = await self._indexed(place, collection.sequence, load, stored)
            if isinstance(asked, tuple):
                asked = of_examples(indexed, asked, collection.collection_id)
            return await self._scan(indexed, asked, metric, k, wanted)
        finally:
            self._n_waiting -= 1

    def forget(self, tenant_id: str, collection_id: str | None = None) -> None:
        """Drop what is kept of a tenant, or of one of its collections."""
        self._cache.forget(tenant_id, collection_id)
        for place, turn in self._loading.items():
            if place.is_of(tenant_id, collection_id):
                turn.is_forgotten = True

    def close(self) -> None:
        """Let running scans end, refuse what waits. Idempotent."""
        self._is_closed = True
        self._building.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _indexed(
        self, place: Place, sequence: int, load: Load, stored: StoredCodes | None
    ) -> Indexed:
        turn = self._loading.setdefault(place, _Turn())
        turn.n_users += 1
        try:
            async with turn.lock:
                kept = self._cache.get(place, sequence=sequence)
                if kept is not None:
                    return kept
                turn.is_forgotten = False
                indexed = await self._built(place, load, stored)
                if not turn.is_forgotten:  # nothing of it was deleted meanwhile
                    self._cache.put(place, indexed)
                return indexed
        finally:
            turn.n_users -= 1
            if turn.n_users == 0:
                del self._loading[place]

    async def _built(self, place: Place, load: Load, stored: StoredCodes | None) -> Indexed:
        is_cosine = place.is_cosine
        if stored is not None and stored.n_bytes >= self._apart_bytes:
            return await self._building.from_store(stored, is_cosine=is_cosine)
        sequence, examples, codes = await load()
        if codes.nbytes >= self._apart_bytes:
            index = await self._building.from_codes(codes, is_cosine=is_cosine)
        else:
            index = await self._in_thread(partial(ExactIndex, codes, is_cosine=is_cosine))
        return Indexed(sequence, examples, index)

    async def _scan(
        self,
        indexed: Indexed,
        queries: npt.NDArray[np.float32],
        metric: Metric,
        k: int,
        wanted: Filter,
    ) -> list[list[Hit]]:
        if not indexed.examples:
            return [[] for _ in queries]
        check_width(queries, indexed.index)
        rows = None
        if not wanted.is_empty:
            rows = await self._in_thread(partial(_matching, indexed.examples, wanted))
        hits: list[list[Hit]] = []
        for first in range(0, len(queries), _QUERIES_AT_ONCE):
            some = queries[first : first + _QUERIES_AT_ONCE]
            hits += await self._in_thread(partial(_hits, indexed, some, metric, k, rows))
        return hits

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._is_closed:
            raise ShuttingDown("the server is shutting down and searches no more")
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


class _Turn:
    """A lock and how many hold or wait for it, so that it can be thrown away.

    `is_forgotten`: what is being loaded must not be kept.
    """

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.n_users = 0
        self.is_forgotten = False


def check_k(k: int) -> int:
    """Raises KInvalid."""
    if not 1 <= k <= MAX_K:
        raise KInvalid(f"k is {k}, but must be at least 1 and at most {MAX_K:,}")
    return k


def _hits(
    indexed: Indexed,
    queries: npt.NDArray[np.float32],
    metric: Metric,
    k: int,
    rows: npt.NDArray[np.intp] | None,
) -> list[list[Hit]]:
    return [
        [Hit(indexed.examples[row], score) for row, score in found]
        for found in indexed.index.nearest(queries, metric=metric, k=k, rows=rows)
    ]


def _matching(examples: Sequence[ExampleRecord], wanted: Filter) -> npt.NDArray[np.intp]:
    return np.array([i for i, e in enumerate(examples) if wanted.matches(e)], dtype=np.intp)
