"""BackboneService: the frozen networks and their layers."""

import asyncio
from collections.abc import AsyncIterator

from icecore.server.backbones.catalog import Catalog
from icecore.server.errors import Unimplemented
from icecore.server.rpc import answers, arguments
from icecore.v1 import backbone_pb2 as pb
from icecore.v1 import backbone_pb2_grpc


class BackboneService(backbone_pb2_grpc.BackboneServiceServicer):
    """Backbones are shared: every tenant sees the same."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def ListBackbones(
        self, request: pb.ListBackbonesRequest, context: object
    ) -> pb.ListBackbonesResponse:
        found = await asyncio.to_thread(self._catalog.backbones)
        return pb.ListBackbonesResponse(backbones=[answers.backbone(one) for one in found])

    async def GetBackbone(
        self, request: pb.GetBackboneRequest, context: object
    ) -> pb.GetBackboneResponse:
        name = arguments.named("backbone", request.backbone) if request.backbone else ""
        found = await asyncio.to_thread(self._catalog.get, name)
        return pb.GetBackboneResponse(
            backbone=answers.backbone(found), layers=[answers.layer(one) for one in found.layers]
        )

    async def AddBackbone(
        self, request_iterator: AsyncIterator[pb.AddBackboneRequest], context: object
    ) -> pb.AddBackboneResponse:
        raise Unimplemented("this server takes no backbones of others yet")

    async def RemoveBackbone(
        self, request: pb.RemoveBackboneRequest, context: object
    ) -> pb.RemoveBackboneResponse:
        raise Unimplemented("this server removes no backbones yet")

    async def CheckRecipe(
        self, request_iterator: AsyncIterator[pb.CheckRecipeRequest], context: object
    ) -> pb.CheckRecipeResponse:
        raise Unimplemented("this server checks no recipes yet")

    async def QuantiseBackbone(
        self, request_iterator: AsyncIterator[pb.QuantiseBackboneRequest], context: object
    ) -> AsyncIterator[pb.QuantiseBackboneResponse]:
        for _ in ():
            yield pb.QuantiseBackboneResponse()
        raise Unimplemented("this server quantises no backbones yet")
