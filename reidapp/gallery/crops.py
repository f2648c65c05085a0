"""The stored crops of a gallery, each with its camera, tracklet and time."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from reidapp.gallery import schema
from reidapp.gallery.pieces import roots
from reidapp.gallery.store import Gallery


@dataclass(frozen=True)
class StoredCrop:
    """A best shot.

    Attributes:
        tracklet: the first piece of those that continue one another.
        time_s: seconds since 1970, UTC.
    """

    file: Path
    tracklet: str
    camera: str
    time_s: float


def stored_crops(gallery: Gallery) -> list[StoredCrop]:
    """All, camera by camera, each camera's in order of time."""
    crops = (
        select(
            schema.Crop.chunk_id,
            schema.Crop.id,
            schema.Crop.tracklet_id,
            schema.Camera.name,
            schema.Video.start_ms / 1000 + schema.Crop.time_s,
        )
        .join(schema.Chunk, schema.Chunk.id == schema.Crop.chunk_id)
        .join(schema.Video, schema.Video.id == schema.Chunk.video_id)
        .join(schema.Camera, schema.Camera.id == schema.Video.camera_id)
        .order_by(schema.Camera.name, schema.Video.start_ms, schema.Video.id, schema.Crop.time_s, schema.Crop.id)
    )
    with Session(gallery.engine) as session:
        first_piece = roots(session)
        return [
            StoredCrop(gallery.crop_path(chunk_id, crop_id), first_piece.get(piece, piece), camera, float(time_s))
            for chunk_id, crop_id, piece, camera, time_s in session.execute(crops)
        ]
