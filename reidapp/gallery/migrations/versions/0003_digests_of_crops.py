"""Digests of the stored crops, by which damage is seen"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("crop", sa.Column("digest", sa.String(), nullable=True))
