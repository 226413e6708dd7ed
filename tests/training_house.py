"""All that trains and predicts, put together over a store, and small images for it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import numpy as np

from icecore.server.backbones.catalog import Catalog
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.embedding.collection_codes import CollectionCodes
from icecore.server.embedding.embedder import Embedder
from icecore.server.embedding.images import Pixels
from icecore.server.embedding.ingest import ExampleInput, Ingest
from icecore.server.storage.promise import Store
from icecore.server.storage.records import VersionRecord, VersionState
from icecore.server.training.comparing import Comparer
from icecore.server.training.facts import VersionFacts
from icecore.server.training.predictor import Predictor
from icecore.server.training.trainer import Trainer, TrainRequest

TENANT = "default"


@dataclass
class House:
    store: Store
    catalog: Catalog
    ingest: Ingest
    codes: CollectionCodes
    trainer: Trainer
    predictor: Predictor

    async def fill(self, examples: Sequence[ExampleInput], *, keep_images: bool = True) -> None:
        store = self.store.tenant(TENANT)
        backbone = self.catalog.get("")
        store.create_collection(
            "insects", backbone=backbone.name, digest=backbone.digest, keep_images=keep_images
        )
        for start in range(0, len(examples), 50):
            await self.ingest.add(store, "insects", examples[start : start + 50])

    async def trained(self, request: TrainRequest) -> tuple[VersionRecord, VersionFacts]:
        begun = await self.trainer.train(TENANT, request)
        async with asyncio.timeout(60):
            states = [
                state async for state in self.trainer.watch(TENANT, request.probe_id, begun.version)
            ]
        record = states[-1].version
        assert record.state is VersionState.READY, record.failure_message
        facts = VersionFacts.of(record)
        assert facts is not None
        return record, facts


async def housed(store: Store, default: str) -> AsyncIterator[House]:
    catalog = Catalog(store, default=default)
    catalog.ensure_default()
    sessions = Sessions(max_bytes=1 << 28, threads=2)
    embedder = Embedder(sessions, threads=2)
    codes = CollectionCodes(catalog, embedder)
    trainer = Trainer(store, catalog, codes, Comparer(catalog, codes))
    yield House(
        store,
        catalog,
        Ingest(catalog, embedder),
        codes,
        trainer,
        Predictor(catalog, embedder),
    )
    await trainer.close()
    embedder.close()
    sessions.close()
    store.close()


def tiny(n: int = 40, seed: int = 0) -> list[ExampleInput]:
    """Reddish ants and bluish bees, 8 x 8, and one without a label."""
    random = np.random.default_rng(seed)
    examples = []
    for number in range(n):
        pixels = random.integers(0, 120, (8, 8, 3), dtype=np.uint8)
        label = ("ant", "bee")[number % 2]
        pixels[..., 0 if label == "ant" else 2] += 130
        examples.append(ExampleInput(f"{number:03d}.png", label, {}, Pixels(pixels)))
    return [*examples, ExampleInput("nobody.png", "", {}, Pixels(np.zeros((8, 8, 3), np.uint8)))]
