"""A store with the toy backbone, trainers over it, and what is awaited of them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from icecore.server.backbones.backbone import Backbone
from icecore.server.backbones.catalog import Catalog
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.embedding.collection_codes import CollectionCodes
from icecore.server.embedding.core import core_of
from icecore.server.embedding.embedder import Embedder
from icecore.server.storage.opening import open_sqlite
from icecore.server.storage.promise import Store
from icecore.server.storage.records import NewBatch, NewExample, OnDuplicate, VersionRecord
from icecore.server.training.comparing import Comparer
from icecore.server.training.trainer import Progress, Trainer, TrainRequest
from toy_store import put_toy_backbone

TENANT = "default"
REQUEST = TrainRequest("ants-bees", "insects", "svm")


@dataclass
class House:
    """A store with the toy backbone, and trainers over it."""

    folder: Path
    store: Store
    backbone: Backbone
    catalog: Catalog
    codes: CollectionCodes
    trainers: list[Trainer] = field(default_factory=list)

    async def trainer(self, command: Sequence[str], *, workers: int = 1) -> Trainer:
        comparer = Comparer(self.catalog, self.codes)
        trainer = Trainer(
            self.store, self.catalog, self.codes, comparer, workers=workers, command=command
        )
        self.trainers.append(trainer)
        await trainer.start()
        return trainer

    def collect(
        self,
        labels: Sequence[str] = ("ant", "ant", "bee", "bee"),
        *,
        collection_id: str = "insects",
        tenant_id: str = TENANT,
        keep_images: bool = False,
    ) -> None:
        """Make a collection of examples with these labels and codes of no meaning."""
        store = self.store.tenant(tenant_id)
        collection = store.create_collection(
            collection_id,
            backbone=self.backbone.name,
            digest=self.backbone.digest,
            keep_images=keep_images,
        )
        if not labels:
            return
        random = np.random.default_rng(0)
        examples = [
            NewExample(f"{n:03d}", label, {}, f"{n:064x}", b"image" if keep_images else None)
            for n, label in enumerate(labels)
        ]
        core = {
            tap.layer: random.random(
                (len(labels), self.backbone.layer_of(tap).channels), dtype=np.float32
            ).astype(np.float16)
            for tap in core_of(self.backbone, collection)
        }
        store.add_examples(collection_id, NewBatch(examples, core), on_duplicate=OnDuplicate.REFUSE)

    def version(self, probe_id: str = "ants-bees", version: int = 1) -> VersionRecord:
        return self.store.tenant(TENANT).probe_version(probe_id, version)


async def housed(folder: Path) -> AsyncIterator[House]:
    store = open_sqlite(folder)
    backbone = put_toy_backbone(store)
    catalog = Catalog(store, default=backbone.name)
    sessions = Sessions(max_bytes=1 << 24, threads=1)
    embedder = Embedder(sessions, threads=1)
    house = House(folder, store, backbone, catalog, CollectionCodes(catalog, embedder))
    yield house
    for trainer in house.trainers:
        await trainer.close()
    embedder.close()
    sessions.close()
    store.close()


async def last(trainer: Trainer, probe_id: str = "ants-bees", version: int = 0) -> Progress:
    async with asyncio.timeout(30):
        progress = [now async for now in trainer.watch(TENANT, probe_id, version)]
    return progress[-1]


async def until(trainer: Trainer, stage: str, probe_id: str = "ants-bees") -> None:
    """Wait until a job is at a stage."""
    async with asyncio.timeout(30):
        async for now in trainer.watch(TENANT, probe_id):
            if now.stage == stage:
                return
    raise AssertionError(f"{probe_id} ended without the stage {stage!r}")
