"""A collection's examples in SQLite: adding, deleting, listing, and a snapshot with codes."""

import zlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
from icecore.server.errors import (
    ExampleExists,
    ExampleNotFound,
    IdDuplicate,
    ImagesNotKept,
    LayerNotFound,
    StorageCorrupt,
)
from icecore.server.storage.change import Change
from icecore.server.storage.records import (
    AddedCounts,
    CodeArray,
    ExampleRecord,
    NewBatch,
    NewExample,
    OnDuplicate,
    Snapshot,
)
from icecore.server.storage.rows import collection as collections
from icecore.server.storage.rows import values
from icecore.server.storage.schema import examples, images
from icecore.server.storage.sqlite import code_batches
from sqlalchemy import Connection, delete, insert, select
from sqlalchemy import bindparam as parameter

_ID_CHUNK = 500
"""How many ids one statement names: old SQLites allow 999 parameters."""

# Statements that every addition makes are built once: building costs more than running them.
_NAMED = select(examples).where(
    examples.c.collection_pk == parameter("collection"),
    examples.c.example_id.in_(parameter("some", expanding=True)),
)
_INSERT = insert(examples)
_INSERT_IMAGES = insert(images)


def check_batch(batch: NewBatch) -> None:
    """Check what needs no database.

    Raises:
        IdDuplicate: an id is twice in the batch.
        ValueError: an array of the core is not (n, d), float16 or float32.
    """
    seen: set[str] = set()
    for example in batch.examples:
        if example.example_id in seen:
            raise IdDuplicate(f"example {example.example_id!r} is twice in the batch")
        seen.add(example.example_id)
    for name, array in batch.core.items():
        if (
            array.ndim != 2
            or len(array) != len(batch.examples)
            or array.dtype.name
            not in (
                "float16",
                "float32",
            )
        ):
            raise ValueError(
                f"the core at layer {name!r} is {array.dtype.name} of shape {array.shape!r}, but "
                f"{len(batch.examples)} examples need float16 or float32 of shape "
                f"({len(batch.examples)}, d)"
            )


def add(change: Change, collection: Any, batch: NewBatch, on_duplicate: OnDuplicate) -> AddedCounts:
    """Add a checked batch to a collection (a row). Raises ExampleExists."""
    wanted = {example.example_id: example for example in batch.examples}
    known = {row.example_id: row for row in _find(change.connection, collection.pk, wanted)}
    if known and on_duplicate is OnDuplicate.REFUSE:
        first = next(name for name in wanted if name in known)
        raise ExampleExists(
            f"example {first!r} is in collection {collection.collection_id!r} already: "
            "replace or skip it, or give the new one another id"
        )
    if on_duplicate is OnDuplicate.SKIP:
        unchanged = set(known)
    else:
        unchanged = {name for name, row in known.items() if _is_same(row, wanted[name])}
    replaced = [row for name, row in known.items() if name not in unchanged]
    chosen = [at for at, name in enumerate(wanted) if name not in unchanged]
    if chosen:
        new = [batch.examples[at] for at in chosen]
        sequence = collections.advance(
            change, collection.pk, [row.label for row in replaced], [one.label for one in new]
        )
        _delete(change, collection.pk, sequence, replaced)
        if len(chosen) == len(wanted):
            core = dict(batch.core)
        else:
            core = {name: array[chosen] for name, array in batch.core.items()}
        _insert(change, collection, sequence, new, core)
        code_batches.tidy(change, collection.pk, sequence)
    return AddedCounts(
        n_added=len(chosen) - len(replaced),
        n_replaced=len(replaced),
        n_unchanged=len(unchanged) + batch.n_unchanged,
    )


def remove(change: Change, collection: Any, example_ids: Sequence[str]) -> int:
    """Delete examples of a collection (a row), all or none. Raises ExampleNotFound."""
    wanted = dict.fromkeys(example_ids)
    found = list(_find(change.connection, collection.pk, wanted))
    if len(found) < len(wanted):
        there = {row.example_id for row in found}
        raise _absent(collection, next(name for name in wanted if name not in there))
    if found:
        sequence = collections.advance(change, collection.pk, [row.label for row in found], [])
        _delete(change, collection.pk, sequence, found)
        code_batches.tidy(change, collection.pk, sequence)
    return len(found)


def known(
    connection: Connection, collection: Any, example_ids: Sequence[str]
) -> dict[str, ExampleRecord]:
    rows = _find(connection, collection.pk, dict.fromkeys(example_ids))
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
        raise _absent(collection, example_id)
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
    return Snapshot(collection.sequence, tuple(_record(row) for row in rows), codes)


def _insert(
    change: Change,
    collection: Any,
    sequence: int,
    new: Sequence[NewExample],
    core: dict[str, CodeArray],
) -> None:
    connection = change.connection
    if any((one.image is None) == collection.keep_images for one in new):
        keeps = "keeps images" if collection.keep_images else "keeps no images"
        raise ValueError(f"collection {collection.collection_id!r} {keeps}, unlike the batch")
    layers = code_batches.ensure_layers(change, collection.pk, core)
    places = code_batches.write(change, collection.pk, sequence, layers, core, len(new))
    connection.execute(
        _INSERT,
        [
            {
                "collection_pk": collection.pk,
                "example_id": one.example_id,
                "label": one.label,
                "metadata": values.to_text(one.metadata),
                "image_sha256": one.image_sha256,
                "batch_pk": batch,
                "place": place,
            }
            for one, (batch, place) in zip(new, places, strict=True)
        ],
    )
    if collection.keep_images:
        numbers = {
            row.example_id: row.pk
            for row in _find(connection, collection.pk, [one.example_id for one in new])
        }
        connection.execute(
            _INSERT_IMAGES,
            [
                {
                    "example_pk": numbers[one.example_id],
                    "crc32": zlib.crc32(one.image or b""),
                    "image": one.image,
                }
                for one in new
            ],
        )


def _delete(change: Change, collection: int, sequence: int, rows: Sequence[Any]) -> None:
    if not rows:
        return
    change.erases = True
    for chunk in _chunks([row.pk for row in rows]):
        change.connection.execute(delete(examples).where(examples.c.pk.in_(chunk)))
    gone: dict[int, list[int]] = {}
    for row in rows:
        gone.setdefault(row.batch_pk, []).append(row.place)
    code_batches.erase(change, collection, sequence, gone)


def _find(connection: Connection, collection: int, names: Collection[str]) -> Iterator[Any]:
    for chunk in _chunks(list(names)):
        yield from connection.execute(_NAMED, {"collection": collection, "some": chunk})


def _chunks(items: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), _ID_CHUNK):
        yield items[start : start + _ID_CHUNK]


def _is_same(row: Any, new: NewExample) -> bool:
    return bool(
        row.image_sha256 == new.image_sha256
        and row.label == new.label
        and row.metadata == values.to_text(new.metadata)
    )


def _absent(collection: Any, example_id: str) -> ExampleNotFound:
    return ExampleNotFound(
        f"example {example_id!r} is not in collection {collection.collection_id!r}"
    )


def _record(row: Any) -> ExampleRecord:
    return ExampleRecord(
        row.example_id, row.label, values.to_mapping(row.metadata), row.image_sha256
    )
