"""Rows of probe versions and their files: the states a version goes through."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields as fields_of
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from icecore.server.errors import (
    StorageCorrupt,
    VersionInUse,
    VersionNotFound,
    VersionNotReady,
)
from icecore.server.storage.change import Change
from icecore.server.storage.records import Json, VersionRecord, VersionState
from icecore.server.storage.rows import stored, values
from icecore.server.storage.schema import (
    held_out_answers,
    probe_files,
    probes,
    tenants,
    versions,
)

_ID_CHUNK = 500
"""How many ids one statement names: old SQLites allow 999 parameters."""


def row_of(connection: Connection, probe: Any, version: int) -> Any:
    """Return the row of a version of the probe (a row). Raises VersionNotFound."""
    row = connection.execute(
        select(versions).where(versions.c.probe_pk == probe.pk, versions.c.version == version)
    ).first()
    if row is None:
        raise VersionNotFound(
            f"probe {probe.probe_id!r} has no version {version}: the latest made is "
            f"{probe.last_version}"
        )
    return row


def of_probes(connection: Connection, found: Sequence[Any]) -> dict[int, list[VersionRecord]]:
    """Return the versions of each of the probes (rows), newest first, by the probe's number."""
    by_number: dict[int, list[VersionRecord]] = {probe.pk: [] for probe in found}
    probe_of = {probe.pk: probe for probe in found}
    numbers = list(by_number)
    for start in range(0, len(numbers), _ID_CHUNK):
        rows = connection.execute(
            select(versions)
            .where(versions.c.probe_pk.in_(numbers[start : start + _ID_CHUNK]))
            .order_by(versions.c.probe_pk, versions.c.version.desc())
        )
        for row in rows:
            by_number[row.probe_pk].append(record(row, probe_of[row.probe_pk]))
    return by_number


def unfinished(connection: Connection) -> Sequence[tuple[str, VersionRecord]]:
    """Return (tenant, version) of all in TRAINING, oldest first."""
    rows = connection.execute(
        select(
            versions,
            probes.c.probe_id,
            probes.c.promoted_version,
            tenants.c.tenant_id,
        )
        .join_from(versions, probes)
        .join(tenants)
        .where(versions.c.state == VersionState.TRAINING)
        .order_by(versions.c.create_time, versions.c.pk)
    )
    return tuple((row.tenant_id, record(row, row)) for row in rows)


def start(
    change: Change, probe: int, version: int, kind: str, collection: Any, request: Json
) -> None:
    """Begin a version that pins the backbone of its collection (a row)."""
    asked = values.to_text(request)
    change.n_bytes += stored.text(asked)
    change.connection.execute(
        insert(versions).values(
            probe_pk=probe,
            version=version,
            state=VersionState.TRAINING,
            kind=kind,
            collection_id=collection.collection_id,
            digest=collection.digest,
            request=asked,
            file_digest="",
            failure_reason="",
            failure_message="",
            seconds=0.0,
            create_time=values.now(),
        )
    )


def check_training(probe: Any, row: Any, create_time: datetime) -> None:
    """Check that it is the version of that time, and still in training.

    Raises VersionNotFound, VersionNotReady.
    """
    if row.create_time != values.to_column(create_time):
        raise VersionNotFound(
            f"version {row.version} of probe {probe.probe_id!r} is another one now: the one asked "
            "for was deleted"
        )
    if row.state != VersionState.TRAINING:
        raise VersionNotReady(
            f"version {row.version} of probe {probe.probe_id!r} is {row.state!r}, not in training "
            "any more"
        )


def end(
    change: Change, row: Any, state: VersionState, *, result: str | None = None, **columns: object
) -> None:
    """Let a version in training end; `result` is JSON."""
    if result is not None:
        change.n_bytes += stored.text(result)
        columns["result"] = result
    change.connection.execute(
        update(versions).where(versions.c.pk == row.pk).values(state=state, **columns)
    )


def put_file(change: Change, row: Any, file: bytes) -> str:
    """Store a probe file; return its digest."""
    change.n_bytes += len(file)
    change.connection.execute(insert(probe_files).values(version_pk=row.pk, file=file))
    return hashlib.sha256(file).hexdigest()


def file(connection: Connection, probe: Any, row: Any) -> bytes:
    """Raises VersionNotReady, StorageCorrupt."""
    if row.state != VersionState.READY:
        raise VersionNotReady(
            f"version {row.version} of probe {probe.probe_id!r} is {row.state!r}, not 'ready'"
        )
    stored: bytes | None = connection.scalar(
        select(probe_files.c.file).where(probe_files.c.version_pk == row.pk)
    )
    if stored is None or hashlib.sha256(stored).hexdigest() != row.file_digest:
        raise StorageCorrupt(
            f"the file of version {row.version} of probe {probe.probe_id!r} is not what was stored"
        )
    return stored


def put_held_out(change: Change, row: Any, answers: bytes) -> None:
    """Store what the version's held-out images were taken for."""
    change.n_bytes += len(answers)
    change.connection.execute(insert(held_out_answers).values(version_pk=row.pk, answers=answers))


def held_out(connection: Connection, row: Any) -> bytes | None:
    """Return what the version's held-out images were taken for, None where that was not kept."""
    answers: bytes | None = connection.scalar(
        select(held_out_answers.c.answers).where(held_out_answers.c.version_pk == row.pk)
    )
    return answers


def remove(change: Change, probe: Any, version: int) -> None:
    """Raises VersionNotFound, VersionInUse."""
    row = row_of(change.connection, probe, version)
    if version == probe.promoted_version:
        raise VersionInUse(
            f"version {version} of probe {probe.probe_id!r} is promoted: promote another first"
        )
    if row.state == VersionState.TRAINING:
        raise VersionInUse(
            f"version {version} of probe {probe.probe_id!r} is in training: cancel it first"
        )
    change.n_bytes -= n_bytes_of(change.connection, probe, version)
    change.connection.execute(delete(versions).where(versions.c.pk == row.pk))


def n_bytes_of(connection: Connection, probe: Any, version: int | None = None) -> int:
    """Return the bytes that count of one version of the probe (a row), or of all."""
    wanted = versions.c.probe_pk == probe.pk
    if version is not None:
        wanted &= versions.c.version == version
    rows = connection.execute(
        select(
            versions.c.request,
            versions.c.result,
            func.length(probe_files.c.file).label("file"),
            func.length(held_out_answers.c.answers).label("answers"),
        )
        .outerjoin_from(versions, probe_files)
        .outerjoin(held_out_answers, held_out_answers.c.version_pk == versions.c.pk)
        .where(wanted)
    )
    return sum(
        stored.text(row.request, row.result) + (row.file or 0) + (row.answers or 0) for row in rows
    )


def record(row: Any, probe: Any) -> VersionRecord:
    """Return the value of a version's row and its probe's row."""
    return VersionRecord(
        probe_id=probe.probe_id,
        version=row.version,
        state=VersionState(row.state),
        kind=row.kind,
        collection_id=row.collection_id,
        request=values.to_mapping(row.request),
        create_time=values.to_time(row.create_time),
        is_promoted=row.version == probe.promoted_version,
        result=None if row.result is None else values.to_mapping(row.result),
        file_digest=row.file_digest,
        failure_reason=row.failure_reason,
        failure_message=row.failure_message,
        seconds=row.seconds,
        digest=row.digest,
    )


def to_json(version: VersionRecord) -> dict[str, Any]:
    kept = {field.name: getattr(version, field.name) for field in fields_of(version)}
    return kept | {"create_time": values.to_column(version.create_time)}


def from_json(fields: Mapping[str, Any]) -> VersionRecord:
    return VersionRecord(
        **{
            **fields,
            "state": VersionState(fields["state"]),
            "create_time": values.to_time(fields["create_time"]),
        }
    )
