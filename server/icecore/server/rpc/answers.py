"""Values of the server to messages of the contract. Nothing is decided here."""

from collections.abc import Sequence
from datetime import datetime

from google.protobuf import struct_pb2, timestamp_pb2

from icecore.server.embedding.embedder import Timings
from icecore.server.search.searcher import Hit
from icecore.server.storage.records import (
    CollectionRecord,
    ExampleRecord,
    KeyRecord,
    TenantRecord,
)
from icecore.v1 import (
    collection_pb2,
    common_pb2,
    tenant_pb2,
)
from icecore.wire import names


def time(moment: datetime) -> timestamp_pb2.Timestamp:
    """Return the moment; it has a zone."""
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def tenant(record: TenantRecord) -> tenant_pb2.Tenant:
    return tenant_pb2.Tenant(tenant_id=record.tenant_id, create_time=time(record.create_time))


def key(record: KeyRecord) -> tenant_pb2.Key:
    return tenant_pb2.Key(
        key_id=record.key_id,
        tenant_id=record.tenant_id or "",
        label=record.label,
        create_time=time(record.create_time),
    )


def timings(spent: Timings) -> common_pb2.Timings:
    return common_pb2.Timings(
        queue_ms=spent.queue_ms,
        decode_ms=spent.decode_ms,
        compute_ms=spent.compute_ms,
        total_ms=spent.total_ms,
        n_cached=spent.n_cached,
    )


def collection(tenant_id: str, record: CollectionRecord) -> collection_pb2.Collection:
    return collection_pb2.Collection(
        collection_id=record.collection_id,
        collection_name=names.collection_name(tenant_id, record.collection_id),
        backbone=record.backbone,
        digest=record.digest,
        keep_images=record.keep_images,
        n_examples=record.n_examples,
        labels=dict(record.labels),
        create_time=time(record.create_time),
    )


def example(record: ExampleRecord) -> collection_pb2.Example:
    metadata = None
    if record.metadata:
        metadata = struct_pb2.Struct()
        metadata.update(dict(record.metadata))
    return collection_pb2.Example(
        example_id=record.example_id, label=record.label, metadata=metadata
    )


def items(records: Sequence[ExampleRecord]) -> list[collection_pb2.ListExamplesResponse.Item]:
    """Return thousands of examples; takes a while, so call it in a thread."""
    make = collection_pb2.ListExamplesResponse.Item
    return [make(example=example(record), image_sha256=record.image_sha256) for record in records]


def results(found: Sequence[Sequence[Hit]]) -> list[collection_pb2.SearchResponse.Result]:
    """Return the hits of each query; takes a while, so call it in a thread."""
    return [
        collection_pb2.SearchResponse.Result(
            hits=[collection_pb2.Hit(example=example(hit.example), score=hit.score) for hit in hits]
        )
        for hits in found
    ]
