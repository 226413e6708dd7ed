"""What the services work with, made from the settings, and ended in the opposite order."""

import contextlib
from typing import Final

from icecore.server.backbones.catalog import Catalog
from icecore.server.backbones.running.devices import usable_device
from icecore.server.backbones.running.sessions import Sessions
from icecore.server.embedding.caching.code_rows import remove_rows
from icecore.server.embedding.caching.disk import DiskCache
from icecore.server.embedding.collection_codes import CollectionCodes
from icecore.server.embedding.embedder import Embedder
from icecore.server.embedding.ingest import Ingest
from icecore.server.embedding.scheduling.allowances import Allowances
from icecore.server.embedding.working.plan_file import PlanFile, place
from icecore.server.rpc.backbone_adding import BackboneAdding
from icecore.server.rpc.backbone_quantising import BackboneQuantising
from icecore.server.rpc.kserve.inferring import Inferring
from icecore.server.rpc.kserve.sharing import Sharing
from icecore.server.rpc.parts import Turns
from icecore.server.rpc.recipe_checking import RecipeChecking
from icecore.server.rpc.services import Parts
from icecore.server.search.searcher import Searcher
from icecore.server.settings import Settings
from icecore.server.storage.folder import DataFolder
from icecore.server.storage.promise import Store
from icecore.server.telemetry.metrics import Metrics
from icecore.server.training.advising.adviser import Adviser
from icecore.server.training.comparing import Comparer
from icecore.server.training.predictor import Predictor
from icecore.server.training.recipe_check import RecipeChecker
from icecore.server.training.trainer import Trainer

SESSION_BYTES: Final = 1 << 30
INDEX_BYTES: Final = 1 << 30


def assemble(
    stack: contextlib.AsyncExitStack,
    settings: Settings,
    folder: DataFolder,
    store: Store,
    catalog: Catalog,
    metrics: Metrics,
) -> Parts:
    """Make the parts, and let them end in the opposite order."""
    device = usable_device(settings.device)
    sessions = Sessions(max_bytes=SESSION_BYTES, threads=settings.threads, device=device)
    stack.callback(sessions.close)
    metrics.gauge("sessions", "Cut sessions kept.", lambda: sessions.n_kept)
    metrics.gauge("session_bytes", "What they hold, estimated.", lambda: sessions.held_bytes)
    catalog.when_gone(sessions.forget)
    disk = _disk_cache(folder, settings.cache_disk_mb << 20)
    metrics.gauge("cache_disk_bytes", "Codes kept on disk.", lambda: disk.n_bytes if disk else 0)
    allowances = Allowances(store.quotas())
    embedder = Embedder(
        sessions,
        threads=settings.threads,
        cache_bytes=settings.cache_mb << 20,
        disk=disk,
        max_queue_ms=settings.max_queue_ms,
        allowances=allowances,
        plan_file=PlanFile(folder.plans, place(device.identity, settings.threads)),
        metrics=metrics,
    )
    stack.callback(embedder.close)
    searcher = Searcher(max_bytes=INDEX_BYTES)
    stack.callback(searcher.close)
    collection_codes = CollectionCodes(catalog, embedder)
    reports = Turns(1, "a recipe is being checked or a backbone quantised; try again after that")
    comparer = Comparer(catalog, collection_codes)
    predictor = Predictor(catalog, embedder)
    sharing = Sharing(is_on=settings.shared_memory, listens_to_others=settings.listens_to_others)
    stack.callback(sharing.close)
    return Parts(
        store=store,
        catalog=catalog,
        adding=BackboneAdding(catalog, folder.path),
        checking=RecipeChecking(catalog, RecipeChecker(embedder), reports),
        quantising=BackboneQuantising(catalog, reports),
        embedder=embedder,
        allowances=allowances,
        ingest=Ingest(catalog, embedder),
        collection_codes=collection_codes,
        searcher=searcher,
        comparer=comparer,
        trainer=Trainer(
            store, catalog, collection_codes, comparer, workers=settings.training_workers
        ),
        predictor=predictor,
        adviser=Adviser(catalog, embedder),
        sharing=sharing,
        inferring=Inferring(
            store,
            catalog,
            embedder,
            predictor,
            sharing,
            max_bytes=settings.max_message_bytes,
            is_caching=settings.cache_mb + settings.cache_disk_mb > 0,
        ),
    )


def _disk_cache(folder: DataFolder, max_bytes: int) -> DiskCache | None:
    """Open the cache on disk; without one, what an earlier server kept there goes."""
    if max_bytes:
        return DiskCache(folder.code_cache, max_bytes)
    remove_rows(folder.code_cache)
    return None
