"""The SQL of batches of codes, built once: building a statement costs more than running it."""

from sqlalchemy import bindparam as parameter
from sqlalchemy import case, delete, func, insert, select, update

from icecore.server.storage.schema import batches, codes, examples, layers

LAYERS = (
    select(layers.c.name, layers.c.pk, layers.c.dims)
    .where(layers.c.collection_pk == parameter("collection"))
    .order_by(layers.c.pk)
)
NEW_LAYERS = insert(layers)

SMALL = select(batches.c.pk, batches.c.n_live).where(
    batches.c.collection_pk == parameter("collection"), batches.c.n_live < parameter("below")
)
SIZES = select(batches.c.pk, batches.c.n_rows, batches.c.n_live).where(
    batches.c.pk.in_(parameter("some", expanding=True))
)
ROW_BYTES = (
    select(
        codes.c.batch_pk,
        func.sum(layers.c.dims * case((codes.c.dtype == "float16", 2), else_=4)).label("n_bytes"),
    )
    .join_from(codes, layers)
    .where(codes.c.batch_pk.in_(parameter("some", expanding=True)))
    .group_by(codes.c.batch_pk)
)
NEW_BATCH = insert(batches).returning(batches.c.pk)
SET_LIVE = (
    update(batches).where(batches.c.pk == parameter("batch")).values(n_live=parameter("live"))
)
DELETE_BATCHES = delete(batches).where(batches.c.pk.in_(parameter("some", expanding=True)))

EXAMPLES = (
    select(examples.c.pk, examples.c.batch_pk, examples.c.place)
    .where(examples.c.batch_pk.in_(parameter("some", expanding=True)))
    .order_by(examples.c.batch_pk, examples.c.place)
)
MOVE_EXAMPLE = (
    update(examples)
    .where(examples.c.pk == parameter("example"))
    .values(batch_pk=parameter("batch"), place=parameter("row"))
)

BLOBS = (
    select(
        codes.c.batch_pk,
        codes.c.dtype,
        codes.c.checksum,
        codes.c.blob,
        batches.c.n_rows,
        batches.c.n_live,
        batches.c.sequence,
    )
    .join_from(codes, batches)
    .where(codes.c.layer_pk == parameter("layer"))
    .order_by(codes.c.batch_pk)
)
SOME_BLOBS = BLOBS.where(codes.c.batch_pk.in_(parameter("some", expanding=True)))
NEW_BLOBS = insert(codes)
CHANGE_BLOB = (
    update(codes)
    .where(codes.c.layer_pk == parameter("layer"), codes.c.batch_pk == parameter("batch"))
    .values(checksum=parameter("new_checksum"), blob=parameter("new_blob"))
)
