"""One tenant's data in SQLite: every method is one moment, or one change."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from icecore.server.errors import (
    CollectionNotFound,
    NotFound,
    ProbeNotFound,
    TenantNotFound,
)
from icecore.server.storage.change import Change
from icecore.server.storage.records import (
    AddedCounts,
    CollectionRecord,
    ExampleRecord,
    Json,
    Mutation,
    NewBatch,
    OnDuplicate,
    ProbeRecord,
    Snapshot,
    VersionRecord,
    VersionState,
)
from icecore.server.storage.rows import collection as collections
from icecore.server.storage.rows import mutations, probes, values, versions
from icecore.server.storage.schema import tenants
from icecore.server.storage.sqlite import examples
from icecore.server.storage.sqlite.connections import Readers
from icecore.server.storage.sqlite.writer import Writer
from sqlalchemy import Connection, select
from sqlalchemy import bindparam as parameter

_T = TypeVar("_T")

_EXISTS = select(tenants.c.pk).where(tenants.c.pk == parameter("tenant"))


class SqliteTenantStore:
    """A TenantStore. It stands for the tenant of one number: once that one is
    deleted every call raises TenantNotFound, also where another has its id now.
    """

    def __init__(self, tenant_id: str, number: int, readers: Readers, writer: Writer) -> None:
        self._tenant_id = tenant_id
        self._number = number
        self._readers = readers
        self._writer = writer

    @property
    def tenant_id(self) -> str:
        return self._tenant_id

    def create_collection(
        self,
        collection_id: str,
        *,
        backbone: str,
        digest: str,
        keep_images: bool,
        mutation: Mutation | None = None,
    ) -> CollectionRecord:
        def work(change: Change) -> Json:
            made = collections.create(
                change,
                self._number,
                collection_id,
                backbone=backbone,
                digest=digest,
                keep_images=keep_images,
            )
            return collections.to_json(made)

        def subject(_: Json) -> str:
            return collections.subject(collection_id)

        answer = self._once(mutation, subject, CollectionNotFound, work)
        return collections.from_json(answer)

    def collection(self, collection_id: str) -> CollectionRecord:
        return self._read(lambda db: collections.find(db, self._number, collection_id))

    def collections(self, *, after: str = "", limit: int = 100) -> Sequence[CollectionRecord]:
        return self._read(lambda db: collections.page(db, self._number, after, limit))

    def delete_collection(self, collection_id: str, *, mutation: Mutation | None = None) -> None:
        def work(change: Change) -> None:
            collections.remove(change, self._number, collection_id)

        self._once(mutation, mutations.nothing, CollectionNotFound, work)

    def add_examples(
        self,
        collection_id: str,
        batch: NewBatch,
        *,
        on_duplicate: OnDuplicate,
        mutation: Mutation | None = None,
    ) -> AddedCounts:
        examples.check_batch(batch)

        def work(change: Change) -> list[int]:
            row = collections.row_of(change.connection, self._number, collection_id)
            counts = examples.add(change, row, batch, on_duplicate)
            return [counts.n_added, counts.n_replaced, counts.n_unchanged]

        return AddedCounts(*self._once(mutation, mutations.nothing, CollectionNotFound, work))

    def added_before(self, mutation: Mutation) -> AddedCounts | None:
        answer = self._read(lambda db: mutations.answered(db, self._number, mutation))
        return None if answer is None else AddedCounts(*answer)

    def known_examples(
        self, collection_id: str, example_ids: Sequence[str]
    ) -> dict[str, ExampleRecord]:
        return self._of(collection_id, lambda db, row: examples.known(db, row, example_ids))

    def list_examples(
        self, collection_id: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[ExampleRecord]:
        return self._of(collection_id, lambda db, row: examples.page(db, row, after, limit))

    def delete_examples(
        self,
        collection_id: str,
        example_ids: Sequence[str],
        *,
        mutation: Mutation | None = None,
    ) -> int:
        def work(change: Change) -> int:
            row = collections.row_of(change.connection, self._number, collection_id)
            return examples.remove(change, row, example_ids)

        return int(self._once(mutation, mutations.nothing, CollectionNotFound, work))

    def image(self, collection_id: str, example_id: str) -> bytes:
        return self._of(collection_id, lambda db, row: examples.image(db, row, example_id))

    def snapshot(self, collection_id: str, layers: Sequence[str] = ()) -> Snapshot:
        return self._of(collection_id, lambda db, row: examples.snapshot(db, row, layers))

    def start_training(
        self,
        probe_id: str,
        *,
        kind: str,
        collection_id: str,
        request: Json,
        mutation: Mutation | None = None,
    ) -> VersionRecord:
        def work(change: Change) -> Json:
            collections.row_of(change.connection, self._number, collection_id)
            probe, version = probes.next_version(change, self._number, probe_id)
            versions.start(change, probe, version, kind, collection_id, request)
            return versions.to_json(self._version(change.connection, probe_id, version))

        def subject(answer: Json) -> str:
            return probes.version_subject(probe_id, answer["version"])

        answer = self._once(mutation, subject, ProbeNotFound, work)
        return versions.from_json(answer)

    def training_begun_before(self, mutation: Mutation) -> VersionRecord | None:
        answer = self._read(lambda db: mutations.answered(db, self._number, mutation))
        return None if answer is None else versions.from_json(answer)

    def finish_training(
        self,
        probe_id: str,
        version: int,
        *,
        create_time: datetime,
        result: Json,
        file: bytes,
        seconds: float,
        promote: bool,
    ) -> VersionRecord:
        def work(change: Change) -> VersionRecord:
            probe, row = self._in_training(change, probe_id, version, create_time)
            versions.end(
                change,
                row,
                VersionState.READY,
                result=values.to_text(result),
                file_digest=versions.put_file(change, row, file),
                seconds=seconds,
            )
            if promote:
                probes.point(change, probe.pk, version)
            return self._version(change.connection, probe_id, version)

        return self._write(work)

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
        def work(change: Change) -> VersionRecord:
            _, row = self._in_training(change, probe_id, version, create_time)
            versions.end(
                change,
                row,
                VersionState.FAILED,
                failure_reason=reason,
                failure_message=message,
                seconds=seconds,
            )
            return self._version(change.connection, probe_id, version)

        return self._write(work)

    def cancel_training(
        self, probe_id: str, version: int, *, mutation: Mutation | None = None
    ) -> VersionRecord:
        def work(change: Change) -> Json:
            probe = probes.row_of(change.connection, self._number, probe_id)
            row = versions.row_of(change.connection, probe, version)
            if row.state == VersionState.TRAINING:
                versions.end(change, row, VersionState.CANCELLED)
            return versions.to_json(self._version(change.connection, probe_id, version))

        def subject(_: Json) -> str:
            return probes.version_subject(probe_id, version)

        answer = self._once(mutation, subject, ProbeNotFound, work)
        return versions.from_json(answer)

    def probe(self, probe_id: str) -> ProbeRecord:
        return self._read(lambda db: probes.find(db, self._number, probe_id))

    def probes(self, *, after: str = "", limit: int = 100) -> Sequence[ProbeRecord]:
        return self._read(lambda db: probes.page(db, self._number, after, limit))

    def probe_version(self, probe_id: str, version: int) -> VersionRecord:
        return self._read(lambda db: self._version(db, probe_id, version))

    def probe_file(self, probe_id: str, version: int) -> bytes:
        def look(connection: Connection) -> bytes:
            probe = probes.row_of(connection, self._number, probe_id)
            return versions.file(connection, probe, versions.row_of(connection, probe, version))

        return self._read(look)

    def promote_version(
        self,
        probe_id: str,
        version: int,
        *,
        expected_version: int | None = None,
        mutation: Mutation | None = None,
    ) -> ProbeRecord:
        def work(change: Change) -> Json:
            record = probes.promote(change, self._number, probe_id, version, expected_version)
            return probes.to_json(record)

        def subject(_: Json) -> str:
            return probes.subject(probe_id)

        answer = self._once(mutation, subject, ProbeNotFound, work)
        return probes.from_json(answer)

    def delete_version(
        self, probe_id: str, version: int, *, mutation: Mutation | None = None
    ) -> None:
        def work(change: Change) -> None:
            probes.remove_version(change, self._number, probe_id, version)

        self._once(mutation, mutations.nothing, ProbeNotFound, work)

    def delete_probe(self, probe_id: str, *, mutation: Mutation | None = None) -> None:
        def work(change: Change) -> None:
            probes.remove(change, self._number, probe_id)

        self._once(mutation, mutations.nothing, ProbeNotFound, work)

    def _version(self, connection: Connection, probe_id: str, version: int) -> VersionRecord:
        probe = probes.row_of(connection, self._number, probe_id)
        return versions.record(versions.row_of(connection, probe, version), probe)

    def _in_training(
        self, change: Change, probe_id: str, version: int, create_time: datetime
    ) -> tuple[Any, Any]:
        probe = probes.row_of(change.connection, self._number, probe_id)
        row = versions.row_of(change.connection, probe, version)
        versions.check_training(probe, row, create_time)
        return probe, row

    def _of(self, collection_id: str, look: Callable[[Connection, Any], _T]) -> _T:
        def find(connection: Connection) -> _T:
            return look(connection, collections.row_of(connection, self._number, collection_id))

        return self._read(find)

    def _read(self, look: Callable[[Connection], _T]) -> _T:
        with self._readers.moment() as connection:
            self._check_tenant(connection)
            return look(connection)

    def _once(
        self,
        mutation: Mutation | None,
        subject: Callable[[Any], str],
        absent: type[NotFound],
        work: Callable[[Change], Any],
    ) -> Any:
        def whole(change: Change) -> Any:
            return mutations.once(
                change, self._number, mutation, subject, absent, lambda: work(change)
            )

        return self._write(whole)

    def _write(self, work: Callable[[Change], _T]) -> _T:
        def whole(change: Change) -> _T:
            self._check_tenant(change.connection)
            return work(change)

        answer: _T = self._writer.write(whole)
        return answer

    def _check_tenant(self, connection: Connection) -> None:
        if connection.scalar(_EXISTS, {"tenant": self._number}) is None:
            raise TenantNotFound(f"tenant {self._tenant_id!r} does not exist")
