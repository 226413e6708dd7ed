"""How many bytes a tenant has in the store, counted in the change that makes them more or fewer.

What counts: of an example its image, its codes at each layer (n values of 2 or 4 bytes) and its
id, label and metadata as UTF-8; of a collection its id and its backbone's name and digest; of a
probe its id; of a version what was asked, what was found, its file and its held-out answers. What
the database needs beside that, for its pages and indexes, is not the tenant's.

Whatever changes these adds to `Change.n_bytes`; `book` then writes it down. Batches of codes that
are packed together may grow, where some are float16 and some float32: that is counted, but never
refused, or a tenant whose quota is full could not delete.
"""

from typing import Any

from sqlalchemy import Connection, func, select, update
from sqlalchemy import bindparam as parameter

from icecore.server.errors import StorageQuotaExceeded
from icecore.server.quotas import Stored
from icecore.server.storage.change import Change
from icecore.server.storage.schema import collections, label_counts, probes, quotas, tenants

# Every addition makes them, so they are built once: building costs more than running them.
_QUOTA = select(quotas.c.storage_bytes).where(quotas.c.tenant_pk == tenants.c.pk).scalar_subquery()
_BOOK = (
    update(tenants)
    .where(tenants.c.pk == parameter("tenant"))
    .values(stored_bytes=tenants.c.stored_bytes + parameter("more"))
    .returning(tenants.c.stored_bytes, _QUOTA.label("most"))
)
_LOOK = select(tenants.c.stored_bytes, _QUOTA.label("most")).where(
    tenants.c.pk == parameter("tenant")
)
_BOOK_COLLECTION = (
    update(collections)
    .where(collections.c.pk == parameter("collection"))
    .values(stored_bytes=collections.c.stored_bytes + parameter("more"))
)


def text(*words: str | None) -> int:
    """Return how many bytes the words have."""
    return sum(len(word.encode()) for word in words if word)


def book(change: Change, tenant: int) -> None:
    """Count what the change adds to a tenant's bytes. What makes them fewer is never refused.

    Raises:
        StorageQuotaExceeded: they would be more than the tenant's quota.
    """
    more = change.n_bytes + change.n_packed_bytes
    if more or change.n_bytes:
        row = change.connection.execute(_BOOK, {"tenant": tenant, "more": more}).one()
        _check(row.stored_bytes - more, change.n_bytes, row.most)


def book_collection(change: Change, collection: int) -> None:
    """Count what the change adds to a collection, the only one that it is about."""
    more = change.n_bytes + change.n_packed_bytes
    change.connection.execute(_BOOK_COLLECTION, {"collection": collection, "more": more})


def check_room(connection: Connection, tenant: int, n_bytes: int) -> None:
    """Raises StorageQuotaExceeded: so many more would be too many."""
    row = connection.execute(_LOOK, {"tenant": tenant}).one()
    _check(row.stored_bytes, n_bytes, row.most)


def of_tenant(connection: Connection, tenant: int) -> Stored:
    def count(table: Any) -> int:
        mine = select(func.count()).where(table.c.tenant_pk == tenant)
        return int(connection.execute(mine).scalar_one())

    n_examples = connection.scalar(
        select(func.sum(label_counts.c.n_examples))
        .join_from(label_counts, collections)
        .where(collections.c.tenant_pk == tenant)
    )
    n_bytes = connection.execute(_LOOK, {"tenant": tenant}).one().stored_bytes
    return Stored(n_bytes, count(collections), int(n_examples or 0), count(probes))


def _check(n_there: int, more: int, most: int | None) -> None:
    if most and more > 0 and n_there + more > most:
        raise StorageQuotaExceeded(
            f"{n_there:,} bytes are stored and {more:,} more would pass this tenant's quota of "
            f"{most:,}: delete what is not needed, or ask for more"
        )
