"""Whether a collection's core has the network's own outputs; that of collections before has not."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "collections",
        sa.Column("has_outputs", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
