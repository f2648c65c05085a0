"""A gallery moves to another embedding model: new vectors of the stored crops, then a switch that is seen at once.

The vectors of the old model stay, so moving back embeds no more than what was indexed in between. Tracklets, and all
that refers to them, are not touched.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from reidapp.embedding import Embeds
from reidapp.errors import ReidappError, UserError
from reidapp.gallery.facts import ModelInfo
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery
from reidapp.gallery.writer import GalleryWriter, StoredChunk
from reidapp.imaging import read_image
from reidapp.wording import counted

_BATCH = 64  # crops
_LAST = 8  # chunks at most that are embedded while nobody else may write …
_ROUNDS = 10  # … but for a gallery that grows faster than it is embedded

Progress = Callable[[float, float, str], None]
"""Called with crops done, crops in all, and the camera at work."""


@dataclass
class ReembedReport:
    """What a run did.

    Attributes:
        model: name/version of the model that is searched now, or will be once the work is finished.
        embedded: crops, by this run.
        reused: crops that had vectors of the model before.
    """

    model: str
    embedded: int = 0
    reused: int = 0
    interrupted: bool = False
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return dict(vars(self))

    def __str__(self) -> str:
        done = f"{counted(self.embedded, 'crop')} embedded"
        if self.interrupted:
            return (
                f"interrupted: {done} with {self.model}, and kept. Searches use the old model until the same command "
                "has gone on to the end"
            )
        return "\n".join([f"searched with {self.model} now: {done}, {self.reused} had been before", *self.notes])


def reembed(
    gallery: Gallery,
    embedder: Embeds,
    file: Path,
    progress: Progress = lambda done, total, camera: None,
) -> ReembedReport:
    """Embed every stored crop that has no vector of a model, chunk by chunk, and then search with that model.

    Others may index into the gallery and search it meanwhile; the model is used once it has everything, and who
    indexes then is told to go on with it.

    A run that is stopped, or killed, leaves whole chunks, and the next one goes on from there. An interrupt
    (KeyboardInterrupt) ends the run, and the report says so.

    Args:
        file: the embedder's; it is copied into the gallery.

    Raises:
        UserError: a stored crop is gone or damaged.
        BusyError: another process embeds the gallery anew, or deletes from it.
        ReidappError: the final count is wrong.
    """
    report = ReembedReport(f"{embedder.card.name}/{embedder.card.version}")
    with gallery.embedding_anew() as writer:
        writer.add_model(file, embedder.card, embedder.identity)
        chunks = writer.chunks_without(embedder.identity)
        report.reused = gallery.summary().crops - _crops(chunks)
        snapshots = Snapshots(gallery, embedder.identity)
        try:
            for _ in range(_ROUNDS):
                _embed(writer, embedder, chunks, report, progress)
                _make_ready(snapshots, report)
                chunks = writer.chunks_without(embedder.identity)  # indexed meanwhile
                if len(chunks) <= _LAST:
                    break
            report.embedded += writer.use_model(embedder.identity, functools.partial(_embedded, embedder))
        except KeyboardInterrupt:
            report.interrupted = True
    return report


def _embed(
    writer: GalleryWriter,
    embedder: Embeds,
    chunks: Sequence[StoredChunk],
    report: ReembedReport,
    progress: Progress,
) -> None:
    total = report.embedded + _crops(chunks)
    for camera, some in _together(chunks):
        progress(report.embedded, total, camera)
        crops = [read_image(path) for chunk in some for path in chunk.crops]
        ends = itertools.accumulate(len(chunk.crops) for chunk in some)
        made = np.split(embedder.embed(crops, camera), list(ends)[:-1])
        for chunk, vectors in zip(some, made, strict=True):
            writer.add_vectors(chunk, embedder.identity, vectors)
            report.embedded += len(vectors)
    progress(total, total, "")


def _embedded(embedder: Embeds, chunk: StoredChunk) -> np.ndarray:
    return embedder.embed([read_image(path) for path in chunk.crops], chunk.camera)


def _make_ready(snapshots: Snapshots, report: ReembedReport) -> None:
    """So that the first search is as quick as the last was."""
    snapshots.derive()
    try:
        snapshots.catch_up()
    except ReidappError as error:
        report.notes.append(f"the copy of the vectors is behind, what it lacks is searched here: {error}")


def _crops(chunks: Sequence[StoredChunk]) -> int:
    return sum(len(chunk.crops) for chunk in chunks)


def _together(chunks: Sequence[StoredChunk]) -> Iterator[tuple[str, list[StoredChunk]]]:
    """Chunks of one camera that are embedded at once: a picture's has a crop or two, and a batch wants more."""
    for camera, group in itertools.groupby(chunks, key=lambda chunk: chunk.camera):
        some: list[StoredChunk] = []
        for chunk in group:
            some.append(chunk)
            if sum(len(each.crops) for each in some) >= _BATCH:
                yield camera, some
                some = []
        if some:
            yield camera, some


def model_called(gallery: Gallery, wanted: str) -> ModelInfo | None:
    """The model of a gallery with this name, ``name/version``, or beginning of its id (6 digits at least); or None.

    Raises:
        UserError: there are several.
    """
    found = [
        model
        for model in gallery.models()
        if wanted in (model.card.name, f"{model.card.name}/{model.card.version}")
        or (len(wanted) >= 6 and model.id.startswith(wanted))
    ]
    if len(found) > 1:
        each = ", ".join(f"{model.card.name}/{model.card.version} ({model.id[:8]})" for model in found)
        raise UserError(f'model "{wanted}": {gallery.path} has several; name one: {each}')
    return found[0] if found else None
