"""What runs over videos and over pictures have in common."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from reidapp.embedding import Embeds
from reidapp.errors import UserError
from reidapp.files import fingerprint
from reidapp.footage.decoding import VideoFacts
from reidapp.footage.detection import Detector
from reidapp.footage.report import IndexReport, Progress
from reidapp.footage.sources import Source
from reidapp.gallery import schema
from reidapp.gallery.recordings import Recordings
from reidapp.gallery.writer import GalleryWriter
from reidapp.settings import IndexSettings


@dataclass(eq=False)
class Run:
    """Jobs are worked on several at a time, and committed in the caller's thread one after the other, in order.

    Attributes:
        workers: jobs that are at work at the same time.
        deleted: see `GalleryWriter.deleted`.
        touched: ids of the recordings that this run wrote to.
    """

    writer: GalleryWriter
    embedder: Embeds
    detector: Detector
    settings: IndexSettings
    report: IndexReport
    progress: Progress
    workers: int
    deleted: Collection[str]
    touched: list[str] = field(default_factory=list)
    recordings: Recordings = field(default_factory=Recordings)

    def identified(self, source: Source) -> str:
        """The fingerprint of a file's content.

        Raises:
            OSError: it cannot be read.
            UserError: the gallery has the same content, which is still there by another path.
        """
        id_ = fingerprint(source.path, source.size)
        if there := self.recordings.elsewhere(self.writer.gallery, id_, source.path):
            raise UserError(f"the same as {there}")
        return id_


def video_row(source: Source, id_: str, facts: VideoFacts, settings: dict[str, Any], done: bool) -> schema.Video:
    """The row of a video or picture.

    Args:
        id_: the fingerprint of its content.
        settings: by which it is indexed.
        done: all of it is in the gallery.
    """
    written, start_source = source.started(facts.created, facts.duration_s)
    return schema.Video(
        id=id_,
        path=str(source.path),
        size=source.size,
        mtime_ns=source.mtime_ns,
        written=written.isoformat(),
        start_source=start_source,
        duration_s=facts.duration_s,
        width=facts.width,
        height=facts.height,
        settings=settings,
        done=done,
        note=None,
    )
