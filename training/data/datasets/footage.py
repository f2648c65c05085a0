"""People cut out of generated footage."""

import os
import re
import tempfile
from pathlib import Path

import numpy as np

from reidapp.box import Box
from reidapp.errors import UserError
from reidapp.files import locked
from reidapp.footage.decoding import frames, probe
from reidapp.imaging import cut, encode_crop
from reidapp.truth import HALF, Truth
from training.data.datasets import Dataset, Record, images_in
from training.data.synthetic.seeds import check_training_footage
from training.progress import Notes, bar

FPS = 3.0
_NAME = re.compile(r"(?P<person>\d+)_c(?P<camera>\d+)_(?P<millis>\d+)")  # the time since 1970 UTC


class Footage(Dataset):
    """``footage:DIR``: everybody in what `reidapp synth footage` wrote, three times a second; all of it to train on.

    Each crop has its person, camera and time. People who are hidden by more than half are left out. Boxes are the
    truth's, moved and widened as a detector's might be. Crops are cut out once, into ``DIR/crops``; without that
    folder, they are cut out again.

    Raises:
        UserError: neither crops nor footage with its truth in the folder, a world of `reidapp bench`, or a folder that
            cannot be written to.
    """

    protocol = "footage"

    def __init__(self, folder: Path) -> None:
        check_training_footage(folder)
        crops = folder / "crops"
        if not crops.is_dir():
            truth = Truth.read(folder)
            try:
                with locked(folder / ".crops.lock"):  # of several processes that train together, one cuts
                    if not crops.is_dir():
                        _cut_out(folder, truth, crops)
            except OSError as error:
                raise UserError(f"data footage:{folder}: crops cannot be written there ({error.strerror})") from error
        images = images_in(crops)
        names = [_NAME.fullmatch(image.stem) for image in images]
        super().__init__(
            (
                Record(image, int(name["person"]), int(name["camera"]), time_s=int(name["millis"]) / 1000)
                for image, name in zip(images, names, strict=True)
                if name
            ),
            skipped=[
                (image, "its name is not PERSON_cCAMERA_TIME")
                for image, name in zip(images, names, strict=True)
                if not name
            ],
        )


def _cut_out(folder: Path, truth: Truth, crops: Path) -> None:
    """Write all crops, or none."""
    rng, console = np.random.default_rng(0), Notes().console
    videos = sorted({(sighting.camera, sighting.video) for sighting in truth.sightings})
    count = sum(round(probe(folder / video).duration_s * FPS) for _, video in videos)
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix=".crops.") as place,
        bar("cutting people out", count, console, quiet=not console.is_terminal) as advance,
    ):
        half_made = Path(place) / "crops"
        half_made.mkdir()
        for camera, video in videos:
            number = truth.cameras.index(camera) + 1
            for frame in frames(folder / video, 0.0, float("inf"), FPS):
                for sighting in truth.at(camera, frame.time_s):
                    if sighting.video == video and sighting.visible >= HALF:
                        crop = cut(frame.image, _as_detected(sighting.box, frame.image.shape, rng))
                        name = f"{sighting.person:04d}_c{number}_{round(sighting.time.timestamp() * 1000)}.webp"
                        (half_made / name).write_bytes(encode_crop(crop))
                advance(1)
        os.rename(half_made, crops)


def _as_detected(box: Box, shape: tuple[int, ...], rng: np.random.Generator) -> Box:
    """Of about the shape and with about the errors that generated crops have (`training.data.synthetic.crops`)."""
    tall = box.height * rng.uniform(0.94, 1.12)
    wide = max(tall * shape[0] / shape[1] * rng.uniform(0.34, 0.52), 0.72 * box.width)
    x = box.centre[0] + rng.normal(0, 0.05) * wide
    y = box.centre[1] + rng.normal(0, 0.02) * tall
    return Box(x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2)
