"""A collection's examples in SQLite, read: by id, by page, and a snapshot with codes."""

import zlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, select
from sqlalchemy import bindparam as parameter

from icecore.server.errors import ExampleNotFound, ImagesNotKept, LayerNotFound, StorageCorrupt
from icecore.server.storage.records import CodeArray, ExampleRecord, Snapshot
from icecore.server.storage.rows import values
from icecore.server.storage.schema import examples, images
from icecore.server.storage.sqlite import code_batches

_ID_CHUNK = 500
"""How many ids one statement names: old SQLites allow 999 parameters."""

# Every addition makes it, so it is built once: building costs more than running it.
_NAMED = select(examples).where(
    examples.c.collection_pk == parameter("collection"),
    examples.c.example_id.in_(parameter("some", expanding=True)),
)


def known(
    connection: Connection, collection: Any, example_ids: Sequence[str]
) -> dict[str, ExampleRecord]:
    rows = find(connection, collection.pk, dict.fromkeys(example_ids))
    return {row.example_id: _record(row) for row in rows}


def page(
    connection: Connection, collection: Any, after: str, limit: int
) -> Sequence[ExampleRecord]:
    rows = connection.execute(
        select(examples)
        .where(examples.c.collection_pk == collection.pk, examples.c.example_id > after)
        .order_by(examples.c.example_id)
        .limit(limit)
    )
    return tuple(_record(row) for row in rows)


def image(connection: Connection, collection: Any, example_id: str) -> bytes:
    """Raises ExampleNotFound, ImagesNotKept, StorageCorrupt."""
    row = connection.execute(
        select(examples.c.pk, images.c.crc32, images.c.image)
        .outerjoin_from(examples, images)
        .where(examples.c.collection_pk == collection.pk, examples.c.example_id == example_id)
    ).first()
    if row is None:
        raise absent(collection, example_id)
    if row.image is None:
        raise ImagesNotKept(
            f"collection {collection.collection_id!r} keeps no images, so there is none of "
            f"example {example_id!r}"
        )
    stored: bytes = row.image
    if zlib.crc32(stored) != row.crc32:
        raise StorageCorrupt(
            f"the image of example {example_id!r} in collection {collection.collection_id!r} is "
            "not what was stored"
        )
    return stored


def snapshot(connection: Connection, collection: Any, layers: Sequence[str]) -> Snapshot:
    """Raises LayerNotFound, StorageCorrupt."""
    rows = connection.execute(
        select(examples)
        .where(examples.c.collection_pk == collection.pk)
        .order_by(examples.c.example_id)
    ).all()
    stored = code_batches.layers_of(connection, collection.pk) if layers else {}
    batch_of = np.fromiter((row.batch_pk for row in rows), np.int64, len(rows))
    row_of = np.fromiter((row.place for row in rows), np.int64, len(rows))
    codes: dict[str, CodeArray] = {}
    for name in layers:
        if name in stored:
            codes[name] = code_batches.read(connection, stored[name], batch_of, row_of)
        elif rows:
            raise LayerNotFound(
                f"collection {collection.collection_id!r} stores no codes of layer {name!r}: it "
                f"has {', '.join(map(repr, stored)) or 'none'}"
            )
        else:
            codes[name] = np.empty((0, 0), np.float16)
    records = tuple(_record(row) for row in rows)
    return Snapshot(collection.pk, collection.sequence, records, codes)


def find(connection: Connection, collection: int, names: Collection[str]) -> Iterator[Any]:
    """Yield the rows of those of the examples that exist."""
    for chunk in chunks(list(names)):
        yield from connection.execute(_NAMED, {"collection": collection, "some": chunk})


def chunks(items: list[Any]) -> Iterator[list[Any]]:
    """Yield the items in parts that one statement can name."""
    for start in range(0, len(items), _ID_CHUNK):
        yield items[start : start + _ID_CHUNK]


def absent(collection: Any, example_id: str) -> ExampleNotFound:
    return ExampleNotFound(
        f"example {example_id!r} is not in collection {collection.collection_id!r}"
    )


def _record(row: Any) -> ExampleRecord:
    return ExampleRecord(
        row.example_id, row.label, values.to_mapping(row.metadata), row.image_sha256
    )
