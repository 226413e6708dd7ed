"""AddBackbone: a file of others comes in, is admitted, and becomes a backbone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, Final

from icecore.server.backbones.admission.admitting import Admitted, admit
from icecore.server.backbones.admission.limits import USUAL, AdmissionLimits
from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.catalog import Catalog
from icecore.server.backbones.facts import Facts
from icecore.server.rpc import arguments, backbone_arguments
from icecore.server.rpc.calls import current_call
from icecore.server.rpc.finishing import finish, in_thread
from icecore.server.rpc.parts import STALL_S, Parts, Turns
from icecore.server.rpc.spool import Spool
from icecore.v1 import backbone_pb2 as pb

UPLOADS: Final = 2
"""At once. Each holds its file on disk, then in memory for as long as it is looked at."""


class BackboneAdding:
    """Brings files in; `folder` is where they lie while they come."""

    def __init__(
        self,
        catalog: Catalog,
        folder: Path,
        *,
        admit: Callable[..., Admitted] = admit,
        limits: AdmissionLimits = USUAL,
        stall_s: float = STALL_S,
    ) -> None:
        self._catalog = catalog
        self._folder = folder
        self._admit = admit
        self._limits = limits
        self._stall_s = stall_s
        self._turns = Turns(
            UPLOADS,
            f"{UPLOADS} files are being added, which are the most at once; try again when one "
            "is done",
        )

    async def add(self, requests: AsyncIterator[pb.AddBackboneRequest]) -> Backbone:
        """Return the backbone once it is durable.

        Nothing is left of a stream that ends early, stands still or is refused. A retry is
        answered as the first call was, once its bytes show that it is one.

        Raises:
            InvalidArgument, NameInvalid, RecipeInvalid: what the header or the stream says.
            GraphTooLarge: as soon as too many bytes came.
            GraphInvalid, GraphTooCostly: as `admit`.
            Overloaded: too many are being added.
            RequestIdReused, StorageFull: as the store.
        """
        parts = Parts(requests, stall_s=self._stall_s)
        header = await parts.header()
        name = arguments.named("backbone", header.name)
        arguments.request_id(header.request_id)
        recipe = backbone_arguments.recipe(header)
        recipe_file = backbone_arguments.recipe_file(header)
        card = backbone_arguments.card(header)
        with self._turns.take():
            with Spool(self._folder, max_bytes=self._limits.max_file_bytes) as spool:
                async for _, chunk in parts.rest():
                    await in_thread(partial(spool.write, chunk))
                    del chunk  # what is not in hand is not kept
                mutation = arguments.mutation(header.request_id, header, spool.sha256)
                if mutation is not None:
                    before = await asyncio.to_thread(self._catalog.added_before, mutation)
                    if before is not None:
                        return before
                admitted = await self._admitted(spool, recipe=recipe, recipe_file=recipe_file)
            facts = Facts(
                added_by=f"administrator {_key_id()}",
                file_sha256=admitted.file_sha256,
                recipe_source=admitted.recipe_source,
                changes=admitted.changes,
            )
            add = partial(
                self._catalog.add,
                name,
                admitted.graph,
                admitted.recipe,
                backbone_arguments.filled(card, admitted.card),
                facts,
                mutation=mutation,
            )
            return await finish(asyncio.to_thread(add))

    async def _admitted(self, spool: Spool, **recipes: Any) -> Admitted:
        """Look at the file in a thread; a caller who leaves ends that."""
        caller_left: Future[None] = Future()

        def look() -> Admitted:
            return self._admit(
                spool.read(), limits=self._limits, caller_left=caller_left, **recipes
            )

        return await in_thread(look, when_left=caller_left.cancel)


def _key_id() -> str:
    principal = current_call().principal
    return "" if principal is None else principal.key_id
