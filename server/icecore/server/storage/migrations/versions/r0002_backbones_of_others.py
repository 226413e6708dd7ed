"""Backbones that come and go: their graphs in parts, what is known of them, who pins them."""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
PART_BYTES = 4 << 20


def upgrade() -> None:
    op.add_column("backbones", sa.Column("facts", sa.Text(), nullable=False, server_default="{}"))
    op.add_column(
        "backbones", sa.Column("state", sa.Text(), nullable=False, server_default="whole")
    )
    op.add_column(
        "backbones", sa.Column("graph_sha256", sa.Text(), nullable=False, server_default="")
    )
    op.add_column("versions", sa.Column("digest", WORD, nullable=False, server_default=""))
    op.create_table(
        "backbone_parts",
        sa.Column("backbone_pk", NUMBER, autoincrement=False, nullable=False),
        sa.Column("place", NUMBER, autoincrement=False, nullable=False),
        sa.Column("part", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["backbone_pk"], ["backbones.pk"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("backbone_pk", "place"),
    )
    _divide_graphs(op.get_bind())
    op.drop_table("backbone_graphs")
    _pin_versions(op.get_bind())
    op.create_index("backbones_by_state", "backbones", ["state"])
    op.create_index("collections_by_digest", "collections", ["digest"])
    op.create_index("versions_by_digest", "versions", ["digest"])


def _divide_graphs(connection: sa.Connection) -> None:
    numbers = connection.execute(sa.text("SELECT backbone_pk FROM backbone_graphs")).scalars()
    for number in numbers.all():
        graph, sha256 = connection.execute(
            sa.text("SELECT graph, sha256 FROM backbone_graphs WHERE backbone_pk = :pk"),
            {"pk": number},
        ).one()
        connection.execute(
            sa.text("UPDATE backbones SET graph_sha256 = :sha256 WHERE pk = :pk"),
            {"pk": number, "sha256": sha256},
        )
        for place, start in enumerate(range(0, len(graph), PART_BYTES)):
            connection.execute(
                sa.text("INSERT INTO backbone_parts VALUES (:pk, :place, :part)"),
                {"pk": number, "place": place, "part": graph[start : start + PART_BYTES]},
            )


def _pin_versions(connection: sa.Connection) -> None:
    """A trained version says its digest itself; for others it is their collection's, if that is."""
    rows = connection.execute(
        sa.text(
            "SELECT versions.pk, versions.result, collections.digest FROM versions"
            " JOIN probes ON probes.pk = versions.probe_pk"
            " LEFT JOIN collections ON collections.tenant_pk = probes.tenant_pk"
            " AND collections.collection_id = versions.collection_id"
        )
    ).all()
    for number, result, digest in rows:
        connection.execute(
            sa.text("UPDATE versions SET digest = :digest WHERE pk = :pk"),
            {"pk": number, "digest": _told(result) or digest or ""},
        )


def _told(result: str | None) -> str:
    try:
        tap: Any = json.loads(json.loads(result or "")["tap"])
        return str(tap["digest"])
    except (KeyError, TypeError, ValueError):
        return ""
