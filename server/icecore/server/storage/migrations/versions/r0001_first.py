"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "backbones",
        sa.Column("pk", NUMBER, autoincrement=True, nullable=False),
        sa.Column("digest", WORD, nullable=False),
        sa.Column("name", WORD, nullable=False),
        sa.Column("recipe", sa.Text(), nullable=False),
        sa.Column("card", sa.Text(), nullable=False),
        sa.Column("create_time", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("pk"),
        sa.UniqueConstraint("digest", name="backbones_by_digest"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "mutations",
        sa.Column("pk", NUMBER, autoincrement=True, nullable=False),
        sa.Column("owner", NUMBER, nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("subject", WORD, nullable=False),
        sa.Column("create_time", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("pk"),
        sa.UniqueConstraint("owner", "request_id", name="mutations_by_request"),
        sqlite_autoincrement=True,
    )
    op.create_index("mutations_by_subject", "mutations", ["owner", "subject"])
    op.create_index("mutations_by_time", "mutations", ["create_time"])
    op.create_table(
        "tenants",
        sa.Column("pk", NUMBER, autoincrement=True, nullable=False),
        sa.Column("tenant_id", WORD, nullable=False),
        sa.Column("create_time", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("pk"),
        sa.UniqueConstraint("tenant_id", name="tenants_by_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "backbone_graphs",
        sa.Column("backbone_pk", NUMBER, autoincrement=False, nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("graph", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["backbone_pk"], ["backbones.pk"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("backbone_pk"),
    )
    op.create_table(
        "backbone_names",
        sa.Column("name", WORD, nullable=False),
        sa.Column("backbone_pk", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["backbone_pk"], ["backbones.pk"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index("backbone_names_by_backbone", "backbone_names", ["backbone_pk"])
    op.create_table(
        "collections",
        sa.Column("pk", NUMBER, autoincrement=True, nullable=False),
        sa.Column("tenant_pk", NUMBER, nullable=False),
        sa.Column("collection_id", WORD, nullable=False),
        sa.Column("backbone", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("keep_images", sa.Boolean(), nullable=False),
        sa.Column("create_time", NUMBER, nullable=False),
        sa.Column("sequence", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["tenant_pk"], ["tenants.pk"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("pk"),
        sa.UniqueConstraint("tenant_pk", "collection_id", name="collections_by_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "keys",
        sa.Column("pk", NUMBER, autoincrement=True, nullable=False),
        sa.Column("key_id", WORD, nullable=False),
        sa.Column("tenant_pk", NUMBER, nullable=True),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("create_time", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["tenant_pk"], ["tenants.pk"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("pk"),
        sa.UniqueConstraint("key_hash", name="keys_by_hash"),
        sa.UniqueConstraint("key_id", name="keys_by_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("keys_by_tenant", "keys", ["tenant_pk"])
    op.create_table(
        "probes",
        sa.Column("pk", NUMBER, autoincrement=True, nullable=False),
        sa.Column("tenant_pk", NUMBER, nullable=False),
        sa.Column("probe_id", WORD, nullable=False),
        sa.Column("promoted_version", NUMBER, nullable=False),
        sa.Column("last_version", NUMBER, nullable=False),
        sa.Column("create_time", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["tenant_pk"], ["tenants.pk"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("pk"),
        sa.UniqueConstraint("tenant_pk", "probe_id", name="probes_by_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "batches",
        sa.Column("pk", NUMBER, autoincrement=True, nullable=False),
        sa.Column("collection_pk", NUMBER, nullable=False),
        sa.Column("n_rows", NUMBER, nullable=False),
        sa.Column("n_live", NUMBER, nullable=False),
        sa.Column("sequence", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["collection_pk"], ["collections.pk"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("pk"),
        sqlite_autoincrement=True,
    )
    op.create_index("batches_by_collection", "batches", ["collection_pk", "n_live"])
    op.create_table(
        "label_counts",
        sa.Column("collection_pk", NUMBER, autoincrement=False, nullable=False),
        sa.Column("label", WORD, nullable=False),
        sa.Column("n_examples", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["collection_pk"], ["collections.pk"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("collection_pk", "label"),
    )
    op.create_table(
        "layers",
        sa.Column("pk", NUMBER, autoincrement=True, nullable=False),
        sa.Column("collection_pk", NUMBER, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("dims", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["collection_pk"], ["collections.pk"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("pk"),
        sa.UniqueConstraint("collection_pk", "name", name="layers_by_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "versions",
        sa.Column("pk", NUMBER, autoincrement=True, nullable=False),
        sa.Column("probe_pk", NUMBER, nullable=False),
        sa.Column("version", NUMBER, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("collection_id", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("file_digest", sa.Text(), nullable=False),
        sa.Column("failure_reason", sa.Text(), nullable=False),
        sa.Column("failure_message", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("create_time", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["probe_pk"], ["probes.pk"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("pk"),
        sa.UniqueConstraint("probe_pk", "version", name="versions_by_number"),
        sqlite_autoincrement=True,
    )
    op.create_index("versions_by_state", "versions", ["state"])
    op.create_table(
        "codes",
        sa.Column("pk", NUMBER, autoincrement=True, nullable=False),
        sa.Column("layer_pk", NUMBER, nullable=False),
        sa.Column("batch_pk", NUMBER, nullable=False),
        sa.Column("dtype", sa.Text(), nullable=False),
        sa.Column("checksum", sa.LargeBinary(), nullable=False),
        sa.Column("blob", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["batch_pk"], ["batches.pk"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["layer_pk"], ["layers.pk"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("pk"),
        sa.UniqueConstraint("layer_pk", "batch_pk", name="codes_by_layer"),
        sqlite_autoincrement=True,
    )
    op.create_index("codes_by_batch", "codes", ["batch_pk"])
    op.create_table(
        "examples",
        sa.Column("pk", NUMBER, autoincrement=True, nullable=False),
        sa.Column("collection_pk", NUMBER, nullable=False),
        sa.Column("example_id", WORD, nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("image_sha256", sa.Text(), nullable=False),
        sa.Column("batch_pk", NUMBER, nullable=False),
        sa.Column("place", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["batch_pk"], ["batches.pk"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["collection_pk"], ["collections.pk"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("pk"),
        sa.UniqueConstraint("collection_pk", "example_id", name="examples_by_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("examples_by_batch", "examples", ["batch_pk", "place"])
    op.create_table(
        "probe_files",
        sa.Column("version_pk", NUMBER, autoincrement=False, nullable=False),
        sa.Column("file", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["version_pk"], ["versions.pk"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("version_pk"),
    )
    op.create_table(
        "images",
        sa.Column("example_pk", NUMBER, autoincrement=False, nullable=False),
        sa.Column("crc32", NUMBER, nullable=False),
        sa.Column("image", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["example_pk"], ["examples.pk"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("example_pk"),
    )
