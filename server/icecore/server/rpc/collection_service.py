"""CollectionService: a tenant's examples over one backbone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TypeVar

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.catalog import Catalog
from icecore.server.embedding.ingest import Ingest
from icecore.server.errors import IdDuplicate, InvalidArgument
from icecore.server.rpc import answers, arguments, example_arguments
from icecore.server.rpc.by_name import with_backbone
from icecore.server.rpc.calls import current_call
from icecore.server.rpc.finishing import finish
from icecore.server.rpc.listing import Listing
from icecore.server.rpc.searching import Searching
from icecore.server.search.searcher import Searcher
from icecore.server.storage.promise import Store, TenantStore
from icecore.server.storage.records import CollectionRecord
from icecore.v1 import collection_pb2 as pb
from icecore.v1 import collection_pb2_grpc

MAX_DELETED = 10_000

T = TypeVar("T")


class CollectionService(collection_pb2_grpc.CollectionServiceServicer):
    """Every call works on the data of the tenant that makes it."""

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        ingest: Ingest,
        searcher: Searcher,
        searching: Searching,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._ingest = ingest
        self._searcher = searcher
        self._searching = searching

    async def CreateCollection(
        self, request: pb.CreateCollectionRequest, context: object
    ) -> pb.CreateCollectionResponse:
        collection_id = arguments.named("collection", request.collection_id)
        mutation = arguments.mutation(request.request_id, request)
        name = arguments.named("backbone", request.backbone) if request.backbone else ""
        tenant = await self._tenant()

        async def create(backbone: Backbone) -> CollectionRecord:
            return await asyncio.to_thread(
                tenant.create_collection,
                collection_id,
                backbone=backbone.name,
                digest=backbone.digest,
                keep_images=request.keep_images if request.HasField("keep_images") else True,
                mutation=mutation,
            )

        record = await with_backbone(self._catalog, name, create)
        return pb.CreateCollectionResponse(collection=answers.collection(tenant.tenant_id, record))

    async def GetCollection(
        self, request: pb.GetCollectionRequest, context: object
    ) -> pb.GetCollectionResponse:
        collection_id = arguments.named("collection", request.collection_id)
        tenant = await self._tenant()
        record = await asyncio.to_thread(tenant.collection, collection_id)
        return pb.GetCollectionResponse(collection=answers.collection(tenant.tenant_id, record))

    async def ListCollections(
        self, request: pb.ListCollectionsRequest, context: object
    ) -> pb.ListCollectionsResponse:
        size = arguments.page_size(request.page_size, default=100, most=1000)
        after = arguments.page_start(request.page_token)
        tenant = await self._tenant()
        found = await asyncio.to_thread(tenant.collections, after=after, limit=size + 1)
        page = found[:size]
        return pb.ListCollectionsResponse(
            collections=[answers.collection(tenant.tenant_id, record) for record in page],
            next_page_token=(
                arguments.page_token(page[-1].collection_id) if len(found) > size else ""
            ),
        )

    async def DeleteCollection(
        self, request: pb.DeleteCollectionRequest, context: object
    ) -> pb.DeleteCollectionResponse:
        collection_id = arguments.named("collection", request.collection_id)
        mutation = arguments.mutation(request.request_id, request)
        tenant = await self._tenant()
        delete = partial(tenant.delete_collection, collection_id, mutation=mutation)
        await finish(self._change(tenant.tenant_id, collection_id, delete))
        return pb.DeleteCollectionResponse()

    async def AddExamples(
        self, request_iterator: AsyncIterator[pb.AddExamplesRequest], context: object
    ) -> AsyncIterator[pb.AddExamplesResponse]:
        tenant = await self._tenant()
        async for request in request_iterator:
            yield await self._add(tenant, request)
            del request  # the next one may come much later

    async def ListExamples(
        self, request: pb.ListExamplesRequest, context: object
    ) -> pb.ListExamplesResponse:
        listing = Listing(
            collection_id=arguments.named("collection", request.collection_id),
            filter=request.filter,
            size=arguments.page_size(request.page_size, default=1000, most=10_000),
            after=arguments.page_start(request.page_token),
        )
        page, last = await listing.read(await self._tenant())
        items = await asyncio.to_thread(answers.items, page)
        return pb.ListExamplesResponse(
            examples=items, next_page_token=arguments.page_token(last) if last else ""
        )

    async def DeleteExamples(
        self, request: pb.DeleteExamplesRequest, context: object
    ) -> pb.DeleteExamplesResponse:
        collection_id = arguments.named("collection", request.collection_id)
        mutation = arguments.mutation(request.request_id, request)
        ids = [arguments.example_id(text) for text in request.example_ids]
        if not 1 <= len(ids) <= MAX_DELETED:
            raise InvalidArgument(
                f"there are {len(ids):,} example_ids, but must be 1 to {MAX_DELETED:,}"
            )
        seen: set[str] = set()
        for example_id in ids:
            if example_id in seen:
                raise IdDuplicate(f"the id {example_id!r} comes twice")
            seen.add(example_id)
        tenant = await self._tenant()
        delete = partial(tenant.delete_examples, collection_id, ids, mutation=mutation)
        n_deleted = await finish(self._change(tenant.tenant_id, collection_id, delete))
        return pb.DeleteExamplesResponse(n_deleted=n_deleted)

    async def Search(self, request: pb.SearchRequest, context: object) -> pb.SearchResponse:
        return await self._searching.search(await self._tenant(), request)

    async def _add(
        self, tenant: TenantStore, request: pb.AddExamplesRequest
    ) -> pb.AddExamplesResponse:
        # In a thread: the fingerprint is over all bytes of the images.
        mutation = await asyncio.to_thread(arguments.mutation, request.request_id, request)
        counts = await self._ingest.add(
            tenant,
            arguments.named("collection", request.collection_id),
            example_arguments.examples(request.examples),
            on_duplicate=example_arguments.on_duplicate(request.on_duplicate),
            mutation=mutation,
            deadline=current_call().deadline,
        )
        return pb.AddExamplesResponse(
            request_id=request.request_id,
            n_added=counts.n_added,
            n_replaced=counts.n_replaced,
            n_unchanged=counts.n_unchanged,
        )

    async def _change(self, tenant_id: str, collection_id: str, change: Callable[[], T]) -> T:
        """Delete something; what is kept for searching holds it still."""
        try:
            return await asyncio.to_thread(change)
        finally:
            self._searcher.forget(tenant_id, collection_id)

    async def _tenant(self) -> TenantStore:
        return await asyncio.to_thread(self._store.tenant, current_call().tenant_id)
