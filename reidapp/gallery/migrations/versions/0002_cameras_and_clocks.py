"""Cameras: clock offsets, groups, earlier names; starts as they were written, to compute them again"""

import json
import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# A time of day that says its zone: …T10-00-00Z, …_100000+0100, …T100000-0400.
_TIME = r"\d{2}[-_.:h]?\d{2}[-_.:m]?\d{2}(?:\.\d+)?"
_OWN_ZONE = re.compile(rf"{_TIME}(?:[Zz]|\+\d{{2}}:?\d{{2}})(?!\d)|[Tt]{_TIME}-\d{{2}}:?\d{{2}}(?!\d)")


def upgrade() -> None:
    op.add_column("camera", sa.Column("offset_s", sa.Double(), nullable=False, server_default="0"))
    op.add_column("camera", sa.Column("group", sa.String(), nullable=True))
    op.create_table(
        "camera_alias",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("camera_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["camera_id"], ["camera.id"]),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_index(op.f("ix_camera_alias_camera_id"), "camera_alias", ["camera_id"], unique=False)
    op.add_column("video", sa.Column("written", sa.String(), nullable=False, server_default=""))
    names = ("id", "camera_id", "path", "start_ms", "start_source", "settings", "written")
    videos = sa.table("video", *map(sa.column, names))
    cameras = sa.table("camera", sa.column("id"), sa.column("zone"))
    connection = op.get_bind()
    found = connection.execute(sa.select(videos, cameras.c.zone).join(cameras, cameras.c.id == videos.c.camera_id))
    filled = [{"key": row.id, "text": _as_written(row)} for row in found]
    if filled:
        change = videos.update().where(videos.c.id == sa.bindparam("key")).values(written=sa.bindparam("text"))
        connection.execute(change, filled)


def _as_written(row: sa.Row) -> str:
    """The start on the camera's clock, where the path had it without a zone, and in UTC elsewhere."""
    time = datetime.fromtimestamp(row.start_ms / 1000, UTC)
    if row.start_source in ("template", "name") and not _OWN_ZONE.search(row.path):
        zone = json.loads(row.settings).get("zone", row.zone)  # of the run that read the path
        time = time.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    return time.isoformat()
