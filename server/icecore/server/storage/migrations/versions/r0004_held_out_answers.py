"""What the held-out images of a version were taken for; versions of before have none."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "held_out_answers",
        sa.Column("version_pk", NUMBER, autoincrement=False, nullable=False),
        sa.Column("answers", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["version_pk"], ["versions.pk"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("version_pk"),
    )
