"""A search request to hits: which tap, which queries, then the searcher."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy.typing as npt

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.catalog import Catalog
from icecore.server.embedding.collection_codes import CollectionCodes
from icecore.server.embedding.core import core_of
from icecore.server.embedding.embedder import Embedder, Timings
from icecore.server.errors import CodesInvalid, InvalidArgument, KInvalid, TapMismatch
from icecore.server.rpc import answers, arguments, inputs
from icecore.server.rpc.calls import current_call
from icecore.server.search.filters import read_filter
from icecore.server.search.indexed import StoredCodes
from icecore.server.search.metrics import Metric
from icecore.server.search.searcher import Searcher, check_k
from icecore.server.storage.promise import TenantStore
from icecore.server.storage.records import CodeArray, CollectionRecord, ExampleRecord
from icecore.v1 import collection_pb2 as pb
from icecore.wire import messages
from icecore.wire.codes import Codes
from icecore.wire.taps import TapId

MAX_QUERIES = 1024
MAX_HITS = 100_000
"""In one answer: about a second's work for one core to write."""

_METRICS = {
    pb.METRIC_UNSPECIFIED: Metric.COSINE,
    pb.METRIC_COSINE: Metric.COSINE,
    pb.METRIC_L2: Metric.L2,
    pb.METRIC_INNER_PRODUCT: Metric.INNER_PRODUCT,
}

Queries = npt.NDArray[Any] | Sequence[str]


class Searching:
    """Joins what Search needs: codes of the queries and codes of the collection."""

    def __init__(
        self,
        catalog: Catalog,
        embedder: Embedder,
        collection_codes: CollectionCodes,
        searcher: Searcher,
    ) -> None:
        self._catalog = catalog
        self._embedder = embedder
        self._collection_codes = collection_codes
        self._searcher = searcher

    async def search(self, tenant: TenantStore, request: pb.SearchRequest) -> pb.SearchResponse:
        """Return one result a query, in the order sent."""
        began = perf_counter()
        collection_id = arguments.named("collection", request.collection_id)
        metric = _metric(request.metric)
        check_k(request.k)
        read_filter(request.filter)  # what is wrong with it costs no forward pass
        sent = _sent(request)
        _check_number(request, sent)
        collection = await asyncio.to_thread(tenant.collection, collection_id)
        backbone = await asyncio.to_thread(self._catalog.by_digest, collection.digest)
        tap = _tap(backbone, request, sent)
        self._collection_codes.check(collection, backbone, (tap,))
        queries, spent = await self._queries(tenant, backbone, tap, request, sent)

        async def load() -> tuple[int, Sequence[ExampleRecord], CodeArray]:
            snapshot = await self._collection_codes.read(
                tenant, collection_id, (tap,), number=collection.number
            )
            return snapshot.sequence, snapshot.examples, snapshot.codes[tap]

        searching = perf_counter()
        found = await self._searcher.search(
            tenant.tenant_id,
            collection,
            tap,
            load,
            queries,
            metric=metric,
            k=request.k,
            stored=_stored(tenant, collection, backbone, tap),
            filter=request.filter,
        )
        ended = perf_counter()
        timings = replace(
            spent,
            compute_ms=spent.compute_ms + (ended - searching) * 1e3,
            total_ms=(ended - began) * 1e3,
        )
        return pb.SearchResponse(
            results=await asyncio.to_thread(answers.results, found),
            tap=messages.tap_to_message(tap),
            timings=answers.timings(timings),
        )

    async def _queries(
        self,
        tenant: TenantStore,
        backbone: Backbone,
        tap: TapId,
        request: pb.SearchRequest,
        sent: Codes | None,
    ) -> tuple[Queries, Timings]:
        nothing = Timings(0.0, 0.0, 0.0, 0.0)
        if sent is not None:
            return sent.values, nothing
        if request.WhichOneof("query") == "example_ids":
            ids = [arguments.example_id(text) for text in request.example_ids.example_ids]
            return ids, nothing
        images = inputs.images(request.images.images)
        embedded = await self._embedder.embed(
            backbone,
            (tap,),
            images,
            tenant_id=tenant.tenant_id,
            deadline=current_call().deadline,
            is_cached=True,
        )
        return embedded.codes[0], embedded.timings


def _stored(
    tenant: TenantStore, collection: CollectionRecord, backbone: Backbone, tap: TapId
) -> StoredCodes | None:
    """Where the collection's codes at a tap lie, if they are stored."""
    if tap not in core_of(backbone, collection):
        return None
    layer = backbone.layer_of(tap)
    return StoredCodes(
        tenant.elsewhere(),
        collection.collection_id,
        collection.number,
        tap.layer,
        n_values=layer.channels,
        n_bytes=2 * layer.channels * collection.n_examples,
    )


def _metric(number: pb.Metric.ValueType) -> Metric:
    if number not in _METRICS:
        known = ", ".join(f"{name} ({n})" for name, n in pb.Metric.items() if n)
        raise InvalidArgument(f"metric {int(number)!r} is not known: {known}")
    return _METRICS[number]


def _sent(request: pb.SearchRequest) -> Codes | None:
    """Return the codes sent as queries, None where it is images or ids."""
    match request.WhichOneof("query"):
        case None:
            raise InvalidArgument("the search has no query: images, example_ids or codes")
        case "codes":
            return inputs.codes(request.codes)
        case _:
            return None


def _check_number(request: pb.SearchRequest, sent: Codes | None) -> None:
    if sent is not None:
        n_queries = len(sent)
    elif request.WhichOneof("query") == "images":
        n_queries = len(request.images.images)
        inputs.check_number(n_queries)
    else:
        n_queries = len(request.example_ids.example_ids)
    if not 1 <= n_queries <= MAX_QUERIES:
        raise CodesInvalid(f"there are {n_queries:,} queries, but must be 1 to {MAX_QUERIES:,}")
    if n_queries * request.k > MAX_HITS:
        raise KInvalid(
            f"{n_queries:,} queries with k {request.k:,} have {n_queries * request.k:,} hits, but "
            f"{MAX_HITS:,} are the most: send fewer at once"
        )


def _tap(backbone: Backbone, request: pb.SearchRequest, sent: Codes | None) -> TapId:
    """Return the one tap to search at.

    Raises:
        TapMismatch: the codes sent are of another than the one also asked for.
        InvalidArgument: several layers, such as "*".
    """
    activation = inputs.activation(request.activation)
    pooling = inputs.pooling(request.pooling)
    if sent is not None:
        backbone.layer_of(sent.tap)
        if not request.layer:
            return sent.tap
    layers = backbone.select((inputs.layer(request.layer),) if request.layer else ())
    if len(layers) != 1:
        raise InvalidArgument(
            f"layer {request.layer!r} names {len(layers)} layers, but a search is at one: "
            "give its depth or its name"
        )
    tap = backbone.tap(layers[0], activation=activation, pooling=pooling)
    if sent is not None and sent.tap != tap:
        raise TapMismatch(
            f"codes of tap '{sent.tap}' were sent to a search at tap '{tap}'",
            given=str(sent.tap),
            wanted=str(tap),
        )
    return tap
