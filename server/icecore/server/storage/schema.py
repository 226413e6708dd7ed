"""The tables, in SQLAlchemy Core.

Rows point at each other by numbers that are never used again, so that a thing
made anew under an old id is another thing. Times are whole microseconds since
1970 (UTC). JSON is text with sorted keys. Texts compare by code point in every
keeper. What is large is in a table of its own, so that reading the small
things does not page through it.

`batches`, `layers`, `codes` and the place of an example in them are how the
SQLite keeper lays out codes; another keeper has its own way.

A change here needs a migration; a test compares the two.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

# SQLite numbers the rows of INTEGER columns alone.
Number = BigInteger().with_variant(Integer, "sqlite")
Word = Text().with_variant(Text(collation="C"), "postgresql")


def _numbered(name: str, *parts: Any) -> Table:
    # AUTOINCREMENT: else SQLite would give the number of a deleted last row again.
    key = Column("pk", Number, primary_key=True, autoincrement=True)
    return Table(name, metadata, key, *parts, sqlite_autoincrement=True)


def _points(name: str, table: str, *, is_key: bool = False, nullable: bool = False) -> Column[Any]:
    """A column that points at a row of `table` and is deleted with it."""
    target = ForeignKey(f"{table}.pk", ondelete="CASCADE")
    if is_key:
        return Column(name, Number, target, primary_key=True, autoincrement=False)
    return Column(name, Number, target, nullable=nullable)


def _column(name: str, kind: Any) -> Column[Any]:
    return Column(name, kind, nullable=False)


counters = Table(
    "counters",
    metadata,
    Column("name", Text, primary_key=True),
    _column("value", Number),
)

tenants = _numbered(
    "tenants",
    _column("tenant_id", Word),
    _column("create_time", Number),
    _column("stored_bytes", Number),
    UniqueConstraint("tenant_id", name="tenants_by_id"),
)

quotas = Table(
    "quotas",
    metadata,
    _points("tenant_pk", "tenants", is_key=True),
    _column("images_per_second", Float),
    _column("burst_images", Number),
    _column("max_images_in_flight", Number),
    _column("storage_bytes", Number),
    _column("weight", Float),
)

keys = _numbered(
    "keys",
    _column("key_id", Word),
    _points("tenant_pk", "tenants", nullable=True),  # null: the administrator's
    _column("key_hash", LargeBinary),
    _column("label", Text),
    _column("create_time", Number),
    UniqueConstraint("key_id", name="keys_by_id"),
    UniqueConstraint("key_hash", name="keys_by_hash"),
    Index("keys_by_tenant", "tenant_pk"),
)

mutations = _numbered(
    "mutations",
    _column("owner", Number),  # the tenant's number; 0: the administrators
    _column("request_id", Text),
    _column("method", Text),
    _column("fingerprint", Text),
    Column("answer", Text, nullable=True),  # null: what it told of has been deleted
    _column("subject", Word),  # what `answer` tells of; "": nothing that can be deleted
    _column("create_time", Number),
    UniqueConstraint("owner", "request_id", name="mutations_by_request"),
    Index("mutations_by_subject", "owner", "subject"),
    Index("mutations_by_time", "create_time"),
)

backbones = _numbered(
    "backbones",
    _column("digest", Word),  # of one that is not whole: its number, which is no digest
    _column("name", Word),
    _column("recipe", Text),
    _column("card", Text),
    _column("create_time", Number),
    _column("facts", Text),
    _column("state", Text),  # "coming", "whole" or "going"; only whole ones are seen
    _column("graph_sha256", Text),
    UniqueConstraint("digest", name="backbones_by_digest"),
    Index("backbones_by_state", "state"),
)

backbone_parts = Table(
    "backbone_parts",
    metadata,
    _points("backbone_pk", "backbones", is_key=True),
    Column("place", Number, primary_key=True, autoincrement=False),
    _column("part", LargeBinary),  # of the graph, in this order
)

backbone_names = Table(
    "backbone_names",
    metadata,
    Column("name", Word, primary_key=True),
    _points("backbone_pk", "backbones"),
    Index("backbone_names_by_backbone", "backbone_pk"),
)

collections = _numbered(
    "collections",
    _points("tenant_pk", "tenants"),
    _column("collection_id", Word),
    _column("backbone", Text),
    _column("digest", Text),
    _column("keep_images", Boolean),
    _column("has_outputs", Boolean),
    _column("create_time", Number),
    _column("sequence", Number),
    _column("stored_bytes", Number),  # of the tenant's, those of this collection
    UniqueConstraint("tenant_pk", "collection_id", name="collections_by_id"),
    Index("collections_by_digest", "digest"),
)

label_counts = Table(
    "label_counts",
    metadata,
    _points("collection_pk", "collections", is_key=True),
    Column("label", Word, primary_key=True),
    _column("n_examples", Number),
)

batches = _numbered(
    "batches",
    _points("collection_pk", "collections"),
    _column("n_rows", Number),
    _column("n_live", Number),  # rows that an example has; the others are zeros
    _column("sequence", Number),  # of the change that made it
    Index("batches_by_collection", "collection_pk", "n_live"),
)

examples = _numbered(
    "examples",
    _points("collection_pk", "collections"),
    _column("example_id", Word),
    _column("label", Text),
    _column("metadata", Text),
    _column("image_sha256", Text),
    _points("batch_pk", "batches"),
    _column("place", Number),  # the row of its codes in the batch, from 0
    UniqueConstraint("collection_pk", "example_id", name="examples_by_id"),
    Index("examples_by_batch", "batch_pk", "place"),
)

images = Table(
    "images",
    metadata,
    _points("example_pk", "examples", is_key=True),
    _column("crc32", Number),
    _column("image", LargeBinary),
)

layers = _numbered(
    "layers",
    _points("collection_pk", "collections"),
    _column("name", Text),
    _column("dims", Number),
    UniqueConstraint("collection_pk", "name", name="layers_by_name"),
)

codes = _numbered(
    "codes",
    _points("layer_pk", "layers"),
    _points("batch_pk", "batches"),
    _column("dtype", Text),
    # Bytes, since numbers vary in size, and only a row of the same size is changed in place.
    _column("checksum", LargeBinary),
    _column("blob", LargeBinary),
    UniqueConstraint("layer_pk", "batch_pk", name="codes_by_layer"),
    Index("codes_by_batch", "batch_pk"),
)

probes = _numbered(
    "probes",
    _points("tenant_pk", "tenants"),
    _column("probe_id", Word),
    _column("promoted_version", Number),  # 0: none
    _column("last_version", Number),
    _column("create_time", Number),
    UniqueConstraint("tenant_pk", "probe_id", name="probes_by_id"),
)

versions = _numbered(
    "versions",
    _points("probe_pk", "probes"),
    _column("version", Number),
    _column("state", Text),
    _column("kind", Text),
    _column("collection_id", Text),
    _column("request", Text),
    Column("result", Text, nullable=True),
    _column("file_digest", Text),
    _column("failure_reason", Text),
    _column("failure_message", Text),
    _column("seconds", Float),
    _column("create_time", Number),
    _column("digest", Word),  # of the backbone that it pins; "": not known
    UniqueConstraint("probe_pk", "version", name="versions_by_number"),
    Index("versions_by_state", "state"),
    Index("versions_by_digest", "digest"),
)

probe_files = Table(
    "probe_files",
    metadata,
    _points("version_pk", "versions", is_key=True),
    _column("file", LargeBinary),
)

held_out_answers = Table(
    "held_out_answers",
    metadata,
    _points("version_pk", "versions", is_key=True),
    _column("answers", LargeBinary),
)
