"""AsyncClient's calls about backbones."""

from icecore.client._async.calls import AsyncCalls
from icecore.client._operations import backbones as operations
from icecore.client.values import Backbone, Layer


class AsyncBackboneCalls(AsyncCalls):
    async def backbones(self, *, timeout_s: float | None = None) -> list[Backbone]:
        """As `Client.backbones`."""
        return await self._transport.unary(operations.backbones(), timeout_s)

    async def backbone(self, name: str = "", *, timeout_s: float | None = None) -> Backbone:
        """As `Client.backbone`."""
        return await self._transport.unary(operations.backbone(name), timeout_s)

    async def layers(self, backbone: str = "", *, timeout_s: float | None = None) -> list[Layer]:
        """As `Client.layers`."""
        return await self._transport.unary(operations.layers(backbone), timeout_s)
