"""From the user's picture to a query: the one person in it who is meant."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reidapp.embedding import Embeds
from reidapp.errors import UserError
from reidapp.footage.detection import Detection, Detector
from reidapp.gallery.store import Gallery
from reidapp.imaging import cut, read_image
from reidapp.query_quality import QueryWarning, quality_warnings

# A crop of a standing person is about twice as high as wide, and small. A telephone's picture is upright too, but large
# (height : width 1.3 to 1.8), and its people are smaller or several. Detectors are not asked about what must be a crop:
# they are trained on people with some space around them, and find nonsense in a tight one.
_UPRIGHT = 1.4
_NARROW = 1.9
_SMALL_PX = 400  # of height; a gallery's own crops have at most 384
_CROP_FILLED = 0.7  # of the height


@dataclass(frozen=True)
class QueryImage:
    """A picture, and the people found in it from left to right; none if it is a crop of one person already.

    Attributes:
        image: RGB uint8 ``[H, W, 3]``.
        is_crop: the picture is upright, and is small, or narrow, or filled by one person, or nobody is found in it.
    """

    image: np.ndarray
    people: list[Detection]
    is_crop: bool

    @property
    def nobody(self) -> bool:
        """Nobody was found where people were looked for."""
        return not self.people and not self.is_crop

    def crop(self, person: int | None = None) -> np.ndarray:
        """The pixels to search with.

        Args:
            person: number of the person who is meant, from 1, left to right; None if there is no choice.

        Raises:
            UserError: several people and none chosen, or no such person.
        """
        if person is not None:
            if self.is_crop:
                raise UserError(f"person {person}: the picture is a crop of one person already; leave the number out")
            if not 1 <= person <= len(self.people):
                raise UserError(
                    f"person {person}: there are {len(self.people)} people in the picture ({self.listing()})"
                )
            return cut(self.image, self.people[person - 1].box)
        if len(self.people) > 1:
            raise UserError(
                f"{len(self.people)} people in the picture; say which --person by its number ({self.listing()})"
            )
        return cut(self.image, self.people[0].box) if self.people else self.image

    def listing(self) -> str:
        """Each person's number and box in pixels, for messages."""
        height, width = self.image.shape[:2]
        boxes = (person.box.pixels(height, width) for person in self.people)
        return "; ".join(f"{n}: x {x1}–{x2}, y {y1}–{y2}" for n, (x1, y1, x2, y2) in enumerate(boxes, 1)) or "none"


def read_query(image: np.ndarray, detector: Detector) -> QueryImage:
    """Look at a picture: a crop of one person is taken whole; in any other the people are found.

    Args:
        image: RGB uint8 ``[H, W, 3]``.
    """
    height, width = image.shape[:2]
    upright = height >= _UPRIGHT * width
    if height >= _NARROW * width or (upright and height <= _SMALL_PX):
        return QueryImage(image, [], is_crop=True)
    (found,) = detector.detect([image])
    filled = len(found) == 1 and found[0].box.height >= _CROP_FILLED
    if upright and (not found or filled):
        return QueryImage(image, [], is_crop=True)
    return QueryImage(image, sorted(found, key=lambda d: d.box.x1), is_crop=False)


@dataclass(frozen=True)
class QueryCrop:
    """The pixels of a person to search with.

    Attributes:
        image: RGB uint8 ``[h, w, 3]``.
        camera: which took it; None unless it is a best shot of the gallery.
        warnings: why hits may be worse than they could be.
    """

    image: np.ndarray
    camera: str | None
    warnings: list[QueryWarning]


def query_crop(file: Path, gallery: Gallery, detector: Detector, person: int | None = None) -> QueryCrop:
    """The person in a picture. A best shot of the gallery is taken whole.

    Args:
        person: see `QueryImage.crop`.

    Raises:
        UserError: a file that is no image, or a picture in which it is not clear who is meant.
    """
    image, camera = read_image(file), gallery.camera_of_crop(file)
    query = QueryImage(image, [], is_crop=True) if camera else read_query(image, detector)
    crop = query.crop(person)
    box = query.people[(person or 1) - 1].box if query.people else None
    return QueryCrop(crop, camera, [] if camera else quality_warnings(crop, box, query.nobody))


def embed_crops(crops: Sequence[QueryCrop], embedder: Embeds) -> np.ndarray:
    """Embeddings float32 ``[Q, D]``. A best shot of the gallery is embedded as indexing did it, with its camera's
    statistics where the model has some. Which camera took any other picture is not known, so the common ones hold."""
    return np.concatenate([embedder.embed([crop.image], crop.camera) for crop in crops])


def embed_query(
    files: Sequence[Path], gallery: Gallery, embedder: Embeds, detector: Detector, person: int | None = None
) -> np.ndarray:
    """Embeddings float32 ``[Q, D]`` of pictures of one person, see `query_crop` and `embed_crops`."""
    return embed_crops([query_crop(file, gallery, detector, person) for file in files], embedder)
