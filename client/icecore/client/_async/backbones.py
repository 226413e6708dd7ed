"""AsyncClient's calls about backbones."""

from collections.abc import Callable, Sequence
from pathlib import Path

from icecore.client._async.calls import AsyncCalls
from icecore.client._async.transport import last
from icecore.client._operations import backbone_work as work
from icecore.client._operations import backbones as operations
from icecore.client._operations.conversation import unanswered
from icecore.client.backbone_values import (
    Backbone,
    Card,
    LabelledImage,
    Layer,
    Quantising,
    Recipe,
    RecipeReport,
)
from icecore.client.input_values import ImageInput


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

    async def add_backbone(
        self,
        name: str,
        graph: Path | bytes,
        *,
        recipe: Recipe | Path | None = None,
        card: Card | None = None,
        on_bytes: Callable[[int, int], None] | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> Backbone:
        """As `Client.add_backbone`."""
        conversation = work.add(
            name, graph, recipe=recipe, card=card, on_bytes=on_bytes, request_id=request_id
        )
        return await last(conversation, self._transport.converse(conversation, timeout_s))

    async def remove_backbone(
        self, name: str, *, request_id: str | None = None, timeout_s: float | None = None
    ) -> None:
        """As `Client.remove_backbone`."""
        await self._transport.unary(operations.remove(name, request_id=request_id), timeout_s)

    async def check_recipe(
        self,
        backbone: str,
        images: Sequence[LabelledImage],
        *,
        class_names: Sequence[str] = (),
        on_progress: Callable[[float], None] | None = None,
        timeout_s: float | None = None,
    ) -> RecipeReport:
        """As `Client.check_recipe`."""
        conversation = work.check_recipe(backbone, images, class_names)
        async for said in self._transport.converse(conversation, timeout_s):
            if on_progress is not None:
                on_progress(said.progress)
            if said.report is not None:
                return said.report
        raise unanswered(conversation)

    async def quantise_backbone(
        self,
        backbone: str,
        calibration: Sequence[ImageInput],
        *,
        name: str = "",
        evaluation: Sequence[LabelledImage] = (),
        percentile: float = 99.99,
        on_progress: Callable[[Quantising], None] | None = None,
        request_id: str | None = None,
        timeout_s: float | None = None,
    ) -> Backbone:
        """As `Client.quantise_backbone`."""
        conversation = work.quantise(
            backbone, name, calibration, evaluation, percentile=percentile, request_id=request_id
        )
        async for said in self._transport.converse(conversation, timeout_s):
            if on_progress is not None:
                on_progress(said)
            if said.backbone is not None:
                return said.backbone
        raise unanswered(conversation)
