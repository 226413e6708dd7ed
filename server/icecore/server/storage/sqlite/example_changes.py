"""A collection's examples in SQLite, changed: adding, replacing and deleting them."""

import zlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam as parameter
from sqlalchemy import delete, func, insert, select

from icecore.server.errors import ExampleExists, IdDuplicate
from icecore.server.storage.change import Change
from icecore.server.storage.records import AddedCounts, CodeArray, NewBatch, NewExample, OnDuplicate
from icecore.server.storage.rows import collection as collections
from icecore.server.storage.rows import stored, values
from icecore.server.storage.schema import examples, images
from icecore.server.storage.sqlite import code_batches
from icecore.server.storage.sqlite.examples import absent, chunks, find

# Every addition makes them, so they are built once: building costs more than running them.
_INSERT = insert(examples)
_INSERT_IMAGES = insert(images)
_IMAGE_BYTES = select(func.sum(func.length(images.c.image))).where(
    images.c.example_pk.in_(parameter("some", expanding=True))
)


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
    known = {row.example_id: row for row in find(change.connection, collection.pk, wanted)}
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
        stored.book_collection(change, collection.pk)
    return AddedCounts(
        n_added=len(chosen) - len(replaced),
        n_replaced=len(replaced),
        n_unchanged=len(unchanged) + batch.n_unchanged,
    )


def remove(change: Change, collection: Any, example_ids: Sequence[str]) -> int:
    """Delete examples of a collection (a row), all or none. Raises ExampleNotFound."""
    wanted = dict.fromkeys(example_ids)
    found = list(find(change.connection, collection.pk, wanted))
    if len(found) < len(wanted):
        there = {row.example_id for row in found}
        raise absent(collection, next(name for name in wanted if name not in there))
    if found:
        sequence = collections.advance(change, collection.pk, [row.label for row in found], [])
        _delete(change, collection.pk, sequence, found)
        code_batches.tidy(change, collection.pk, sequence)
        stored.book_collection(change, collection.pk)
    return len(found)


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
    rows = [
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
    ]
    connection.execute(_INSERT, rows)
    change.n_bytes += sum(
        stored.text(one.example_id, one.label, str(row["metadata"])) + len(one.image or b"")
        for one, row in zip(new, rows, strict=True)
    )
    if collection.keep_images:
        numbers = {
            row.example_id: row.pk
            for row in find(connection, collection.pk, [one.example_id for one in new])
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
    change.n_bytes -= sum(stored.text(row.example_id, row.label, row.metadata) for row in rows)
    for chunk in chunks([row.pk for row in rows]):
        change.n_bytes -= change.connection.scalar(_IMAGE_BYTES, {"some": chunk}) or 0
        change.connection.execute(delete(examples).where(examples.c.pk.in_(chunk)))
    gone: dict[int, list[int]] = {}
    for row in rows:
        gone.setdefault(row.batch_pk, []).append(row.place)
    code_batches.erase(change, collection, sequence, gone)


def _is_same(row: Any, new: NewExample) -> bool:
    return bool(
        row.image_sha256 == new.image_sha256
        and row.label == new.label
        and row.metadata == values.to_text(new.metadata)
    )
