"""Small things to put into a store, and a look at the bytes of its files."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from icecore.server.storage.promise import Store, TenantStore
from icecore.server.storage.records import (
    BackboneRecord,
    CodeArray,
    Metadata,
    Mutation,
    NewBatch,
    NewExample,
    OnDuplicate,
)

DIGEST = "ab" * 32
LAYERS = {"one": 4, "two": 6, "three": 6}


def put_backbone(store: Store, *, name: str = "toy", digest: str = DIGEST) -> BackboneRecord:
    record = BackboneRecord(name, digest, {"height": 8}, {"source": "us"}, datetime.now(UTC))
    store.put_backbone(record, f"graph of {digest}".encode())
    return record


def make_collection(
    tenant: TenantStore, collection_id: str = "ants", *, keep_images: bool = True
) -> TenantStore:
    tenant.create_collection(collection_id, backbone="toy", digest=DIGEST, keep_images=keep_images)
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
