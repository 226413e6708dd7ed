"""Small things to put into a store, and a look at the bytes of its files."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import numpy as np

from icecore.server.storage.promise import Store, TenantStore
from icecore.server.storage.records import (
    BackboneRecord,
    CodeArray,
    Json,
    Metadata,
    Mutation,
    NewBatch,
    NewExample,
    OnDuplicate,
)

DIGEST = "ab" * 32
LAYERS = {"one": 4, "two": 6, "three": 6}


def put_backbone(
    store: Store,
    *,
    name: str = "toy",
    digest: str = DIGEST,
    graph: bytes = b"",
    card: Json = MappingProxyType({"source": "us"}),
    facts: Json = MappingProxyType({"added_by": "us"}),
    mutation: Mutation | None = None,
) -> BackboneRecord:
    record = BackboneRecord(name, digest, {"height": 8}, card, datetime.now(UTC), facts)
    return store.put_backbone(record, graph or graph_of(digest), mutation=mutation)


def graph_of(digest: str) -> bytes:
    """What stands for the graph in tests that need none."""
    return f"graph of {digest}".encode()


def make_collection(
    tenant: TenantStore,
    collection_id: str = "ants",
    *,
    digest: str = DIGEST,
    keep_images: bool = True,
) -> TenantStore:
    tenant.create_collection(collection_id, backbone="toy", digest=digest, keep_images=keep_images)
    return tenant


def codes_of(
    names: Iterable[str], layers: Mapping[str, int] = LAYERS, *, salt: str = ""
) -> dict[str, CodeArray]:
    """A core whose numbers follow from the names, so that a test can tell whose they are."""
    rows = [np.random.default_rng(list(f"{name}{salt}".encode())) for name in names]
    return {
        layer: np.array([row.random(dims) for row in rows], np.float16).reshape(len(rows), dims)
        for layer, dims in layers.items()
    }


def batch_of(
    names: Iterable[str],
    *,
    label: str = "ant",
    metadata: Metadata | None = None,
    salt: str = "",
    has_images: bool = True,
    layers: Mapping[str, int] = LAYERS,
) -> NewBatch:
    names = list(names)
    return NewBatch(
        [
            NewExample(
                example_id=name,
                label=label,
                metadata=metadata or {},
                image_sha256=f"sha of {name}{salt}",
                image=f"image of {name}{salt}".encode() if has_images else None,
            )
            for name in names
        ],
        codes_of(names, layers, salt=salt),
    )


def add(
    tenant: TenantStore,
    names: Iterable[str],
    *,
    collection_id: str = "ants",
    on_duplicate: OnDuplicate = OnDuplicate.REFUSE,
    label: str = "ant",
    salt: str = "",
) -> None:
    batch = batch_of(names, label=label, salt=salt)
    tenant.add_examples(collection_id, batch, on_duplicate=on_duplicate)


def request(request_id: str, method: str = "Do", fingerprint: str = "0" * 64) -> Mutation:
    return Mutation(request_id, method, fingerprint)


def bytes_on_disk(folder: Path) -> bytes:
    """All that the database's files hold, the log among them."""
    return b"".join(path.read_bytes() for path in sorted(folder.glob("icecore.db*")))
