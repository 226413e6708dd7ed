"""Work with the backbone of a name, which may be replaced while it lasts."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.catalog import Catalog
from icecore.server.errors import BackboneNotFound

T = TypeVar("T")


async def with_backbone(catalog: Catalog, name: str, act: Callable[[Backbone], Awaitable[T]]) -> T:
    """Return what `act` gives for the backbone that the name ("": the default) points to.

    Where that was replaced, and deleted since nothing pins it, `act` begins again
    with the new one: who asks by name does not notice.

    Raises:
        BackboneNotFound: no such name, or it was removed meanwhile.
    """
    at_hand = catalog.at_hand(name)
    backbone = await asyncio.to_thread(catalog.get, name) if at_hand is None else at_hand
    while True:
        try:
            return await act(backbone)
        except BackboneNotFound:
            await asyncio.to_thread(catalog.refresh)
            now = await asyncio.to_thread(catalog.get, name)
            if now.digest == backbone.digest:
                raise
            backbone = now
