"""BackboneService: the frozen networks and their layers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial

from icecore.server.backbones.catalog import Catalog
from icecore.server.rpc import arguments, backbone_answers
from icecore.server.rpc.backbone_adding import BackboneAdding
from icecore.server.rpc.backbone_quantising import BackboneQuantising
from icecore.server.rpc.finishing import finish
from icecore.server.rpc.recipe_checking import RecipeChecking
from icecore.v1 import backbone_pb2 as pb
from icecore.v1 import backbone_pb2_grpc


class BackboneService(backbone_pb2_grpc.BackboneServiceServicer):
    """Backbones are shared: every tenant sees the same, and administrators change them."""

    def __init__(
        self,
        catalog: Catalog,
        adding: BackboneAdding,
        checking: RecipeChecking,
        quantising: BackboneQuantising,
    ) -> None:
        self._catalog = catalog
        self._adding = adding
        self._checking = checking
        self._quantising = quantising

    async def ListBackbones(
        self, request: pb.ListBackbonesRequest, context: object
    ) -> pb.ListBackbonesResponse:
        found = await asyncio.to_thread(self._catalog.backbones)
        return pb.ListBackbonesResponse(backbones=[backbone_answers.backbone(one) for one in found])

    async def GetBackbone(
        self, request: pb.GetBackboneRequest, context: object
    ) -> pb.GetBackboneResponse:
        name = arguments.named("backbone", request.backbone) if request.backbone else ""
        found = await asyncio.to_thread(self._catalog.get, name)
        return pb.GetBackboneResponse(
            backbone=backbone_answers.backbone(found),
            layers=[backbone_answers.layer(one) for one in found.layers],
        )

    async def AddBackbone(
        self, request_iterator: AsyncIterator[pb.AddBackboneRequest], context: object
    ) -> pb.AddBackboneResponse:
        added = await self._adding.add(request_iterator)
        return pb.AddBackboneResponse(backbone=backbone_answers.backbone(added))

    async def RemoveBackbone(
        self, request: pb.RemoveBackboneRequest, context: object
    ) -> pb.RemoveBackboneResponse:
        name = arguments.named("backbone", request.backbone)
        mutation = arguments.mutation(request.request_id, request)
        remove = partial(self._catalog.remove, name, mutation=mutation)
        await finish(asyncio.to_thread(remove))
        return pb.RemoveBackboneResponse()

    async def CheckRecipe(
        self, request_iterator: AsyncIterator[pb.CheckRecipeRequest], context: object
    ) -> AsyncIterator[pb.CheckRecipeResponse]:
        async with aclosing(self._checking.check(request_iterator)) as answers:
            async for answer in answers:
                yield answer

    async def QuantiseBackbone(
        self, request_iterator: AsyncIterator[pb.QuantiseBackboneRequest], context: object
    ) -> AsyncIterator[pb.QuantiseBackboneResponse]:
        async with aclosing(self._quantising.quantise(request_iterator)) as answers:
            async for answer in answers:
                yield answer
