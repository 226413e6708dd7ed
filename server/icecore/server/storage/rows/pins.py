"""Who pins a backbone: probe versions in any state, and collections.

A backbone that neither a name points to nor anybody pins is let go, in the change that
took its last name or pin.
"""

from typing import Any, Final

from sqlalchemy import Connection, Select, exists, func, select

from icecore.server.errors import BackboneInUse
from icecore.server.storage.change import Change
from icecore.server.storage.rows import backbones as rows
from icecore.server.storage.rows import mutations, tenants
from icecore.server.storage.schema import (
    backbone_names,
    backbones,
    collections,
    probes,
    versions,
)
from icecore.server.storage.schema import tenants as tenants_table

_SHOWN: Final = 5


def check_free(connection: Connection, name: str, digest: str) -> None:
    """Raises BackboneInUse, saying how many use it, and of which tenants."""
    n_collections = _counts(connection, _collections_on(digest))
    n_versions = _counts(connection, _versions_on(digest))
    users = sorted({*n_collections, *n_versions})
    if not users:
        return
    counts = [
        f"{n} {noun}{'' if n == 1 else 's'}"
        for n, noun in (
            (sum(n_collections.values()), "collection"),
            (sum(n_versions.values()), "probe version"),
        )
        if n
    ]
    shown = ", ".join(repr(user) for user in users[:_SHOWN])
    more = f" and {len(users) - _SHOWN} others" if len(users) > _SHOWN else ""
    raise BackboneInUse(
        f"backbone {name!r} (digest {digest[:8]}) is pinned by {' and '.join(counts)} of tenant"
        f"{'' if len(users) == 1 else 's'} {shown}{more}: it can be removed once they are deleted"
    )


def let_unneeded_go(change: Change) -> None:
    """Let all go that have no name and no pin, and forget the answers that tell of them."""
    named = exists().where(backbone_names.c.backbone_pk == backbones.c.pk)
    in_collection = exists().where(
        collections.c.digest == backbones.c.digest,
        collections.c.tenant_pk == tenants_table.c.pk,
        tenants_table.c.tenant_id != tenants.NOBODY,
    )
    in_version = exists().where(versions.c.digest == backbones.c.digest)
    unneeded = select(backbones.c.pk, backbones.c.digest).where(
        backbones.c.state == rows.WHOLE, ~named, ~in_collection, ~in_version
    )
    for row in change.connection.execute(unneeded).all():
        mutations.forget(change, mutations.ADMINISTRATORS, rows.subject(row.digest))
        rows.let_go(change, row.pk)


def _counts(connection: Connection, grouped: Select[Any]) -> dict[str, int]:
    """Numbers by tenant."""
    return {row[0]: row[1] for row in connection.execute(grouped)}


def _collections_on(digest: str) -> Select[Any]:
    return (
        select(tenants_table.c.tenant_id, func.count())
        .join_from(collections, tenants_table)
        .where(collections.c.digest == digest, tenants_table.c.tenant_id != tenants.NOBODY)
        .group_by(tenants_table.c.tenant_id)
    )


def _versions_on(digest: str) -> Select[Any]:
    return (
        select(tenants_table.c.tenant_id, func.count())
        .join_from(versions, probes)
        .join(tenants_table)
        .where(versions.c.digest == digest)
        .group_by(tenants_table.c.tenant_id)
    )
