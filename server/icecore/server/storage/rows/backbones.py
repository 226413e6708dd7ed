"""Rows of backbones, of their graphs and of the names that point to them."""

import hashlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert, select, update

from icecore.server.errors import BackboneNotFound, StorageCorrupt
from icecore.server.storage.change import Change
from icecore.server.storage.records import BackboneRecord
from icecore.server.storage.rows import values
from icecore.server.storage.schema import backbone_graphs, backbone_names, backbones


def put(change: Change, record: BackboneRecord, graph: bytes) -> None:
    """Store a backbone that is new, and let the name point to it."""
    connection = change.connection
    pk = _number(connection, record.digest)
    if pk is None:
        pk = connection.scalar(
            insert(backbones)
            .values(
                digest=record.digest,
                name=record.name,
                recipe=values.to_text(record.recipe),
                card=values.to_text(record.card),
                create_time=values.to_column(record.create_time),
            )
            .returning(backbones.c.pk)
        )
        connection.execute(
            insert(backbone_graphs).values(
                backbone_pk=pk, sha256=hashlib.sha256(graph).hexdigest(), graph=graph
            )
        )
    pointed = connection.scalar(
        select(backbone_names.c.backbone_pk).where(backbone_names.c.name == record.name)
    )
    if pointed is None:
        connection.execute(insert(backbone_names).values(name=record.name, backbone_pk=pk))
    elif pointed != pk:
        connection.execute(
            update(backbone_names)
            .where(backbone_names.c.name == record.name)
            .values(backbone_pk=pk)
        )


def named(connection: Connection) -> Sequence[BackboneRecord]:
    """Those that a name points to, under that name, in order of name."""
    rows = connection.execute(
        select(backbones, backbone_names.c.name.label("pointing"))
        .join_from(backbone_names, backbones, backbone_names.c.backbone_pk == backbones.c.pk)
        .order_by(backbone_names.c.name)
    )
    return tuple(_record(row, row.pointing) for row in rows)


def find(connection: Connection, digest: str) -> BackboneRecord:
    """Raises BackboneNotFound."""
    row = connection.execute(select(backbones).where(backbones.c.digest == digest)).first()
    if row is None:
        raise _absent(digest)
    return _record(row, row.name)


def check(connection: Connection, digest: str) -> None:
    """Raises BackboneNotFound."""
    if _number(connection, digest) is None:
        raise _absent(digest)


def graph(connection: Connection, digest: str) -> bytes:
    """Raises BackboneNotFound, StorageCorrupt."""
    row = connection.execute(
        select(backbone_graphs.c.graph, backbone_graphs.c.sha256)
        .join_from(backbone_graphs, backbones)
        .where(backbones.c.digest == digest)
    ).first()
    if row is None:
        raise _absent(digest)
    stored: bytes = row.graph
    if hashlib.sha256(stored).hexdigest() != row.sha256:
        raise StorageCorrupt(f"the graph of backbone {digest!r} is not what was stored")
    return stored


def _number(connection: Connection, digest: str) -> int | None:
    found: int | None = connection.scalar(
        select(backbones.c.pk).where(backbones.c.digest == digest)
    )
    return found


def _absent(digest: str) -> BackboneNotFound:
    return BackboneNotFound(f"no backbone has the digest {digest!r}")


def _record(row: Any, name: str) -> BackboneRecord:
    return BackboneRecord(
        name=name,
        digest=row.digest,
        recipe=values.to_mapping(row.recipe),
        card=values.to_mapping(row.card),
        create_time=values.to_time(row.create_time),
    )
