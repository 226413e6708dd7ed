"""What every keeper of icecore's data promises.

All methods block; callers on an event loop use a thread. A method that
changes something returns once the change is durable (it survives a power cut)
and has either happened whole or not at all. Errors are those of `errors.py`;
whatever the keeper, a full disk is `StorageFull` and changes nothing.

A mutation with a `Mutation` is exactly-once: the same request again gives the
first answer; another request under the same id raises `RequestIdReused`. Ids
of requests are a tenant's own, and are kept for at least a day.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from icecore.server.quotas import Quota, Stored
from icecore.server.storage.records import (
    AddedCounts,
    BackboneRecord,
    CollectionRecord,
    ExampleRecord,
    Json,
    KeyRecord,
    Mutation,
    NewBatch,
    OnDuplicate,
    ProbeRecord,
    Snapshot,
    TenantRecord,
    VersionRecord,
)


class TenantStore(Protocol):
    """One tenant's data. Nothing reached through it belongs to another.

    An id that is absent here raises the same error whether or not some other
    tenant has one of that name.
    """

    @property
    def tenant_id(self) -> str: ...

    def elsewhere(self) -> Json:
        """Return what another process of ours needs to read as this does; see `elsewhere.py`."""

    def stored(self) -> Stored:
        """What the tenant has here, counted exactly with every change (see `rows.stored`)."""

    def check_room(self, n_bytes: int) -> None:
        """Raise StorageQuotaExceeded where so many more bytes would pass the tenant's quota.

        Nothing is held for the caller: it spares work, and the change itself decides. What
        adds bytes (`create_collection`, `add_examples`, `start_training`, `finish_training`)
        raises the same and changes nothing; what makes them fewer is never refused.
        """

    # Collections.
    def create_collection(
        self,
        collection_id: str,
        *,
        backbone: str,
        digest: str,
        keep_images: bool,
        mutation: Mutation | None = None,
    ) -> CollectionRecord:
        """Raises CollectionExists, BackboneNotFound (no backbone of that digest),
        StorageQuotaExceeded.
        """

    def collection(self, collection_id: str) -> CollectionRecord:
        """Raises CollectionNotFound."""

    def collections(self, *, after: str = "", limit: int = 100) -> Sequence[CollectionRecord]:
        """Those whose id sorts after `after`, in order of id (by code point)."""

    def delete_collection(self, collection_id: str, *, mutation: Mutation | None = None) -> None:
        """Really delete it: its bytes are overwritten. Raises CollectionNotFound."""

    # Examples.
    def add_examples(
        self,
        collection_id: str,
        batch: NewBatch,
        *,
        on_duplicate: OnDuplicate,
        number: int | None = None,
        mutation: Mutation | None = None,
    ) -> AddedCounts:
        """Add a batch, whole or not at all.

        `number` is that of the collection that the core was computed for. None: whichever
        has the id.
        REPLACE leaves an example whose image digest, label and metadata are the
        same (counted as unchanged). Replaced codes and images are gone.

        Raises:
            CollectionNotFound: no such collection, or one made anew under the id.
            ExampleExists: an id is there already, with REFUSE.
            IdDuplicate: an id is twice in the batch.
            StorageQuotaExceeded: all of it together would pass the tenant's quota.
        """

    def added_before(self, mutation: Mutation) -> AddedCounts | None:
        """The answer an earlier `add_examples` gave under this mutation, if one did.

        Raises RequestIdReused. Lets a retry skip the forward pass.
        """

    def known_examples(
        self, collection_id: str, example_ids: Sequence[str]
    ) -> dict[str, ExampleRecord]:
        """Those of the ids that exist. Raises CollectionNotFound."""

    def list_examples(
        self, collection_id: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[ExampleRecord]:
        """Those whose id sorts after `after`, in order of id. Raises CollectionNotFound."""

    def delete_examples(
        self,
        collection_id: str,
        example_ids: Sequence[str],
        *,
        mutation: Mutation | None = None,
    ) -> int:
        """Really delete them, all or none; their number.

        Raises CollectionNotFound, ExampleNotFound (naming the first absent one).
        """

    def image(self, collection_id: str, example_id: str) -> bytes:
        """The encoded image. Raises CollectionNotFound, ExampleNotFound, ImagesNotKept."""

    def snapshot(self, collection_id: str, layers: Sequence[str] = ()) -> Snapshot:
        """Examples in order of id with their stored codes at `layers`, of one moment.

        Raises CollectionNotFound, StorageCorrupt (a checksum is wrong); LayerNotFound
        when the collection has examples but stores nothing under that layer's name.
        """

    # Probes.
    def start_training(
        self,
        probe_id: str,
        *,
        kind: str,
        collection_id: str,
        request: Json,
        mutation: Mutation | None = None,
    ) -> VersionRecord:
        """Make the next version, in state TRAINING; the probe too where it is new.

        It pins the digest of the collection.

        Version numbers count from 1 and are never used again while the probe exists.
        Raises CollectionNotFound, StorageQuotaExceeded.
        """

    def training_begun_before(self, mutation: Mutation) -> VersionRecord | None:
        """The answer an earlier `start_training` gave under this mutation, if one did.

        Raises RequestIdReused. Lets a retry pass checks that would refuse it now.
        """

    def finish_training(
        self,
        probe_id: str,
        version: int,
        *,
        create_time: datetime,
        result: Json,
        file: bytes,
        held_out: bytes | None = None,
        seconds: float,
        promote: bool,
        expected_version: int | None = None,
    ) -> VersionRecord:
        """TRAINING to READY with the probe file, and promoted if asked: one commit.

        `create_time` is the version's own: when the probe was deleted and made again, its
        version of the same number is another one (VersionNotFound). `held_out` is what its
        held-out images were taken for, deleted with the version; None: that is not known.
        `expected_version` is as in `promote_version`; with another promoted nothing is
        changed.
        Raises ProbeNotFound, VersionNotFound, VersionNotReady (not in TRAINING any more),
        PromotionConflict, StorageQuotaExceeded.
        """

    def fail_training(
        self,
        probe_id: str,
        version: int,
        *,
        create_time: datetime,
        reason: str,
        message: str,
        seconds: float,
    ) -> VersionRecord:
        """TRAINING to FAILED; otherwise as `finish_training`."""

    def cancel_training(
        self, probe_id: str, version: int, *, mutation: Mutation | None = None
    ) -> VersionRecord:
        """TRAINING to CANCELLED; a version in an end state is returned as it is.

        Raises ProbeNotFound, VersionNotFound.
        """

    def probe(self, probe_id: str) -> ProbeRecord:
        """Raises ProbeNotFound."""

    def probes(self, *, after: str = "", limit: int = 100) -> Sequence[ProbeRecord]:
        """Those whose id sorts after `after`, in order of id."""

    def probe_version(self, probe_id: str, version: int) -> VersionRecord:
        """Raises ProbeNotFound, VersionNotFound."""

    def probe_file(self, probe_id: str, version: int) -> bytes:
        """Raises ProbeNotFound, VersionNotFound, VersionNotReady, StorageCorrupt."""

    def held_out_answers(self, probe_id: str, version: int) -> bytes | None:
        """What `finish_training` was given as `held_out`; None also where it was made before.

        Raises ProbeNotFound, VersionNotFound.
        """

    def promote_version(
        self,
        probe_id: str,
        version: int,
        *,
        expected_version: int | None = None,
        mutation: Mutation | None = None,
    ) -> ProbeRecord:
        """Move the pointer by compare-and-swap (`expected_version` 0: none promoted).

        Raises ProbeNotFound, VersionNotFound, VersionNotReady, PromotionConflict.
        """

    def promoted_before(self, mutation: Mutation) -> ProbeRecord | None:
        """The answer an earlier `promote_version` gave under this mutation, if one did.

        Raises RequestIdReused. Lets a retry pass checks that would refuse it now.
        """

    def delete_version(
        self, probe_id: str, version: int, *, mutation: Mutation | None = None
    ) -> None:
        """Raises ProbeNotFound, VersionNotFound, VersionInUse (promoted or TRAINING)."""

    def delete_probe(self, probe_id: str, *, mutation: Mutation | None = None) -> None:
        """Delete all versions, those in TRAINING too. Raises ProbeNotFound."""


class Store(Protocol):
    """The whole of a server's data."""

    def tenant(self, tenant_id: str) -> TenantStore:
        """That tenant's data. Raises TenantNotFound."""

    # Backbones, shared by all tenants. Names point to digests, several names to one perhaps.
    # A collection pins the digest it was made on, and a probe version, in whatever state, that
    # of its collection; a digest that no name and no pin holds any more is really deleted.
    def put_backbone(
        self, record: BackboneRecord, graph: bytes, *, mutation: Mutation | None = None
    ) -> BackboneRecord:
        """Store a backbone and let its name point to it; return what the name points to now.

        A digest that is there already keeps its time and its facts, and takes the card.
        What the name pointed to before is deleted, unless another name or a pin holds it.
        """

    def backbone_added_before(self, mutation: Mutation) -> BackboneRecord | None:
        """The answer an earlier `put_backbone` gave under this mutation, if one did.

        Raises RequestIdReused. Lets a retry skip the making of what is put.
        """

    def remove_backbone(self, name: str, *, mutation: Mutation | None = None) -> None:
        """Take the name, and really delete the backbone if it was its last one.

        Raises:
            BackboneNotFound: no such name.
            BackboneInUse: it is the last name of a digest that is pinned; the sentence
                says by how many, and of which tenants.
        """

    def backbones(self) -> Sequence[BackboneRecord]:
        """Those that a name points to, in order of name."""

    def backbone(self, digest: str) -> BackboneRecord:
        """By full digest, also one whose name points elsewhere now. Raises BackboneNotFound."""

    def backbone_digests(self) -> Sequence[str]:
        """Those of all backbones, with a name or without, in order."""

    def backbone_graph(self, digest: str) -> bytes:
        """The ONNX file. Raises BackboneNotFound, StorageCorrupt."""

    # Tenants and keys. The tenant `default` exists from the first start.
    def create_tenant(self, tenant_id: str, *, mutation: Mutation | None = None) -> TenantRecord:
        """Raises TenantExists."""

    def tenants(self, *, after: str = "", limit: int = 100) -> Sequence[TenantRecord]:
        """Those whose id sorts after `after`, in order of id."""

    def delete_tenant(self, tenant_id: str, *, mutation: Mutation | None = None) -> None:
        """Really delete the tenant and all it owns; `default` comes back empty.

        Raises TenantNotFound.
        """

    def quota(self, tenant_id: str) -> Quota:
        """The last one set; no limits where none was. Raises TenantNotFound."""

    def quotas(self) -> Mapping[str, Quota]:
        """Those that were set, by tenant."""

    def set_quota(self, tenant_id: str, quota: Quota, *, mutation: Mutation | None = None) -> Quota:
        """Replace the tenant's quota whole; what is stored already stays. Raises TenantNotFound."""

    def create_key(
        self, key_id: str, key_hash: bytes, *, tenant_id: str | None, label: str
    ) -> KeyRecord:
        """`tenant_id` None: the administrator's. Raises TenantNotFound."""

    def keys(self, tenant_id: str | None) -> Sequence[KeyRecord]:
        """Raises TenantNotFound."""

    def find_key(self, key_hash: bytes) -> KeyRecord | None: ...

    def revoke_key(
        self, tenant_id: str | None, key_id: str, *, mutation: Mutation | None = None
    ) -> None:
        """Raises TenantNotFound, KeyNotFound."""

    def any_tenant_key_was_made(self) -> bool:
        """Whether a tenant's key was ever made; revoking it does not undo this."""

    # Jobs.
    def unfinished_training(self) -> Sequence[tuple[str, VersionRecord]]:
        """(tenant, version) of all versions in TRAINING, oldest first."""

    def when_failed(self, tell: Callable[[], object]) -> None:
        """Call `tell`, from any thread, once no change can be written any more until a new start;

        at once where it is so already. Changes are then refused with ShuttingDown.
        """

    def close(self) -> None:
        """Finish what was accepted, checkpoint and close. Idempotent."""
