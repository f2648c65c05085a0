"""Cases that are closed"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("case_file", sa.Column("closed", sa.String(), nullable=True))
