"""Quotas, and how many bytes each tenant and each collection has in the store."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    for table in ("tenants", "collections"):
        op.add_column(table, sa.Column("stored_bytes", NUMBER, nullable=False, server_default="0"))
    op.create_table(
        "quotas",
        sa.Column("tenant_pk", NUMBER, autoincrement=False, nullable=False),
        sa.Column("images_per_second", sa.Float(), nullable=False),
        sa.Column("burst_images", NUMBER, nullable=False),
        sa.Column("max_images_in_flight", NUMBER, nullable=False),
        sa.Column("storage_bytes", NUMBER, nullable=False),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_pk"], ["tenants.pk"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_pk"),
    )
    if op.get_bind().dialect.name == "sqlite":  # no other keeper has data from before this
        for statement in COUNT_WHAT_IS_THERE:
            op.execute(statement)


def _words(*columns: str) -> str:
    return " + ".join(f"coalesce(length(CAST({column} AS BLOB)), 0)" for column in columns)


# Blobs are not cast: their length is known without reading them.
COUNT_WHAT_IS_THERE = (
    f"""
    UPDATE collections SET stored_bytes = {_words("collection_id", "backbone", "digest")}
        + coalesce((
            SELECT sum({_words("example_id", "label", "metadata")} + coalesce(length(image), 0))
            FROM examples LEFT JOIN images ON images.example_pk = examples.pk
            WHERE examples.collection_pk = collections.pk), 0)
        + coalesce((
            SELECT sum(length(blob) / n_rows * n_live)
            FROM batches JOIN codes ON codes.batch_pk = batches.pk
            WHERE batches.collection_pk = collections.pk), 0)
    """,  # noqa: S608 - the names are ours
    f"""
    UPDATE tenants SET stored_bytes = coalesce((
            SELECT sum(stored_bytes) FROM collections WHERE tenant_pk = tenants.pk), 0)
        + coalesce((
            SELECT sum({_words("probe_id")}) FROM probes WHERE tenant_pk = tenants.pk), 0)
        + coalesce((
            SELECT sum({_words("request", "result")} + coalesce(length(file), 0))
            FROM probes JOIN versions ON versions.probe_pk = probes.pk
            LEFT JOIN probe_files ON probe_files.version_pk = versions.pk
            WHERE probes.tenant_pk = tenants.pk), 0)
    """,  # noqa: S608
)
"""As `rows.stored` says."""
