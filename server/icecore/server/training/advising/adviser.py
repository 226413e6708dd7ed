"""The face of advising: what may be judged, when, and the end of it."""

import asyncio
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.catalog import Catalog
from icecore.server.embedding.core import core_of
from icecore.server.embedding.embedder import Embedder
from icecore.server.errors import (
    BackboneNotFloat,
    BackboneNotFound,
    ImagesNotKept,
    ShuttingDown,
)
from icecore.server.storage.promise import TenantStore
from icecore.server.storage.records import CollectionRecord
from icecore.server.training.advising.line import Line
from icecore.server.training.advising.process import (
    COMMAND,
    TWIN_LAYERS,
    OnProgress,
    Task,
    judged,
)
from icecore.server.training.advising.request import AdviceRequest
from icecore.server.training.advising.stages import Stages
from icecore.server.training.advising.subject import Gathering
from icecore.server.training.advising.values import Advised
from icecore.server.training.candidates import check_classes
from icecore.wire.taps import TapId

__all__ = ["Adviser"]

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class Adviser:
    """Judges collections, `at_once` of them; what waits takes turns by tenant.

    Nothing is stored, and a caller who leaves ends the work. Lives on one event loop. `command`
    starts a worker.
    """

    def __init__(
        self,
        catalog: Catalog,
        embedder: Embedder,
        *,
        at_once: int = 1,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._catalog = catalog
        self._embedder = embedder
        self._command = command
        self._line = Line(at_once)
        self._working: set[asyncio.Task[Advised]] = set()
        self._is_closed = False

    async def advise(
        self, store: TenantStore, request: AdviceRequest, *, on_progress: OnProgress
    ) -> Advised:
        """Return what the collection's labelled images say.

        `on_progress` hears "waiting", "codes", "layers", "twins", "baselines" and "curve" with
        the share of the whole that is done.

        Raises:
            CollectionNotFound, BackboneNotFound: what is asked for is not there.
            ImagesNotKept: without images there is nothing to compare with.
            BackboneNotFloat: the float32 backbone of an int8 one is gone, so it has no twin.
            CollectionEmpty, ClassesTooFew, ClassTooSmall, CodesInvalid, CalibrationInvalid:
                nothing can be learnt, or all images are the same.
            InvalidArgument: the codes would not fit.
            ExampleNotFound: an image was deleted or replaced meanwhile.
            Overloaded: too many wait.
            ShuttingDown: the server stops; nothing is left of the work.
            Internal: the process broke.
        """
        if self._is_closed:
            raise _shutting_down()
        work = asyncio.create_task(self._advise(store, request, on_progress))
        self._working.add(work)
        try:
            await asyncio.wait([work])
            if work.cancelled():
                raise _shutting_down()
            return work.result()
        finally:
            work.cancel()
            await asyncio.wait([work])
            self._working.discard(work)

    async def close(self) -> None:
        """End all work; its callers hear that the server shuts down. Idempotent."""
        self._is_closed = True
        working = list(self._working)
        for work in working:
            work.cancel()
        if working:
            await asyncio.wait(working)

    async def _advise(
        self, store: TenantStore, request: AdviceRequest, on_progress: OnProgress
    ) -> Advised:
        collection, own, backbones, floats = await asyncio.to_thread(
            self._looked_up, store, request
        )
        on_progress("waiting", 0.0)
        async with self._line.turn(store.tenant_id):
            on_progress("codes", 0.0)
            core = core_of(own, collection)
            stages = _stages(collection, core, backbones, floats, request.max_images)
            gathering = Gathering(
                store,
                self._embedder,
                collection.collection_id,
                own,
                core,
                backbones,
                lambda share: on_progress("codes", stages.at("codes", share)),
            )
            subject = await gathering.subject(request.max_images, seed=request.seed)
            check_classes(
                collection.collection_id, Counter(example.label for example in subject.examples)
            )
            task = Task(store, request, subject, _names(backbones), floats, stages)
            return await judged(task, on_progress=on_progress, command=self._command)

    def _looked_up(
        self, store: TenantStore, request: AdviceRequest
    ) -> tuple[CollectionRecord, Backbone, list[Backbone], dict[str, Backbone]]:
        """What can be refused at once, and what is needed of the catalog."""
        collection = store.collection(request.collection_id)
        if not collection.keep_images:
            raise ImagesNotKept(
                f"collection {collection.collection_id!r} keeps no images, so its codes cannot be "
                "compared with pixels, gradients or a random network: add the images to one made "
                "with keep_images"
            )
        check_classes(collection.collection_id, collection.labels)
        own = self._catalog.by_digest(collection.digest)
        asked = [self._backbone(name) for name in request.backbones] or [own]
        backbones = list({one.digest: one for one in asked}.values())
        return collection, own, backbones, {one.digest: self._float(one) for one in backbones}

    def _backbone(self, name: str) -> Backbone:
        return self._catalog.by_digest(name) if _DIGEST.fullmatch(name) else self._catalog.get(name)

    def _float(self, backbone: Backbone) -> Backbone:
        """The float32 network that has this one's architecture."""
        if backbone.precision == "float32":
            return backbone
        try:
            return self._catalog.by_digest(backbone.facts.derived_from)
        except BackboneNotFound as error:
            raise BackboneNotFloat(
                f"backbone {backbone.name!r} is {backbone.precision}, and the float32 one it was "
                "made of is not here, so that no random twin of it can be drawn"
            ) from error


def _stages(
    collection: CollectionRecord,
    core: Sequence[TapId],
    backbones: Sequence[Backbone],
    floats: Mapping[str, Backbone],
    max_images: int,
) -> Stages:
    """Reckoned with the largest network, for whose twins are drawn is not known yet."""
    n = min(max_images, sum(n for label, n in collection.labels.items() if label))
    taps = {
        one.digest: {one.tap(layer): layer for layer in (*one.ranked, *filter(None, [one.outputs]))}
        for one in backbones
    }
    plain = max(floats.values(), key=lambda one: one.ranked[-1].macs)
    return Stages.of(
        n,
        dims=[layer.dims for layers in taps.values() for layer in layers.values()],
        joined_dims=[layer.dims for layer in taps[plain.digest].values()],
        twin_dims=[layer.dims for layer in plain.spread(TWIN_LAYERS)],
        macs=plain.ranked[-1].macs,
        computed_macs=sum(
            one.ranked[-1].macs for one in backbones if not taps[one.digest].keys() <= set(core)
        ),
    )


def _names(backbones: Sequence[Backbone]) -> dict[str, str]:
    """What each is called, by digest; two of one name are told apart by their digests."""
    counts = Counter(one.name for one in backbones)
    return {
        one.digest: one.name if counts[one.name] == 1 else f"{one.name}@{one.digest[:8]}"
        for one in backbones
    }


def _shutting_down() -> ShuttingDown:
    return ShuttingDown("the server is shutting down and gives no more advice; ask the next one")
