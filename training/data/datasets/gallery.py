"""The crops of a gallery, as indexing stored them."""

from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from reidapp.gallery import schema, store
from reidapp.gallery.simultaneous import simultaneous
from training.data.datasets import UNLABELLED, Dataset, Record


class Gallery(Dataset):
    """``gallery:DIR``: a gallery's crops to train on, nobody named, each with its camera, tracklet and time.

    Cameras and tracklets are numbered from 0 in the order of their names and ids; pieces that continue one another are
    one tracklet. ``apart`` are the tracklets that were seen at the same time in one camera (`simultaneous`).

    Attributes:
        cameras: names, by number.
        tracklets: ids, by number.
    """

    protocol = "gallery"

    def __init__(self, folder: Path) -> None:
        gallery = store.Gallery.open(folder)
        with Session(gallery.engine) as session:
            first_piece = store.roots(session)
            rows = session.execute(
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
                .order_by(
                    schema.Camera.name, schema.Video.start_ms, schema.Video.id, schema.Crop.time_s, schema.Crop.id
                )
            ).all()
        self.cameras = sorted({row[3] for row in rows})
        self.tracklets = sorted({first_piece.get(row[2], row[2]) for row in rows})
        camera = {name: number for number, name in enumerate(self.cameras)}
        tracklet = {id_: number for number, id_ in enumerate(self.tracklets)}
        super().__init__(
            Record(
                gallery.crop_path(chunk_id, crop_id),
                UNLABELLED,
                camera[name],
                tracklet=tracklet[first_piece.get(piece, piece)],
                time_s=float(time_s),
            )
            for chunk_id, crop_id, piece, name, time_s in rows
        )
        self.apart = [(tracklet[one], tracklet[other]) for one, other in simultaneous(gallery)]
