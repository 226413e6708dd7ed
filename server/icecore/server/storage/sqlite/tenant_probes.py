"""A tenant's probes and their versions: the second half of a TenantStore."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from icecore.server.errors import ProbeNotFound
from icecore.server.storage.change import Change
from icecore.server.storage.records import (
    Json,
    Mutation,
    ProbeRecord,
    VersionRecord,
    VersionState,
)
from icecore.server.storage.rows import collection as collections
from icecore.server.storage.rows import mutations, pins, probes, values, versions
from icecore.server.storage.sqlite import burying
from icecore.server.storage.sqlite.tenant_rows import TenantRows


class TenantProbes(TenantRows):
    """As `promise.TenantStore` says."""

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
            collection = collections.row_of(change.connection, self._number, collection_id)
            probe, version = probes.next_version(change, self._number, probe_id)
            versions.start(change, probe, version, kind, collection, request)
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
        held_out: bytes | None = None,
        seconds: float,
        promote: bool,
        expected_version: int | None = None,
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
            if held_out is not None:
                versions.put_held_out(change, row, held_out)
            if promote:
                probes.point(change, probe, version, expected_version)
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

    def held_out_answers(self, probe_id: str, version: int) -> bytes | None:
        def look(connection: Connection) -> bytes | None:
            probe = probes.row_of(connection, self._number, probe_id)
            return versions.held_out(connection, versions.row_of(connection, probe, version))

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

    def promoted_before(self, mutation: Mutation) -> ProbeRecord | None:
        answer = self._read(lambda db: mutations.answered(db, self._number, mutation))
        return None if answer is None else probes.from_json(answer)

    def delete_version(
        self, probe_id: str, version: int, *, mutation: Mutation | None = None
    ) -> None:
        def work(change: Change) -> None:
            probes.remove_version(change, self._number, probe_id, version)
            pins.let_unneeded_go(change)

        self._once(mutation, mutations.nothing, ProbeNotFound, work)
        burying.dig_all(self._writer)

    def delete_probe(self, probe_id: str, *, mutation: Mutation | None = None) -> None:
        def work(change: Change) -> None:
            probes.remove(change, self._number, probe_id)
            pins.let_unneeded_go(change)

        self._once(mutation, mutations.nothing, ProbeNotFound, work)
        burying.dig_all(self._writer)

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
