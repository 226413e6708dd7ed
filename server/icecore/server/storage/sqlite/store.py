"""The whole of a server's data in one SQLite file."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from icecore.server.errors import TenantNotFound
from icecore.server.quotas import Quota
from icecore.server.storage.change import Change
from icecore.server.storage.folder import DataFolder
from icecore.server.storage.promise import TenantStore
from icecore.server.storage.records import (
    BackboneRecord,
    Json,
    KeyRecord,
    Mutation,
    TenantRecord,
    VersionRecord,
)
from icecore.server.storage.rows import (
    backbones,
    mutations,
    pins,
    quotas,
    tenants,
    values,
    versions,
)
from icecore.server.storage.rows import collection as collections
from icecore.server.storage.sqlite import burying
from icecore.server.storage.sqlite.backbone_keeping import BackboneKeeping
from icecore.server.storage.sqlite.connections import Readers
from icecore.server.storage.sqlite.tenant_collections import TenantCollections
from icecore.server.storage.sqlite.tenant_probes import TenantProbes
from icecore.server.storage.sqlite.writer import Writer


class SqliteTenantStore(TenantCollections, TenantProbes):
    """A TenantStore; every method is one moment, or one change."""


class SqliteStore:
    """A Store. `open_sqlite` makes it; it may be used from any thread."""

    def __init__(self, readers: Readers, writer: Writer, *, to_unlock: DataFolder | None) -> None:
        """Take over the connections, and the folder where closing is to unlock it."""
        self._readers = readers
        self._writer = writer
        self._to_unlock = to_unlock
        self._backbones = BackboneKeeping(readers, writer)

    def tenant(self, tenant_id: str) -> TenantStore:
        with self._readers.moment() as connection:
            number = tenants.number(connection, tenant_id)
        return SqliteTenantStore(tenant_id, number, self._readers, self._writer)

    def put_backbone(
        self, record: BackboneRecord, graph: bytes, *, mutation: Mutation | None = None
    ) -> BackboneRecord:
        return self._backbones.put(record, graph, mutation)

    def backbone_added_before(self, mutation: Mutation) -> BackboneRecord | None:
        return self._backbones.added_before(mutation)

    def remove_backbone(self, name: str, *, mutation: Mutation | None = None) -> None:
        self._backbones.remove(name, mutation)

    def backbone_digests(self) -> Sequence[str]:
        with self._readers.moment() as connection:
            return backbones.digests(connection)

    def backbones(self) -> Sequence[BackboneRecord]:
        with self._readers.moment() as connection:
            return backbones.named(connection)

    def backbone(self, digest: str) -> BackboneRecord:
        with self._readers.moment() as connection:
            return backbones.find(connection, digest)

    def backbone_graph(self, digest: str) -> bytes:
        with self._readers.moment() as connection:
            return backbones.graph(connection, digest)

    def create_tenant(self, tenant_id: str, *, mutation: Mutation | None = None) -> TenantRecord:
        def work(change: Change) -> int:
            return values.to_column(tenants.create(change, tenant_id).create_time)

        time = self._once(mutation, lambda _: tenants.subject(tenant_id), work)
        return TenantRecord(tenant_id, values.to_time(time))

    def tenants(self, *, after: str = "", limit: int = 100) -> Sequence[TenantRecord]:
        with self._readers.moment() as connection:
            return tenants.page(connection, after, limit)

    def quota(self, tenant_id: str) -> Quota:
        with self._readers.moment() as connection:
            return quotas.find(connection, tenant_id)

    def quotas(self) -> Mapping[str, Quota]:
        with self._readers.moment() as connection:
            return quotas.all_set(connection)

    def set_quota(self, tenant_id: str, quota: Quota, *, mutation: Mutation | None = None) -> Quota:
        def work(change: Change) -> Json:
            quotas.put(change, tenant_id, quota)
            return quotas.to_json(quota)

        return quotas.from_json(self._once(mutation, lambda _: tenants.subject(tenant_id), work))

    def delete_tenant(self, tenant_id: str, *, mutation: Mutation | None = None) -> None:
        def work(change: Change) -> None:
            number = tenants.number(change.connection, tenant_id)
            burying.bury(change, collections.numbers_of(change.connection, number))
            tenants.remove(change, tenant_id)
            pins.let_unneeded_go(change)

        self._once(mutation, mutations.nothing, work)
        burying.dig_all(self._writer)

    def create_key(
        self, key_id: str, key_hash: bytes, *, tenant_id: str | None, label: str
    ) -> KeyRecord:
        record: KeyRecord = self._writer.write(
            lambda change: tenants.create_key(change, key_id, key_hash, tenant_id, label)
        )
        return record

    def keys(self, tenant_id: str | None) -> Sequence[KeyRecord]:
        with self._readers.moment() as connection:
            return tenants.keys_of(connection, tenant_id)

    def find_key(self, key_hash: bytes) -> KeyRecord | None:
        with self._readers.moment() as connection:
            return tenants.find_key(connection, key_hash)

    def revoke_key(
        self, tenant_id: str | None, key_id: str, *, mutation: Mutation | None = None
    ) -> None:
        self._once(
            mutation,
            mutations.nothing,
            lambda change: tenants.revoke_key(change, tenant_id, key_id),
        )

    def any_tenant_key_was_made(self) -> bool:
        with self._readers.moment() as connection:
            return tenants.any_tenant_key_was_made(connection)

    def unfinished_training(self) -> Sequence[tuple[str, VersionRecord]]:
        with self._readers.moment() as connection:
            return versions.unfinished(connection)

    def when_failed(self, tell: Callable[[], object]) -> None:
        self._writer.when_failed(tell)

    def close(self) -> None:
        # Readers first: the last to close is then the one that moves the log into the database.
        self._readers.close()
        self._writer.close()
        if self._to_unlock is not None:
            self._to_unlock.unlock()

    def _once(
        self,
        mutation: Mutation | None,
        subject: Callable[[Any], str],
        work: Callable[[Change], Any],
    ) -> Any:
        def whole(change: Change) -> Any:
            return mutations.once(
                change,
                mutations.ADMINISTRATORS,
                mutation,
                subject,
                TenantNotFound,
                lambda: work(change),
            )

        return self._writer.write(whole)
