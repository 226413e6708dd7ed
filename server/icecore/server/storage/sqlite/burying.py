"""Deleting collections and backbones of any size, while others go on writing.

Overwriting 1.5 GB takes 20 s and as much room in the log. So a collection is
first buried, in one small change: it then belongs to a tenant that nobody can
name; a backbone is marked as going. After that its rows are overwritten some at a
time, each time in a change of its own, by the call that deleted it or, where the
server was killed, by the next one before it serves.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, String, cast, delete, insert, select, update

from icecore.server.errors import StorageFull
from icecore.server.storage.change import Change
from icecore.server.storage.rows import backbones as backbone_rows
from icecore.server.storage.rows import values
from icecore.server.storage.rows.tenants import NOBODY
from icecore.server.storage.schema import backbone_parts, backbones, batches, collections, tenants
from icecore.server.storage.sqlite.writer import Writer

ROWS_AT_ONCE = 512
"""About 20 MB of codes: a quarter of a second for those who wait to write."""

PARTS_AT_ONCE = 4
"""16 MB of a graph."""


def bury(change: Change, numbers: Collection[int]) -> None:
    """Take these collections from their tenants, and overwrite the first of their rows."""
    nobody = _nobody(change.connection) or _make_nobody(change.connection)
    change.connection.execute(
        update(collections)
        .where(collections.c.pk.in_(numbers))
        .values(tenant_pk=nobody, collection_id=cast(collections.c.pk, String))
    )
    dig(change)


def dig(change: Change) -> bool:
    """Overwrite some rows of what is buried; whether there are more."""
    connection = change.connection
    buried = select(collections.c.pk).where(collections.c.tenant_pk == _nobody(connection))
    rows = connection.execute(
        select(batches.c.pk, batches.c.n_rows)
        .where(batches.c.collection_pk.in_(buried))
        .order_by(batches.c.pk)
        .limit(ROWS_AT_ONCE + 1)
    ).all()
    some = _some([(row.pk, row.n_rows) for row in rows])
    connection.execute(delete(batches).where(batches.c.pk.in_(some)))
    if len(some) < len(rows):
        return True
    if connection.execute(delete(collections).where(collections.c.pk.in_(buried))).rowcount:
        change.erases = True
    return _dig_backbone(change)


def dig_all(writer: Writer) -> None:
    """Return once nothing is buried any more, and the log holds nothing of it.

    Raises:
        StorageFull: there was no room to overwrite all; the next call or start goes on.
    """
    try:
        while writer.write(dig):
            pass
    except StorageFull as error:
        raise StorageFull(
            "it is deleted, but there was no room on the server's disk to overwrite all of it: "
            "make room on that disk and send the same request again, or start the server anew"
        ) from error


def _dig_backbone(change: Change) -> bool:
    """Overwrite some parts of a backbone that is going; whether there are more, or more such."""
    connection = change.connection
    going = connection.scalars(
        select(backbones.c.pk).where(backbones.c.state == backbone_rows.GOING).limit(2)
    ).all()
    if not going:
        return False
    of_first = backbone_parts.c.backbone_pk == going[0]
    places = connection.scalars(
        select(backbone_parts.c.place)
        .where(of_first)
        .order_by(backbone_parts.c.place)
        .limit(PARTS_AT_ONCE + 1)
    ).all()
    some = places[:PARTS_AT_ONCE]
    connection.execute(delete(backbone_parts).where(of_first, backbone_parts.c.place.in_(some)))
    if len(some) < len(places):
        return True
    connection.execute(delete(backbones).where(backbones.c.pk == going[0]))
    change.erases = True
    return len(going) > 1


def _some(rows: Sequence[tuple[int, int]]) -> list[int]:
    """The first batches that have `ROWS_AT_ONCE` rows together; one at least."""
    some: list[int] = []
    n = 0
    for number, n_rows in rows:
        if some and n + n_rows > ROWS_AT_ONCE:
            break
        some.append(number)
        n += n_rows
    return some


def _nobody(connection: Connection) -> int | None:
    number: int | None = connection.scalar(
        select(tenants.c.pk).where(tenants.c.tenant_id == NOBODY)
    )
    return number


def _make_nobody(connection: Connection) -> int:
    made = insert(tenants).values(tenant_id=NOBODY, create_time=values.now(), stored_bytes=0)
    number: int = connection.execute(made.returning(tenants.c.pk)).scalar_one()
    return number
