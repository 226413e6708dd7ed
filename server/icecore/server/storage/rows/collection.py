"""Rows of collections and how many examples they have a label."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy import bindparam as parameter

from icecore.server.errors import CollectionExists, CollectionNotFound
from icecore.server.storage.change import Change
from icecore.server.storage.records import CollectionRecord
from icecore.server.storage.rows import backbones, stored, values
from icecore.server.storage.schema import collections, counters, label_counts

_SEQUENCE = "sequence"
_ID_CHUNK = 500

# Statements that every addition makes are built once: building costs more than running them.
_BY_ID = select(collections).where(
    collections.c.tenant_pk == parameter("tenant"), collections.c.collection_id == parameter("id")
)
_COUNT = (
    update(counters)
    .where(counters.c.name == parameter("counter"))
    .values(value=counters.c.value + 1)
    .returning(counters.c.value)
)
_ADVANCE = (
    update(collections)
    .where(collections.c.pk == parameter("collection"))
    .values(sequence=parameter("now"))
)
_COUNT_LABEL = (
    update(label_counts)
    .where(
        label_counts.c.collection_pk == parameter("collection"),
        label_counts.c.label == parameter("one"),
    )
    .values(n_examples=label_counts.c.n_examples + parameter("more"))
    .returning(label_counts.c.n_examples)
)


def row_of(connection: Connection, tenant: int, collection_id: str) -> Any:
    """Raises CollectionNotFound."""
    row = connection.execute(_BY_ID, {"tenant": tenant, "id": collection_id}).first()
    if row is None:
        raise CollectionNotFound(f"collection {collection_id!r} does not exist")
    return row


def row_of_number(
    connection: Connection, tenant: int, collection_id: str, number: int | None
) -> Any:
    """As `row_of`, but of a collection of this number, if one is asked for."""
    row = row_of(connection, tenant, collection_id)
    if number is not None and row.pk != number:
        raise CollectionNotFound(
            f"collection {collection_id!r} was deleted, and made anew, since this call began"
        )
    return row


def find(connection: Connection, tenant: int, collection_id: str) -> CollectionRecord:
    """Raises CollectionNotFound."""
    row = row_of(connection, tenant, collection_id)
    return _record(row, _labels(connection, [row.pk])[row.pk])


def page(connection: Connection, tenant: int, after: str, limit: int) -> Sequence[CollectionRecord]:
    rows = connection.execute(
        select(collections)
        .where(collections.c.tenant_pk == tenant, collections.c.collection_id > after)
        .order_by(collections.c.collection_id)
        .limit(limit)
    ).all()
    labels = _labels(connection, [row.pk for row in rows])
    return tuple(_record(row, labels[row.pk]) for row in rows)


def create(
    change: Change,
    tenant: int,
    collection_id: str,
    *,
    backbone: str,
    digest: str,
    keep_images: bool,
) -> CollectionRecord:
    """Raises CollectionExists, BackboneNotFound."""
    connection = change.connection
    there = connection.scalar(
        select(collections.c.pk).where(
            collections.c.tenant_pk == tenant, collections.c.collection_id == collection_id
        )
    )
    if there is not None:
        raise CollectionExists(f"collection {collection_id!r} exists already")
    backbones.check(connection, digest)
    n_bytes = stored.text(collection_id, backbone, digest)
    change.n_bytes += n_bytes
    connection.execute(
        insert(collections).values(
            tenant_pk=tenant,
            collection_id=collection_id,
            backbone=backbone,
            digest=digest,
            keep_images=keep_images,
            has_outputs=True,
            create_time=values.now(),
            sequence=next_sequence(change),
            stored_bytes=n_bytes,
        )
    )
    return find(connection, tenant, collection_id)


def numbers_of(connection: Connection, tenant: int) -> Sequence[int]:
    """Return the numbers of all collections of a tenant."""
    return connection.scalars(
        select(collections.c.pk).where(collections.c.tenant_pk == tenant)
    ).all()


def subject(collection_id: str) -> str:
    return f"collections/{collection_id}"


def next_sequence(change: Change) -> int:
    """Return a number that no change of any collection has had."""
    value: int | None = change.connection.scalar(_COUNT, {"counter": _SEQUENCE})
    if value is None:
        value = 1
        change.connection.execute(insert(counters).values(name=_SEQUENCE, value=value))
    return value


def advance(change: Change, collection: int, gone: Sequence[str], come: Sequence[str]) -> int:
    """Note that examples with these labels have gone and come; return the new sequence."""
    connection = change.connection
    sequence = next_sequence(change)
    connection.execute(_ADVANCE, {"collection": collection, "now": sequence})
    changes = Counter(come)
    changes.subtract(gone)
    for label, n in sorted(changes.items()):
        here = {"collection": collection, "one": label, "more": n}
        n_examples = connection.scalar(_COUNT_LABEL, here)
        if n_examples is None:
            connection.execute(
                insert(label_counts).values(collection_pk=collection, label=label, n_examples=n)
            )
        elif n_examples == 0:
            connection.execute(
                delete(label_counts).where(
                    label_counts.c.collection_pk == collection, label_counts.c.label == label
                )
            )
    return sequence


def to_json(record: CollectionRecord) -> dict[str, Any]:
    return {
        "number": record.number,
        "collection_id": record.collection_id,
        "backbone": record.backbone,
        "digest": record.digest,
        "keep_images": record.keep_images,
        "has_outputs": record.has_outputs,
        "create_time": values.to_column(record.create_time),
        "sequence": record.sequence,
    }


def from_json(fields: Mapping[str, Any]) -> CollectionRecord:
    """Return a collection as it was when it was made."""
    time = values.to_time(fields["create_time"])
    return CollectionRecord(**{**fields, "create_time": time, "n_examples": 0, "labels": {}})


def _labels(connection: Connection, numbers: Sequence[int]) -> dict[int, dict[str, int]]:
    labels: dict[int, dict[str, int]] = {number: {} for number in numbers}
    for start in range(0, len(numbers), _ID_CHUNK):
        rows = connection.execute(
            select(label_counts)
            .where(label_counts.c.collection_pk.in_(numbers[start : start + _ID_CHUNK]))
            .order_by(label_counts.c.label)
        )
        for row in rows:
            labels[row.collection_pk][row.label] = row.n_examples
    return labels


def _record(row: Any, labels: Mapping[str, int]) -> CollectionRecord:
    return CollectionRecord(
        number=row.pk,
        collection_id=row.collection_id,
        backbone=row.backbone,
        digest=row.digest,
        keep_images=bool(row.keep_images),
        create_time=values.to_time(row.create_time),
        sequence=row.sequence,
        n_examples=sum(labels.values()),
        labels=dict(labels),
        has_outputs=bool(row.has_outputs),
    )
