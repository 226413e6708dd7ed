"""All services on one gRPC server: icecore.v1, the inference protocol, health and reflection."""

from dataclasses import dataclass
from typing import Any, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from icecore.kserve import descriptors as kserve
from icecore.server.backbones.catalog import Catalog
from icecore.server.embedding.collection_codes import CollectionCodes
from icecore.server.embedding.embedder import Embedder
from icecore.server.embedding.ingest import Ingest
from icecore.server.embedding.scheduling.allowances import Allowances
from icecore.server.rpc.backbone_adding import BackboneAdding
from icecore.server.rpc.backbone_quantising import BackboneQuantising
from icecore.server.rpc.backbone_service import BackboneService
from icecore.server.rpc.codes_service import CodesService, add_codes_service
from icecore.server.rpc.collection_service import CollectionService
from icecore.server.rpc.gate import Gate
from icecore.server.rpc.health import Health
from icecore.server.rpc.kserve.inference_service import InferenceService
from icecore.server.rpc.kserve.inferring import Inferring
from icecore.server.rpc.kserve.models import Models
from icecore.server.rpc.kserve.serving import add_inference_service
from icecore.server.rpc.kserve.sharing import Sharing
from icecore.server.rpc.kserve.two_pools import TwoPools
from icecore.server.rpc.probe_service import ProbeService
from icecore.server.rpc.recipe_checking import RecipeChecking
from icecore.server.rpc.searching import Searching
from icecore.server.rpc.tenant_service import TenantService
from icecore.server.search.searcher import Searcher
from icecore.server.storage.promise import Store
from icecore.server.training.advising.adviser import Adviser
from icecore.server.training.comparing import Comparer
from icecore.server.training.predictor import Predictor
from icecore.server.training.trainer import Trainer
from icecore.v1 import (
    backbone_pb2,
    backbone_pb2_grpc,
    codes_pb2,
    collection_pb2,
    collection_pb2_grpc,
    probe_pb2,
    probe_pb2_grpc,
    tenant_pb2,
    tenant_pb2_grpc,
)

CONTRACT = (
    backbone_pb2.DESCRIPTOR.services_by_name["BackboneService"],
    codes_pb2.DESCRIPTOR.services_by_name["CodesService"],
    collection_pb2.DESCRIPTOR.services_by_name["CollectionService"],
    probe_pb2.DESCRIPTOR.services_by_name["ProbeService"],
    tenant_pb2.DESCRIPTOR.services_by_name["TenantService"],
)
"""The services of icecore.v1."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the services work with."""

    store: Store
    catalog: Catalog
    adding: BackboneAdding
    checking: RecipeChecking
    quantising: BackboneQuantising
    embedder: Embedder
    allowances: Allowances
    ingest: Ingest
    collection_codes: CollectionCodes
    searcher: Searcher
    comparer: Comparer
    trainer: Trainer
    predictor: Predictor
    adviser: Adviser
    sharing: Sharing
    inferring: Inferring


def add_services(server: "grpc.aio.Server", parts: Parts, gate: Gate) -> Health:
    """Register everything; the health says NOT_SERVING until it is told."""
    server = cast("grpc.aio.Server", _ByNameOnly(server))

    async def forget(tenant_id: str) -> None:
        parts.searcher.forget(tenant_id)
        parts.predictor.forget(tenant_id)
        parts.sharing.forget(tenant_id)
        parts.inferring.statistics.forget(tenant_id)
        await parts.embedder.forget(tenant_id)
        await parts.trainer.forget(tenant_id)

    backbone_pb2_grpc.add_BackboneServiceServicer_to_server(
        BackboneService(parts.catalog, parts.adding, parts.checking, parts.quantising), server
    )
    add_codes_service(CodesService(parts.catalog, parts.embedder), server)
    searching = Searching(parts.catalog, parts.embedder, parts.collection_codes, parts.searcher)
    collection_pb2_grpc.add_CollectionServiceServicer_to_server(
        CollectionService(parts.store, parts.catalog, parts.ingest, parts.searcher, searching),
        server,
    )
    probe_pb2_grpc.add_ProbeServiceServicer_to_server(
        ProbeService(parts.store, parts.trainer, parts.comparer, parts.predictor, parts.adviser),
        server,
    )
    tenant_pb2_grpc.add_TenantServiceServicer_to_server(
        TenantService(parts.store, parts.allowances, keys_changed=gate.forget, forget=forget),
        server,
    )
    names = [service.full_name for service in (*CONTRACT, kserve.SERVICE)]
    health = Health(names)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    inference = InferenceService(
        Models(parts.store, parts.catalog),
        parts.inferring,
        parts.sharing,
        is_live=lambda: health.is_alive,
        is_ready=lambda: health.is_ready,
    )
    add_inference_service(server, inference)
    known = [*names, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name]
    told = reflection.aio.ReflectionServicer((*known, reflection.SERVICE_NAME), pool=TwoPools())
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(told, server)
    return health


class _ByNameOnly:
    """Takes services, but has none of their methods waited for by itself.

    For each method registered gRPC's event loop looks at one more future with every call:
    with forty that is a tenth of what a small call costs.
    """

    def __init__(self, server: "grpc.aio.Server") -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, *service: Any) -> None: ...
