"""Rows of probes: the names, and which version is promoted."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from icecore.server.errors import ProbeNotFound, PromotionConflict, VersionNotReady
from icecore.server.storage.change import Change
from icecore.server.storage.records import ProbeRecord, VersionRecord, VersionState
from icecore.server.storage.rows import mutations, stored, values, versions
from icecore.server.storage.schema import probes


def row_of(connection: Connection, tenant: int, probe_id: str) -> Any:
    """Raises ProbeNotFound."""
    row = connection.execute(
        select(probes).where(probes.c.tenant_pk == tenant, probes.c.probe_id == probe_id)
    ).first()
    if row is None:
        raise ProbeNotFound(f"probe {probe_id!r} does not exist")
    return row


def find(connection: Connection, tenant: int, probe_id: str) -> ProbeRecord:
    """Raises ProbeNotFound."""
    row = row_of(connection, tenant, probe_id)
    return _record(row, versions.of_probes(connection, [row])[row.pk])


def page(connection: Connection, tenant: int, after: str, limit: int) -> Sequence[ProbeRecord]:
    rows = connection.execute(
        select(probes)
        .where(probes.c.tenant_pk == tenant, probes.c.probe_id > after)
        .order_by(probes.c.probe_id)
        .limit(limit)
    ).all()
    found = versions.of_probes(connection, rows)
    return tuple(_record(row, found[row.pk]) for row in rows)


def next_version(change: Change, tenant: int, probe_id: str) -> tuple[int, int]:
    """Return the probe's number, made where it is new, and its next version's number."""
    connection = change.connection
    row = connection.execute(
        select(probes.c.pk, probes.c.last_version).where(
            probes.c.tenant_pk == tenant, probes.c.probe_id == probe_id
        )
    ).first()
    if row is None:
        change.n_bytes += stored.text(probe_id)
        made: int = connection.execute(
            insert(probes)
            .values(
                tenant_pk=tenant,
                probe_id=probe_id,
                promoted_version=0,
                last_version=1,
                create_time=values.now(),
            )
            .returning(probes.c.pk)
        ).scalar_one()
        return made, 1
    version = int(row.last_version) + 1
    connection.execute(update(probes).where(probes.c.pk == row.pk).values(last_version=version))
    return int(row.pk), version


def point(change: Change, probe: Any, version: int, expected_version: int | None) -> None:
    """Move the pointer of a probe (a row) by compare-and-swap. Raises PromotionConflict."""
    if expected_version is not None and expected_version != probe.promoted_version:
        raise PromotionConflict(
            f"probe {probe.probe_id!r} has version {probe.promoted_version} promoted, not version "
            f"{expected_version} as expected (0: none): look at it again",
            promoted_version=str(probe.promoted_version),
        )
    change.connection.execute(
        update(probes).where(probes.c.pk == probe.pk).values(promoted_version=version)
    )


def promote(
    change: Change, tenant: int, probe_id: str, version: int, expected_version: int | None
) -> ProbeRecord:
    """Raises ProbeNotFound, VersionNotFound, VersionNotReady, PromotionConflict."""
    row = row_of(change.connection, tenant, probe_id)
    state = versions.row_of(change.connection, row, version).state
    if state != VersionState.READY:
        raise VersionNotReady(
            f"version {version} of probe {probe_id!r} is {state!r}: only one that is 'ready' can "
            "be promoted"
        )
    point(change, row, version, expected_version)
    return find(change.connection, tenant, probe_id)


def remove(change: Change, tenant: int, probe_id: str) -> None:
    """Raises ProbeNotFound."""
    row = row_of(change.connection, tenant, probe_id)
    change.n_bytes -= stored.text(probe_id) + versions.n_bytes_of(change.connection, row)
    change.erases = True
    mutations.forget(change, tenant, subject(probe_id))
    change.connection.execute(delete(probes).where(probes.c.pk == row.pk))


def remove_version(change: Change, tenant: int, probe_id: str, version: int) -> None:
    """Raises ProbeNotFound, VersionNotFound, VersionInUse."""
    versions.remove(change, row_of(change.connection, tenant, probe_id), version)

    def without(answer: dict[str, Any]) -> dict[str, Any]:
        left = [one for one in answer["versions"] if one["version"] != version]
        return answer | {"versions": left}

    change.erases = True
    mutations.forget(change, tenant, version_subject(probe_id, version))
    mutations.amend(change, tenant, subject(probe_id), without)


def subject(probe_id: str) -> str:
    return f"probes/{probe_id}"


def version_subject(probe_id: str, version: object) -> str:
    return f"probes/{probe_id}/versions/{version}"


def to_json(record: ProbeRecord) -> dict[str, Any]:
    return {
        "probe_id": record.probe_id,
        "promoted_version": record.promoted_version,
        "create_time": values.to_column(record.create_time),
        "versions": [versions.to_json(version) for version in record.versions],
    }


def from_json(fields: Mapping[str, Any]) -> ProbeRecord:
    return ProbeRecord(
        probe_id=fields["probe_id"],
        promoted_version=fields["promoted_version"],
        create_time=values.to_time(fields["create_time"]),
        versions=tuple(versions.from_json(version) for version in fields["versions"]),
    )


def _record(row: Any, found: Sequence[VersionRecord]) -> ProbeRecord:
    return ProbeRecord(
        row.probe_id, row.promoted_version, values.to_time(row.create_time), tuple(found)
    )
