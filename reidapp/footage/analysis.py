"""One chunk of a video → its tracklets: people in its frames, their embeddings, who goes on as whom, best shots."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from reidapp.embedding import Embeds
from reidapp.footage import shots
from reidapp.footage.decoding import Damage, Frame, VideoFacts, frames
from reidapp.footage.detection import Detection, Detector
from reidapp.footage.motion import Scene
from reidapp.footage.tracking import Tracker, is_sparse, open_tracker
from reidapp.gallery.facts import PathPoint
from reidapp.gallery.writer import NewChunk, NewCrop, NewTracklet
from reidapp.imaging import cut, decode_crop, encode_crop
from reidapp.settings import IndexSettings

_BATCH = 8  # frames per call of the detector, at most
_BATCH_BYTES = _BATCH * 3840 * 2160 * 3  # larger frames come fewer at a time
_MIN_CROP_PX = 24  # of height; smaller ones say nothing
_MIN_DETECTIONS = 2  # of a tracklet; single ones are mostly no people


@dataclass(frozen=True)
class Look:
    """What was found in a frame.

    Attributes:
        crops: of the people, views of the frame.
        embeddings: of the crops, float32 ``[people, D]``; nothing in them where tracking needs none.
    """

    time_s: float
    aspect: float  # width / height of the frame
    people: list[Detection]
    crops: list[np.ndarray]
    embeddings: np.ndarray


@dataclass(frozen=True)
class ChunkTask:
    """A chunk to analyse.

    Attributes:
        number: of the chunk, from 0.
        camera: whose recording it is, for models that know cameras.
    """

    path: Path
    number: int
    facts: VideoFacts
    settings: IndexSettings
    camera: str | None = None

    @property
    def start_s(self) -> float:
        return self.number * self.settings.chunk_s


class Analyses(Protocol):
    """Analyses chunks somewhere else; asked by as many threads at the same time as it has ``workers``."""

    workers: int

    def analyse(self, task: ChunkTask, at: Callable[[float], None]) -> NewChunk:
        """As the function below, with a detector and an embedder of its own."""


def analyse(
    task: ChunkTask, detector: Detector, embedder: Embeds, at: Callable[[float], None] = lambda time_s: None
) -> NewChunk:
    """Find the tracklets of one chunk. Depends on nothing but its arguments, so that chunks can be done anywhere.

    Args:
        at: called with the time reached, in seconds of the video; what it raises ends the work.
    """
    settings, frame_rate, start_s = task.settings, task.facts.frame_rate, task.start_s
    # One thread: several chunks are decoded at once, and what damage looks like must not depend on the machine.
    damage, end_s = Damage(), start_s + settings.chunk_s
    sampled = frames(task.path, start_s, end_s, settings.fps, settings.keyframes, threads=1, damage=damage)
    scene = Scene() if settings.motion else None
    tracker = open_tracker(settings.fps, frame_rate, settings.keyframes)
    growing: dict[int, _Growing] = {}
    frame_count = detection_count = 0
    first_s = last_s = None
    for look in _looks(sampled, scene, detector, embedder if tracker.needs_embeddings else None, task.camera):
        _grow(growing, look, tracker)
        frame_count += 1
        detection_count += len(look.people)
        last_s = look.time_s
        first_s = last_s if first_s is None else first_s
        at(last_s)
    least = 1 if is_sparse(settings.fps, frame_rate, settings.keyframes) else _MIN_DETECTIONS
    tracklets = [_finished(g) for _, g in sorted(growing.items()) if len(g.path) >= least]
    # Embedded from the stored bytes, so that embedding again, from the gallery alone, gives the same vectors.
    crops = [decode_crop(crop.webp) for tracklet in tracklets for crop in tracklet.crops]
    embeddings, damaged = embedder.embed(crops, task.camera), damage.count > 0
    return NewChunk(task.number, start_s, frame_count, detection_count, last_s, tracklets, embeddings, damaged, first_s)


def _looks(
    sampled: Iterable[Frame], scene: Scene | None, detector: Detector, embedder: Embeds | None, camera: str | None
) -> Iterator[Look]:
    """What is found in each frame; in one that has not changed since it was looked at, the same as then."""
    last = None
    for batch in _batches(sampled):
        changed = [scene is None or scene.changed(frame.image) for frame in batch]
        fresh = iter(seen([f for f, c in zip(batch, changed, strict=True) if c], detector, embedder, camera))
        for frame, new in zip(batch, changed, strict=True):
            if new:
                last = next(fresh)
                yield last
            elif last is not None:
                crops = [cut(frame.image, person.box) for person in last.people]
                yield Look(frame.time_s, last.aspect, last.people, crops, last.embeddings)


def seen(batch: list[Frame], detector: Detector, embedder: Embeds | None, camera: str | None) -> list[Look]:
    """Detection and embedding of some frames at once."""
    found = detector.detect([frame.image for frame in batch]) if batch else []
    people = [
        [d for d in detections if d.box.height * frame.image.shape[0] >= _MIN_CROP_PX]
        for frame, detections in zip(batch, found, strict=True)
    ]
    crops = [[cut(frame.image, d.box) for d in there] for frame, there in zip(batch, people, strict=True)]
    flat = list(itertools.chain(*crops))
    embeddings = embedder.embed(flat, camera) if embedder else np.zeros((len(flat), 0), np.float32)
    ends = list(itertools.accumulate(map(len, crops)))
    return [
        Look(
            frame.time_s,
            frame.image.shape[1] / frame.image.shape[0],
            there,
            cut_out,
            embeddings[end - len(there) : end],
        )
        for frame, there, cut_out, end in zip(batch, people, crops, ends, strict=True)
    ]


@dataclass
class _Growing:
    """A tracklet while its chunk is being read."""

    path: list[PathPoint] = field(default_factory=list)
    keeper: shots.ShotKeeper = field(default_factory=shots.ShotKeeper)


def _grow(growing: dict[int, _Growing], look: Look, tracker: Tracker) -> None:
    numbers = tracker.update(look.time_s, look.aspect, look.people, look.embeddings)
    for person, crop, number in zip(look.people, look.crops, numbers, strict=True):
        if number is None:
            continue
        tracklet = growing.setdefault(number, _Growing())
        tracklet.path.append(PathPoint(look.time_s, person.box))
        others = [other for other in look.people if other is not person]
        tracklet.keeper.offer(shots.Shot(look.time_s, person.box, shots.quality(crop, person, others), crop))


def _finished(growing: _Growing) -> NewTracklet:
    best = growing.keeper.best()
    return NewTracklet(
        growing.path, [NewCrop(shot.time_s, shot.box, shot.quality, encode_crop(shot.crop)) for shot in best]
    )


def _batches(sampled: Iterable[Frame]) -> Iterator[list[Frame]]:
    batch: list[Frame] = []
    for frame in sampled:
        batch.append(frame)
        if len(batch) == _BATCH or (len(batch) + 1) * frame.image.nbytes > _BATCH_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch
