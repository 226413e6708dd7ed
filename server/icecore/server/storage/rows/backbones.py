"""Rows of backbones, of their graphs and of the names that point to them.

A graph is stored in parts, each in a change of its own, so that others can write
in between. Until all are there its backbone is "coming", and seen by nobody; one that
was deleted is "going" until its parts are overwritten.
"""

import hashlib
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Connection, delete, insert, select, update

from icecore.server.errors import BackboneNotFound, StorageCorrupt
from icecore.server.storage.change import Change
from icecore.server.storage.records import BackboneRecord
from icecore.server.storage.rows import values
from icecore.server.storage.schema import backbone_names, backbone_parts, backbones

COMING: Final = "coming"
WHOLE: Final = "whole"
GOING: Final = "going"


class Vanished(Exception):
    """The backbone that was there is there no more."""


def named(connection: Connection) -> Sequence[BackboneRecord]:
    """Those that a name points to, under that name, in order of name."""
    rows = connection.execute(
        select(backbones, backbone_names.c.name.label("pointing"))
        .join_from(backbone_names, backbones, backbone_names.c.backbone_pk == backbones.c.pk)
        .order_by(backbone_names.c.name)
    )
    return tuple(_record(row, row.pointing) for row in rows)


def digests(connection: Connection) -> Sequence[str]:
    """Those of all that are whole, with a name or without."""
    return connection.scalars(
        select(backbones.c.digest).where(backbones.c.state == WHOLE).order_by(backbones.c.digest)
    ).all()


def find(connection: Connection, digest: str) -> BackboneRecord:
    """Raises BackboneNotFound."""
    row = row_of(connection, digest)
    if row is None:
        raise _absent(digest)
    return _record(row, row.name)


def check(connection: Connection, digest: str) -> None:
    """Raises BackboneNotFound."""
    if row_of(connection, digest) is None:
        raise _absent(digest)


def graph(connection: Connection, digest: str) -> bytes:
    """Raises BackboneNotFound, StorageCorrupt."""
    row = row_of(connection, digest)
    if row is None:
        raise _absent(digest)
    parts = connection.execute(
        select(backbone_parts.c.part)
        .where(backbone_parts.c.backbone_pk == row.pk)
        .order_by(backbone_parts.c.place)
    )
    # It gives out what it filled without a copy, and only one part is held beside it.
    joined, sha256 = BytesIO(), hashlib.sha256()
    for (part,) in parts:
        joined.write(part)
        sha256.update(part)
    if sha256.hexdigest() != row.graph_sha256:
        raise StorageCorrupt(f"the graph of backbone {digest!r} is not what was stored")
    return joined.getvalue()


def row_of(connection: Connection, digest: str) -> Any:
    """Return the row of a whole backbone, None where there is none."""
    return connection.execute(
        select(backbones).where(backbones.c.digest == digest, backbones.c.state == WHOLE)
    ).first()


def begin(change: Change, record: BackboneRecord, graph_sha256: str) -> int:
    """Make the row of a backbone that is coming; return its number."""
    made = insert(backbones).values(
        # Not yet the digest: two calls may bring the same one.
        digest=f"{COMING} {uuid4().hex}",
        name=record.name,
        recipe=values.to_text(record.recipe),
        card=values.to_text(record.card),
        facts=values.to_text(record.facts),
        create_time=values.to_column(record.create_time),
        state=COMING,
        graph_sha256=graph_sha256,
    )
    number: int = change.connection.execute(made.returning(backbones.c.pk)).scalar_one()
    return number


def add_part(change: Change, number: int, place: int, part: memoryview) -> None:
    change.connection.execute(
        insert(backbone_parts).values(backbone_pk=number, place=place, part=part)
    )


def settle(change: Change, record: BackboneRecord, number: int | None) -> BackboneRecord:
    """Let the name point to the backbone of the digest: one that is there, else `number`.

    One that is there keeps its time and its facts; its card becomes the new one.

    Raises:
        Vanished: there is none, and `number` is None.
    """
    connection = change.connection
    there = row_of(connection, record.digest)
    if there is not None:
        number = there.pk
        if there.card != (card := values.to_text(record.card)):
            connection.execute(update(backbones).where(_is(number)).values(card=card))
    elif number is not None:
        whole = {"digest": record.digest, "state": WHOLE}
        connection.execute(update(backbones).where(_is(number)).values(whole))
    else:
        raise Vanished
    connection.execute(delete(backbone_names).where(backbone_names.c.name == record.name))
    connection.execute(insert(backbone_names).values(name=record.name, backbone_pk=number))
    return _record(row_of(connection, record.digest), record.name)


def pointed(connection: Connection, name: str) -> Any:
    """Return the row that a name points to. Raises BackboneNotFound."""
    row = connection.execute(
        select(backbones).join(backbone_names).where(backbone_names.c.name == name)
    ).first()
    if row is None:
        raise BackboneNotFound(f"no backbone has the name {name!r}")
    return row


def take_name(change: Change, name: str) -> None:
    change.connection.execute(delete(backbone_names).where(backbone_names.c.name == name))


def names_of(connection: Connection, number: int) -> Sequence[str]:
    return connection.scalars(
        select(backbone_names.c.name).where(backbone_names.c.backbone_pk == number)
    ).all()


def let_go(change: Change, number: int) -> None:
    """Let nobody see it any more; its digest is free at once."""
    gone = {"digest": f"{GOING} {number}", "state": GOING}
    change.connection.execute(update(backbones).where(_is(number)).values(gone))


def let_go_if_coming(change: Change, number: int | None = None) -> None:
    """Give up one that did not become whole; without a number, all that a killed server left."""
    chosen = select(backbones.c.pk).where(backbones.c.state == COMING)
    if number is not None:
        chosen = chosen.where(_is(number))
    for found in change.connection.scalars(chosen).all():
        let_go(change, found)


def subject(digest: str) -> str:
    return f"backbones/{digest}"


def to_json(record: BackboneRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "digest": record.digest,
        "recipe": dict(record.recipe),
        "card": dict(record.card),
        "facts": dict(record.facts),
        "create_time": values.to_column(record.create_time),
    }


def from_json(fields: Mapping[str, Any]) -> BackboneRecord:
    return BackboneRecord(**{**fields, "create_time": values.to_time(fields["create_time"])})


def _is(number: int) -> Any:
    return backbones.c.pk == number


def _absent(digest: str) -> BackboneNotFound:
    return BackboneNotFound(f"no backbone has the digest {digest!r}")


def _record(row: Any, name: str) -> BackboneRecord:
    return BackboneRecord(
        name=name,
        digest=row.digest,
        recipe=values.to_mapping(row.recipe),
        card=values.to_mapping(row.card),
        create_time=values.to_time(row.create_time),
        facts=values.to_mapping(row.facts),
    )
