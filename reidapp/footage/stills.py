"""Pictures as footage: stills of cameras, in which people are looked for, and crops that show one person each.

A picture is a recording of one frame, at second 0, and has a tracklet for each person in it. The unit of work and of
commit is a block of pictures of one camera.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from reidapp.box import Box
from reidapp.embedding import Embeds
from reidapp.errors import UserError
from reidapp.footage import shots
from reidapp.footage.analysis import seen
from reidapp.footage.decoding import Frame, VideoFacts
from reidapp.footage.detection import Detection, Detector
from reidapp.footage.pipeline import blamed_on, in_order
from reidapp.footage.run import Run, video_row
from reidapp.footage.sources import Source
from reidapp.gallery.facts import PathPoint
from reidapp.gallery.writer import NewChunk, NewCrop, NewPicture, NewTracklet
from reidapp.imaging import decode_crop, encode_crop, read_image
from reidapp.settings import IndexSettings

_BLOCK = 64  # pictures
_OLDEST = 1980  # cameras without a clock write earlier years
_UNCUT = Detection(Box(0.1, 0.1, 0.9, 0.9), 1.0)  # whether its frame cut a crop's person is not known
_NO_VECTORS = np.zeros((0, 0), np.float32)


class WholePicture:
    """Stands for a detector where each picture shows one person, from edge to edge."""

    provider = "none"

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Detection]]:
        return [[Detection(Box(0.0, 0.0, 1.0, 1.0), 1.0)] for _ in frames]


@dataclass(frozen=True)
class Block:
    """Pictures of one camera, each with its content's fingerprint; ``in_model``: the camera as the model knows it."""

    in_model: str
    pictures: list[tuple[Source, str]]


@dataclass
class Looked:
    """What came of a block: pictures with what was found in them, and those that cannot be read."""

    new: list[NewPicture] = field(default_factory=list)
    faults: list[tuple[Source, UserError]] = field(default_factory=list)


def read_still(path: Path) -> np.ndarray:
    """The pixels, RGB uint8 ``[H, W, 3]``, upright.

    Raises:
        UserError: not a picture, a damaged one, or one that is larger than 50 megapixels.
    """
    try:
        return read_image(path, path.name)
    except UserError:
        raise
    except Exception as error:  # whatever else Pillow trips over in a damaged file
        raise UserError(f"{path.name}: a damaged image ({type(error).__name__})") from error


def probe_still(path: Path) -> VideoFacts:
    """Open a picture.

    Raises:
        UserError: as `read_still`.
    """
    return _facts(path, read_still(path))


def look(
    block: Block,
    detector: Detector,
    embedder: Embeds,
    settings: IndexSettings,
    check: Callable[[], None] = lambda: None,
) -> Looked:
    """Find the people in some pictures. Depends on nothing but its arguments, so that blocks can be done anywhere.

    Args:
        check: called before each picture; what it raises ends the work.
    """
    looked = Looked()
    for source, id_ in block.pictures:
        check()
        try:
            looked.new.append(_look_at(source, id_, detector, settings))
        except UserError as error:
            looked.faults.append((source, error))
    # Embedded from the stored bytes, so that embedding again, from the gallery alone, gives the same vectors.
    crops = [decode_crop(t.crops[0].webp) for picture in looked.new for t in picture.chunk.tracklets]
    ends = np.cumsum([len(picture.chunk.tracklets) for picture in looked.new])
    vectors = np.split(embedder.embed(crops, block.in_model), ends[:-1])
    looked.new = [
        replace(picture, chunk=replace(picture.chunk, embeddings=its_own))
        for picture, its_own in zip(looked.new, vectors, strict=False)
    ]
    return looked


def _look_at(source: Source, id_: str, detector: Detector, settings: IndexSettings) -> NewPicture:
    image = read_still(source.path)
    facts = _facts(source.path, image)
    (view,) = seen([Frame(0.0, image)], detector, None, None)
    if settings.kind == "crops" and not view.people:
        raise UserError(f"{facts.width}×{facts.height} pixels; too small to know anybody")
    tracklets = []
    for person, crop in zip(view.people, view.crops, strict=True):
        others = [other for other in view.people if other is not person]
        quality = shots.quality(crop, _UNCUT if settings.kind == "crops" else person, others)
        shot = NewCrop(0.0, person.box, quality, encode_crop(crop))
        tracklets.append(NewTracklet([PathPoint(0.0, person.box)], [shot]))
    of_detection = {"detector"} if settings.kind == "crops" else set()
    row = video_row(source, id_, facts, settings.model_dump(exclude={"sampling", "chunk_s"} | of_detection), done=True)
    return NewPicture(source.camera, row, NewChunk(0, 0.0, 1, len(view.people), 0.0, tracklets, _NO_VECTORS))


def _facts(path: Path, image: np.ndarray) -> VideoFacts:
    return VideoFacts(0.0, 0.0, image.shape[1], image.shape[0], _taken(path), path.suffix[1:].lower())


def _taken(path: Path) -> datetime | None:
    """When a picture says that it was taken; without a zone of its own it is on the camera's clock."""
    try:
        with Image.open(path) as picture:
            facts = picture.getexif().get_ifd(ExifTags.IFD.Exif)
        text = str(facts[ExifTags.Base.DateTimeOriginal])
        time = datetime.strptime(text, "%Y:%m:%d %H:%M:%S")
        zone = str(facts.get(ExifTags.Base.OffsetTimeOriginal, ""))
        time = datetime.strptime(text + zone, "%Y:%m:%d %H:%M:%S%z") if zone else time
    except Exception:  # no date, or whatever Pillow finds in a damaged one
        return None
    return time if time.year >= _OLDEST else None


@dataclass(eq=False)
class PictureRun(Run):
    """A job is a block of pictures."""

    def __post_init__(self) -> None:
        self.done = self.total = 0  # pictures
        self.begun: dict[str, Path] = {}  # by the content's fingerprint

    def index(self, found: Sequence[Source]) -> None:
        self.total = len(found)
        in_order(self._look, self._blocks(found), self.workers, self._take, self._tell)

    def _blocks(self, found: Sequence[Source]) -> Iterator[Block]:
        for camera, group in itertools.groupby(sorted(found, key=lambda s: s.camera), lambda s: s.camera):
            in_model = self.writer.name_in_model(camera, self.embedder.card.cameras)
            new = ((source, id_) for source in group if (id_ := self._new(source)))
            while pictures := list(itertools.islice(new, _BLOCK)):
                yield Block(in_model, pictures)

    def _new(self, source: Source) -> str | None:
        """The fingerprint of a picture that the gallery does not have; None, and it is counted, for others."""
        try:
            id_ = self.identified(source)
            if id_ in self.begun:
                raise UserError(f"the same as {self.begun[id_]}")
        except (OSError, UserError) as error:
            self.report.skip(source, error)
        else:
            if id_ in self.deleted:
                self.report.deleted += 1
            elif self.writer.video(id_) is None:
                self.begun[id_] = source.path
                return id_
            else:
                self.writer.moved(id_, source.path, source.mtime_ns)
                self.report.unchanged += 1
        self.done += 1
        return None

    def _look(self, block: Block, check: Callable[[], None]) -> Looked:
        with blamed_on(f"{block.pictures[0][0].path} to {block.pictures[-1][0].path.name}"):
            return look(block, self.detector, self.embedder, self.settings, check)

    def _take(self, block: Block, result: Callable[[], Looked]) -> None:
        looked = result()
        self.done += len(block.pictures)
        self.writer.add_pictures(self.settings.zone, looked.new)
        for source, fault in looked.faults:
            self.report.skip(source, fault)
        for picture in looked.new:
            self.touched.append(picture.video.id)
            self.report.videos += 1
            self.report.frames += 1
            self.report.detections += picture.chunk.detections
            self.report.tracklets += len(picture.chunk.tracklets)
            self.report.crops += len(picture.chunk.embeddings)

    def _tell(self) -> None:
        self.progress(self.done, self.total, "")
