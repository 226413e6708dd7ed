"""How codes lie in SQLite: batches of rows, one blob a batch and layer.

Reading one layer touches no other. Batches that deletions and single additions
leave small are packed together when enough of them have gathered: each row is
then written at most three times, and a collection never has more than about
thirty small batches.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from icecore.server.errors import StorageCorrupt
from icecore.server.storage.change import Change
from icecore.server.storage.records import CodeArray
from icecore.server.storage.schema import batches, codes, examples, layers
from icecore.server.storage.sqlite import packing
from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy import bindparam as parameter

MAX_ROWS = 256
"""Rows of a batch: 10,000 examples are 40 blobs a layer, and a deletion rewrites 10 MB at most."""

_TIERS = ((1, 16), (16, 128))
"""Sizes of small batches, from and below; each tier is packed by itself."""

_GATHERED = 16
"""So many batches in one tier are packed together."""

_REPACKED_AT_ONCE = 16
"""Batches whose rows of one layer are in memory together when packed."""

# Statements are built once: building them costs more than running them.
_LAYERS = (
    select(layers.c.name, layers.c.pk, layers.c.dims)
    .where(layers.c.collection_pk == parameter("collection"))
    .order_by(layers.c.pk)
)
_SMALL = (
    select(batches.c.pk, batches.c.n_rows)
    .where(batches.c.collection_pk == parameter("collection"), batches.c.n_rows < _TIERS[-1][-1])
    .order_by(batches.c.n_rows)
)
_NEW_BATCH = insert(batches).returning(batches.c.pk)
_KEPT = (
    select(examples.c.pk, examples.c.batch_pk, examples.c.place)
    .where(examples.c.batch_pk.in_(parameter("some", expanding=True)))
    .order_by(examples.c.batch_pk, examples.c.place)
)
_PUT = (
    update(examples)
    .where(examples.c.pk == parameter("example"))
    .values(batch_pk=parameter("batch"), place=parameter("row"))
)
_BLOBS = (
    select(
        codes.c.batch_pk,
        codes.c.dtype,
        codes.c.crc32,
        codes.c.blob,
        batches.c.n_rows,
        batches.c.sequence,
    )
    .join_from(codes, batches)
    .where(codes.c.layer_pk == parameter("layer"))
    .order_by(codes.c.batch_pk)
)
_SOME_BLOBS = _BLOBS.where(codes.c.batch_pk.in_(parameter("some", expanding=True)))
_WRITE_BLOBS = insert(codes)

Layers = Mapping[str, tuple[int, int]]
"""A layer's number and dims, by its name."""

Numbers = npt.NDArray[np.int64]


def layers_of(connection: Connection, collection: int) -> dict[str, tuple[int, int]]:
    rows = connection.execute(_LAYERS, {"collection": collection})
    return {row.name: (row.pk, row.dims) for row in rows}


def ensure_layers(change: Change, collection: int, core: Mapping[str, CodeArray]) -> Layers:
    """Return the collection's layers, made where it has none.

    Raises:
        ValueError: it has others, or of other sizes, than the core.
    """
    wanted = {name: array.shape[1] for name, array in core.items()}
    found = layers_of(change.connection, collection)
    if not found and wanted:
        change.connection.execute(
            insert(layers),
            [
                {"collection_pk": collection, "name": name, "dims": dims}
                for name, dims in wanted.items()
            ],
        )
        found = layers_of(change.connection, collection)
    if wanted != {name: dims for name, (_, dims) in found.items()}:
        raise ValueError(
            f"the core has layers {wanted!r}, but the collection's examples have "
            f"{ {name: dims for name, (_, dims) in found.items()}!r}"
        )
    return found


def write(
    change: Change,
    collection: int,
    sequence: int,
    found: Layers,
    core: Mapping[str, CodeArray],
    n: int,
) -> list[tuple[int, int]]:
    """Store `n` rows of codes; return (batch, row in it) of each."""
    places: list[tuple[int, int]] = []
    for start in range(0, n, MAX_ROWS):
        stop = min(start + MAX_ROWS, n)
        batch = _new_batch(change.connection, collection, sequence, stop - start)
        _write_blobs(
            change.connection,
            [
                (packing.Place(number, batch, sequence, stop - start, dims), core[name][start:stop])
                for name, (number, dims) in found.items()
            ],
        )
        places.extend((batch, row) for row in range(stop - start))
    return places


def repack(change: Change, collection: int, sequence: int, old: Sequence[int]) -> None:
    """Write the rows of these batches that examples still point at anew; delete the batches."""
    for start in range(0, len(old), _REPACKED_AT_ONCE):
        _repack(change.connection, collection, sequence, old[start : start + _REPACKED_AT_ONCE])


def tidy(change: Change, collection: int, sequence: int) -> None:
    """Pack small batches together where many have gathered."""
    small = change.connection.execute(_SMALL, {"collection": collection}).all()
    for at_least, below in _TIERS:
        tier = [row.pk for row in small if at_least <= row.n_rows < below]
        if len(tier) >= _GATHERED:
            repack(change, collection, sequence, sorted(tier))


def read(
    connection: Connection, layer: tuple[int, int], batch_of: Numbers, row_of: Numbers
) -> CodeArray:
    """Return one layer's codes, (n, d), of examples at (batch, row) of all their batches.

    Raises:
        StorageCorrupt: a checksum is wrong, or a blob or row is missing.
    """
    number, dims = layer
    n = len(batch_of)
    order = np.lexsort((row_of, batch_of))
    held, starts, counts = np.unique(batch_of[order], return_index=True, return_counts=True)
    where = {
        int(batch): order[start : start + count]
        for batch, start, count in zip(held, starts, counts, strict=True)
    }
    out: CodeArray = np.empty((n, dims), np.float16)
    for batch, block in _blobs(connection, number, dims, None):
        to = where.pop(batch, None)
        if to is None or not np.array_equal(row_of[to], np.arange(len(block))):
            raise StorageCorrupt(f"batch {batch} of codes does not fit the examples in it")
        if block.dtype != out.dtype and out.dtype == np.float16:
            out = out.astype(np.float32)
        out[to] = block
    if where:
        raise StorageCorrupt(f"codes are missing: layer {number}, batch {min(where)}")
    return out


def _repack(connection: Connection, collection: int, sequence: int, old: Sequence[int]) -> None:
    kept = connection.execute(_KEPT, {"some": old}).all()
    rows_of: dict[int, list[int]] = {}
    for row in kept:
        rows_of.setdefault(row.batch_pk, []).append(row.place)
    if kept:
        found = layers_of(connection, collection)
        sizes = [min(MAX_ROWS, len(kept) - at) for at in range(0, len(kept), MAX_ROWS)]
        new = [_new_batch(connection, collection, sequence, size) for size in sizes]
        for number, dims in found.values():
            blocks = dict(_blobs(connection, number, dims, old))
            together = np.concatenate([blocks[batch][rows] for batch, rows in rows_of.items()])
            _write_blobs(
                connection,
                [
                    (
                        packing.Place(number, batch, sequence, size, dims),
                        together[at * MAX_ROWS : at * MAX_ROWS + size],
                    )
                    for at, (batch, size) in enumerate(zip(new, sizes, strict=True))
                ],
            )
        connection.execute(
            _PUT,
            [
                {"example": row.pk, "batch": new[at // MAX_ROWS], "row": at % MAX_ROWS}
                for at, row in enumerate(kept)
            ],
        )
    connection.execute(delete(batches).where(batches.c.pk.in_(old)))


def _new_batch(connection: Connection, collection: int, sequence: int, n_rows: int) -> int:
    made: int = connection.execute(
        _NEW_BATCH, {"collection_pk": collection, "n_rows": n_rows, "sequence": sequence}
    ).scalar_one()
    return made


def _write_blobs(connection: Connection, blocks: Sequence[tuple[packing.Place, CodeArray]]) -> None:
    if blocks:
        connection.execute(
            _WRITE_BLOBS,
            [
                {"layer_pk": place.layer, "batch_pk": place.batch, **packing.pack(block, place)}
                for place, block in blocks
            ],
        )


def _blobs(connection: Connection, layer: int, dims: int, some: Sequence[int] | None) -> Any:
    """Yield (batch, its (n, d) array) of a layer, of all batches or of some."""
    if some is None:
        rows = connection.execute(_BLOBS, {"layer": layer})
    else:
        rows = connection.execute(_SOME_BLOBS, {"layer": layer, "some": some})
    for row in rows:
        place = packing.Place(layer, row.batch_pk, row.sequence, row.n_rows, dims)
        yield row.batch_pk, packing.unpack(row.dtype, row.crc32, row.blob, place)
