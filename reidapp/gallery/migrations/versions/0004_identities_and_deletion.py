"""Identities with the log of what was done to them, saved searches with answers, deletion"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "identity",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "member",
        sa.Column("identity_id", sa.String(), nullable=False),
        sa.Column("tracklet_id", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["identity_id"], ["identity.id"]),
        sa.PrimaryKeyConstraint("identity_id", "tracklet_id"),
    )
    op.create_index(op.f("ix_member_tracklet_id"), "member", ["tracklet_id"], unique=False)
    yes = sa.text("verdict = 'yes'")
    op.create_index("ix_member_yes", "member", ["tracklet_id"], unique=True, sqlite_where=yes, postgresql_where=yes)
    op.create_table(
        "identity_action",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("told", sa.String(), nullable=False),
        sa.Column("of", sa.Integer(), nullable=True),
        sa.Column("changes", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["of"], ["identity_action.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "saved_search",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("pictures", sa.Integer(), nullable=False),
        sa.Column("tracklets", sa.JSON(), nullable=False),
        sa.Column("identity", sa.String(), nullable=True),
        sa.Column("filters", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["identity"], ["identity.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "answer",
        sa.Column("search_id", sa.String(), nullable=False),
        sa.Column("tracklet_id", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["search_id"], ["saved_search.id"]),
        sa.PrimaryKeyConstraint("search_id", "tracklet_id"),
    )
    op.create_index(op.f("ix_answer_tracklet_id"), "answer", ["tracklet_id"], unique=False)
    op.create_table(
        "deleted",
        sa.Column("video_id", sa.String(), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("video_id"),
    )
    op.create_index(op.f("ix_deleted_file"), "deleted", ["file"], unique=False)
    op.create_table(
        "leftover",
        sa.Column("path", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("path"),
    )
