"""The crops of a gallery, as indexing stored them."""

from pathlib import Path

from reidapp.gallery import store
from reidapp.gallery.crops import stored_crops
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
        crops = stored_crops(gallery)
        self.cameras = sorted({crop.camera for crop in crops})
        self.tracklets = sorted({crop.tracklet for crop in crops})
        camera = {name: number for number, name in enumerate(self.cameras)}
        tracklet = {id_: number for number, id_ in enumerate(self.tracklets)}
        super().__init__(
            Record(crop.file, UNLABELLED, camera[crop.camera], tracklet=tracklet[crop.tracklet], time_s=crop.time_s)
            for crop in crops
        )
        self.apart = [(tracklet[one], tracklet[other]) for one, other in simultaneous(gallery)]
