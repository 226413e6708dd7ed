"""How codes lie in SQLite: batches of rows, one blob a batch and layer.

Reading one layer touches no other. The rows of deleted examples become zeros:
SQLite then writes only the pages that changed, while leaving them out would
write the whole batch at all layers, 10 MB. Batches that are half empty, and
small ones where many have gathered, are packed anew: each row is written about
three times at most, and a collection has about thirty small batches at most.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from icecore.server.errors import StorageCorrupt
from icecore.server.storage.change import Change
from icecore.server.storage.records import CodeArray
from icecore.server.storage.sqlite import code_statements as statements
from icecore.server.storage.sqlite import packing

MAX_ROWS = 256
"""Rows of a batch: 10,000 examples are 40 blobs a layer."""

_TIERS = ((1, 16), (16, 128))
"""Sizes of small batches, from and below; each tier is packed by itself."""

_GATHERED = 16
"""So many batches in one tier are packed together."""

_AT_ONCE = 16
"""Batches whose rows of one layer are in memory together."""

Layers = Mapping[str, tuple[int, int]]
"""A layer's number and dims, by its name."""

Numbers = npt.NDArray[np.int64]


def layers_of(connection: Connection, collection: int) -> dict[str, tuple[int, int]]:
    rows = connection.execute(statements.LAYERS, {"collection": collection})
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
            statements.NEW_LAYERS,
            [
                {"collection_pk": collection, "name": name, "dims": dims}
                for name, dims in wanted.items()
            ],
        )
        found = layers_of(change.connection, collection)
    there = {name: dims for name, (_, dims) in found.items()}
    if wanted != there:
        raise ValueError(
            f"the core has layers {wanted!r}, but the collection's examples have {there!r}"
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
        change.n_bytes += _write_blobs(
            change.connection,
            [
                (packing.Place(number, batch, sequence, stop - start, dims), core[name][start:stop])
                for name, (number, dims) in found.items()
            ],
        )
        places.extend((batch, row) for row in range(stop - start))
    return places


def erase(
    change: Change, collection: int, sequence: int, gone: Mapping[int, Sequence[int]]
) -> None:
    """Overwrite the rows, by batch, of examples that are deleted already."""
    connection = change.connection
    rows = connection.execute(statements.SIZES, {"some": list(gone)}).all()
    left = {row.pk: row.n_live - len(gone[row.pk]) for row in rows}
    for row in connection.execute(statements.ROW_BYTES, {"some": list(gone)}):
        change.n_bytes -= row.n_bytes * len(gone[row.batch_pk])
    to_pack = [row.pk for row in rows if 2 * left[row.pk] < row.n_rows]
    to_change = sorted(left.keys() - set(to_pack))
    for start in range(0, len(to_change), _AT_ONCE):
        some = to_change[start : start + _AT_ONCE]
        for number, dims in layers_of(connection, collection).values():
            changed = []
            for place, _, block in list(_blobs(connection, number, dims, some)):
                zeroed = block.copy()
                zeroed[gone[place.batch]] = 0
                packed = packing.pack(zeroed, place)
                changed.append(
                    {
                        "layer": number,
                        "batch": place.batch,
                        "new_checksum": packed["checksum"],
                        "new_blob": packed["blob"],
                    }
                )
            connection.execute(statements.CHANGE_BLOB, changed)
    if to_change:
        connection.execute(
            statements.SET_LIVE, [{"batch": batch, "live": left[batch]} for batch in to_change]
        )
    _repack(change, collection, sequence, to_pack)


def tidy(change: Change, collection: int, sequence: int) -> None:
    """Pack small batches together where many have gathered."""
    below_all = _TIERS[-1][-1]
    small = change.connection.execute(
        statements.SMALL, {"collection": collection, "below": below_all}
    ).all()
    for at_least, below in _TIERS:
        tier = sorted(row.pk for row in small if at_least <= row.n_live < below)
        if len(tier) >= _GATHERED:
            _repack(change, collection, sequence, tier)


def read(
    connection: Connection, layer: tuple[int, int], batch_of: Numbers, row_of: Numbers
) -> CodeArray:
    """Return one layer's codes, (n, d), of examples at (batch, row) of all their batches.

    Raises:
        StorageCorrupt: a checksum is wrong, or a blob or row is missing.
    """
    number, dims = layer
    order = np.lexsort((row_of, batch_of))
    held, starts = np.unique(batch_of[order], return_index=True)
    parts = np.split(order, starts[1:]) if len(held) else []
    where = dict(zip(held.tolist(), parts, strict=True))
    out: CodeArray = np.empty((len(batch_of), dims), np.float16)
    for place, n_live, block in _blobs(connection, number, dims, None):
        to = where.pop(place.batch, order[:0])
        rows = row_of[to]
        if not (0 < len(rows) == n_live and rows[-1] < place.n_rows and (np.diff(rows) > 0).all()):
            raise StorageCorrupt(f"batch {place.batch} of codes does not fit the examples in it")
        if block.dtype != out.dtype and out.dtype == np.float16:
            out = out.astype(np.float32)
        out[to] = block[rows]
    if where:
        raise StorageCorrupt(f"codes are missing: layer {number}, batch {min(where)}")
    return out


def _repack(change: Change, collection: int, sequence: int, old: Sequence[int]) -> None:
    """Write the rows of these batches that examples have anew; delete the batches.

    Where some of a layer's codes are float16 and some float32, all become float32.
    """
    for start in range(0, len(old), _AT_ONCE):
        _repack_some(change, collection, sequence, old[start : start + _AT_ONCE])


def _repack_some(change: Change, collection: int, sequence: int, old: Sequence[int]) -> None:
    connection = change.connection
    kept = connection.execute(statements.EXAMPLES, {"some": old}).all()
    if kept:
        sizes = [min(MAX_ROWS, len(kept) - at) for at in range(0, len(kept), MAX_ROWS)]
        new = [_new_batch(connection, collection, sequence, size) for size in sizes]
        rows_of: dict[int, list[int]] = {}
        for row in kept:
            rows_of.setdefault(row.batch_pk, []).append(row.place)
        for number, dims in layers_of(connection, collection).values():
            blocks = {
                place.batch: block for place, _, block in _blobs(connection, number, dims, old)
            }
            live = [blocks[batch][rows] for batch, rows in rows_of.items()]
            change.n_packed_bytes -= sum(rows.nbytes for rows in live)
            together = np.concatenate(live)
            parts = np.split(together, range(MAX_ROWS, len(kept), MAX_ROWS))
            places = [
                packing.Place(number, batch, sequence, size, dims)
                for batch, size in zip(new, sizes, strict=True)
            ]
            change.n_packed_bytes += _write_blobs(connection, list(zip(places, parts, strict=True)))
        connection.execute(
            statements.MOVE_EXAMPLE,
            [
                {"example": row.pk, "batch": new[at // MAX_ROWS], "row": at % MAX_ROWS}
                for at, row in enumerate(kept)
            ],
        )
    connection.execute(statements.DELETE_BATCHES, {"some": old})


def _new_batch(connection: Connection, collection: int, sequence: int, n_rows: int) -> int:
    made: int = connection.execute(
        statements.NEW_BATCH,
        {"collection_pk": collection, "n_rows": n_rows, "n_live": n_rows, "sequence": sequence},
    ).scalar_one()
    return made


def _write_blobs(connection: Connection, blocks: Sequence[tuple[packing.Place, CodeArray]]) -> int:
    """Return how many bytes of codes they are."""
    if blocks:
        connection.execute(
            statements.NEW_BLOBS,
            [
                {"layer_pk": place.layer, "batch_pk": place.batch, **packing.pack(block, place)}
                for place, block in blocks
            ],
        )
    return sum(block.nbytes for _, block in blocks)


def _blobs(
    connection: Connection, layer: int, dims: int, some: Sequence[int] | None
) -> Iterator[tuple[packing.Place, int, CodeArray]]:
    """Yield (place, live rows, (n, d) array) of a layer's batches, all or some.

    Raises:
        StorageCorrupt: a checksum is wrong.
    """
    if some is None:
        rows = connection.execute(statements.BLOBS, {"layer": layer})
    else:
        rows = connection.execute(statements.SOME_BLOBS, {"layer": layer, "some": some})
    for row in rows:
        place = packing.Place(layer, row.batch_pk, row.sequence, row.n_rows, dims)
        yield place, row.n_live, packing.unpack(row.dtype, row.checksum, row.blob, place)
