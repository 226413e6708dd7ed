"""Rows of tenants and of keys."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from icecore.server.errors import KeyNotFound, TenantExists, TenantNotFound
from icecore.server.storage.change import Change
from icecore.server.storage.records import KeyRecord, TenantRecord
from icecore.server.storage.rows import mutations, values
from icecore.server.storage.schema import counters, keys, tenants
from icecore.server.tenants import DEFAULT_TENANT

NOBODY = ""
"""The tenant of what is buried: no tenant's id is empty, and none sorts before it."""

_KEY_WAS_MADE = "tenant_key_was_made"


def number(connection: Connection, tenant_id: str) -> int:
    """Return the tenant's number. Raises TenantNotFound."""
    found: int | None = connection.scalar(
        select(tenants.c.pk).where(tenants.c.tenant_id == tenant_id)
    )
    if found is None:
        raise TenantNotFound(f"tenant {tenant_id!r} does not exist")
    return found


def create(change: Change, tenant_id: str) -> TenantRecord:
    """Raises TenantExists."""
    time = values.now()
    found = change.connection.scalar(select(tenants.c.pk).where(tenants.c.tenant_id == tenant_id))
    if found is not None:
        raise TenantExists(f"tenant {tenant_id!r} exists already")
    new = {"tenant_id": tenant_id, "create_time": time, "stored_bytes": 0}
    change.connection.execute(insert(tenants).values(**new))
    return TenantRecord(tenant_id, values.to_time(time))


def page(connection: Connection, after: str, limit: int) -> Sequence[TenantRecord]:
    rows = connection.execute(
        select(tenants.c.tenant_id, tenants.c.create_time)
        .where(tenants.c.tenant_id > after)
        .order_by(tenants.c.tenant_id)
        .limit(limit)
    )
    return tuple(TenantRecord(row.tenant_id, values.to_time(row.create_time)) for row in rows)


def remove(change: Change, tenant_id: str) -> None:
    """Delete a tenant with all it owns; `default` is made anew. Raises TenantNotFound."""
    pk = number(change.connection, tenant_id)
    change.erases = True
    mutations.forget_owner(change, pk)
    mutations.forget(change, mutations.ADMINISTRATORS, subject(tenant_id))
    change.connection.execute(delete(tenants).where(tenants.c.pk == pk))
    if tenant_id == DEFAULT_TENANT:
        create(change, tenant_id)


def subject(tenant_id: str) -> str:
    return f"tenants/{tenant_id}"


def ensure_default(change: Change) -> None:
    found = change.connection.scalar(
        select(tenants.c.pk).where(tenants.c.tenant_id == DEFAULT_TENANT)
    )
    if found is None:
        create(change, DEFAULT_TENANT)


def create_key(
    change: Change, key_id: str, key_hash: bytes, tenant_id: str | None, label: str
) -> KeyRecord:
    """Raises TenantNotFound."""
    time = values.now()
    pk = None if tenant_id is None else number(change.connection, tenant_id)
    change.connection.execute(
        insert(keys).values(
            key_id=key_id, tenant_pk=pk, key_hash=key_hash, label=label, create_time=time
        )
    )
    if pk is not None and not any_tenant_key_was_made(change.connection):
        change.connection.execute(insert(counters).values(name=_KEY_WAS_MADE, value=1))
    return KeyRecord(key_id, tenant_id, label, values.to_time(time))


def keys_of(connection: Connection, tenant_id: str | None) -> Sequence[KeyRecord]:
    """Those of a tenant (None: the administrator's), oldest first. Raises TenantNotFound."""
    rows = connection.execute(
        select(keys).where(_owned_by(connection, tenant_id)).order_by(keys.c.pk)
    )
    return tuple(
        KeyRecord(row.key_id, tenant_id, row.label, values.to_time(row.create_time)) for row in rows
    )


def find_key(connection: Connection, key_hash: bytes) -> KeyRecord | None:
    row = connection.execute(
        select(keys, tenants.c.tenant_id)
        .outerjoin_from(keys, tenants, keys.c.tenant_pk == tenants.c.pk)
        .where(keys.c.key_hash == key_hash)
    ).first()
    if row is None:
        return None
    return KeyRecord(row.key_id, row.tenant_id, row.label, values.to_time(row.create_time))


def revoke_key(change: Change, tenant_id: str | None, key_id: str) -> None:
    """Raises TenantNotFound, KeyNotFound."""
    gone = change.connection.execute(
        delete(keys).where(_owned_by(change.connection, tenant_id), keys.c.key_id == key_id)
    )
    if gone.rowcount == 0:
        whose = "the administrator" if tenant_id is None else f"tenant {tenant_id!r}"
        raise KeyNotFound(f"{whose} has no key {key_id!r}")
    change.erases = True


def any_tenant_key_was_made(connection: Connection) -> bool:
    made = connection.scalar(select(counters.c.value).where(counters.c.name == _KEY_WAS_MADE))
    return made is not None


def _owned_by(connection: Connection, tenant_id: str | None) -> Any:
    if tenant_id is None:
        return keys.c.tenant_pk.is_(None)
    return keys.c.tenant_pk == number(connection, tenant_id)
