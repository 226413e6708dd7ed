"""Rows of quotas: of the tenants that one was set for."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from icecore.server.quotas import NO_LIMITS, Quota
from icecore.server.storage.change import Change
from icecore.server.storage.rows import tenants as tenant_rows
from icecore.server.storage.schema import quotas, tenants

_FIELDS = tuple(field.name for field in fields(Quota))


def find(connection: Connection, tenant_id: str) -> Quota:
    """Raises TenantNotFound."""
    number = tenant_rows.number(connection, tenant_id)
    row = connection.execute(select(quotas).where(quotas.c.tenant_pk == number)).first()
    return NO_LIMITS if row is None else _quota(row)


def all_set(connection: Connection) -> dict[str, Quota]:
    """Return those that were set, by tenant."""
    rows = connection.execute(select(quotas, tenants.c.tenant_id).join_from(quotas, tenants))
    return {row.tenant_id: _quota(row) for row in rows}


def put(change: Change, tenant_id: str, quota: Quota) -> None:
    """Raises TenantNotFound."""
    number = tenant_rows.number(change.connection, tenant_id)
    change.connection.execute(delete(quotas).where(quotas.c.tenant_pk == number))
    change.connection.execute(insert(quotas).values(tenant_pk=number, **asdict(quota)))


def to_json(quota: Quota) -> dict[str, Any]:
    return asdict(quota)


def from_json(answer: Mapping[str, Any]) -> Quota:
    return Quota(**answer)


def _quota(row: Any) -> Quota:
    return Quota(**{name: getattr(row, name) for name in _FIELDS})
