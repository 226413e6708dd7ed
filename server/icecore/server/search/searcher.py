"""Nearest examples of a collection: load its codes once, then exact top k."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import faiss
import numpy as np
import numpy.typing as npt

from icecore.server.errors import KInvalid, ShuttingDown
from icecore.server.search.bounds import Bounds
from icecore.server.search.filters import Filter, read_filter
from icecore.server.search.index_cache import Place
from icecore.server.search.indexed import Indexed, StoredCodes
from icecore.server.search.indexes import Indexes, Load
from icecore.server.search.metrics import Metric
from icecore.server.search.queries import check_width, checked, rows_of
from icecore.server.search.tenant_pool import TenantPool
from icecore.server.storage.records import CollectionRecord, ExampleRecord
from icecore.wire.taps import TapId

MAX_K: Final = 1000
APART_BYTES: Final = 4 << 20
"""An index of less is built here within 50 ms, sooner than it is asked for elsewhere."""
MAX_WAITING: Final = 4096
"""Queries of a tenant: four of the largest searches there are."""
PIECE_VALUES: Final = 1 << 27
"""Scanned before others have a turn: 40 ms of one core. With 50,000 codes of 1,280 values a
query takes 20 ms, alone or as one of 32."""
_QUERIES_AT_ONCE: Final = 32


@dataclass(frozen=True, slots=True)
class Hit:
    """A cosine, a distance or an inner product, by the metric that was asked for."""

    example: ExampleRecord
    score: float


class Searcher:
    """Searches one tenant's collection at a time; keeps up to `max_bytes` of indexes.

    Work runs in `threads` threads of one OpenMP thread each, in turns by tenant; of each
    tenant's queries up to `max_waiting` wait. Indexes of `apart_bytes` of codes or more are
    built in a niced process.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        threads: int = 2,
        max_waiting: int = MAX_WAITING,
        apart_bytes: int = APART_BYTES,
    ) -> None:
        self._pool = TenantPool(
            threads, name="search", initializer=partial(faiss.omp_set_num_threads, 1)
        )
        self._indexes = Indexes(self._pool, max_bytes=max_bytes, apart_bytes=apart_bytes)
        self._bounds = Bounds(max_waiting)
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
        with self._bounds.place(tenant_id, len(asked)):
            place = Place.of(tenant_id, collection, tap, is_cosine=metric is Metric.COSINE)
            indexed = await self._indexes.get(place, collection.sequence, load, stored)
            return await self._scan(place, indexed, asked, metric, k, wanted)

    def forget(self, tenant_id: str, collection_id: str | None = None) -> None:
        """Drop what is kept of a tenant, or of one of its collections."""
        self._indexes.forget(tenant_id, collection_id)

    def close(self) -> None:
        """Let running scans end, refuse what waits. Idempotent."""
        self._is_closed = True
        self._indexes.close()
        self._pool.close()

    async def _scan(
        self,
        place: Place,
        indexed: Indexed,
        queries: npt.NDArray[np.float32] | tuple[str, ...],
        metric: Metric,
        k: int,
        wanted: Filter,
    ) -> list[list[Hit]]:
        """Search in pieces, so that a large search holds no thread for long."""
        run = partial(self._pool.run, place.tenant_id)
        asked: npt.NDArray[np.float32] | list[int]
        if isinstance(queries, tuple):
            asked = await run(partial(rows_of, indexed, queries, place.collection_id))
        elif not indexed.examples:
            return [[] for _ in queries]
        else:
            check_width(queries, indexed.index)
            asked = queries
        rows = None
        if not wanted.is_empty:
            rows = await run(partial(_matching, indexed.examples, wanted))
        hits: list[list[Hit]] = []
        step = _queries_at_once(indexed)
        for first in range(0, len(asked), step):
            some = asked[first : first + step]
            hits += await run(partial(_hits, indexed, some, metric, k, rows))
        return hits


def check_k(k: int) -> int:
    """Raises KInvalid."""
    if not 1 <= k <= MAX_K:
        raise KInvalid(f"k is {k}, but must be at least 1 and at most {MAX_K:,}")
    return k


def _queries_at_once(indexed: Indexed) -> int:
    n_values = len(indexed.examples) * indexed.index.n_dims
    return min(max(1, PIECE_VALUES // max(1, n_values)), _QUERIES_AT_ONCE)


def _hits(
    indexed: Indexed,
    asked: npt.NDArray[np.float32] | list[int],
    metric: Metric,
    k: int,
    rows: npt.NDArray[np.intp] | None,
) -> list[list[Hit]]:
    """The hits of codes, or of those of the examples in these rows."""
    queries = indexed.index.rows(asked) if isinstance(asked, list) else asked
    return [
        [Hit(indexed.examples[row], score) for row, score in found]
        for found in indexed.index.nearest(queries, metric=metric, k=k, rows=rows)
    ]


def _matching(examples: Sequence[ExampleRecord], wanted: Filter) -> npt.NDArray[np.intp]:
    return np.array([i for i, e in enumerate(examples) if wanted.matches(e)], dtype=np.intp)
