"""Footage → gallery. The unit of work and of commit is a chunk of one video, about a minute.

A run that is killed leaves whole chunks; the next one goes on at the first chunk that is not there, and ends with the
same rows as a run that was never stopped.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np

from reidapp import files
from reidapp.embedding import Embeds
from reidapp.errors import ReidappError, UserError
from reidapp.footage import sources
from reidapp.footage.analysis import Analyses, ChunkTask, analyse
from reidapp.footage.decoding import VideoFacts, begins_anew, ends_at, frames, lacks_bytes, probe
from reidapp.footage.detection import Detector
from reidapp.footage.known import Known
from reidapp.footage.pipeline import FaultError, blamed_on, cores, in_order
from reidapp.footage.report import IndexReport, Progress
from reidapp.footage.run import Run, video_row
from reidapp.footage.sources import Skipped, Source
from reidapp.footage.stills import PictureRun, WholePicture
from reidapp.footage.templates import fitting
from reidapp.footage.tracking import MAX_GAP_S, continuations, is_sparse
from reidapp.gallery import mirror
from reidapp.gallery.deletion import Selection, delete_from, delete_outdated, retention
from reidapp.gallery.facts import PathPoint
from reidapp.gallery.snapshot import Snapshots
from reidapp.gallery.store import Gallery
from reidapp.gallery.writer import DAMAGED, MovedError, NewChunk
from reidapp.registry import suggestion
from reidapp.settings import CameraSettings, IndexSettings
from reidapp.wording import counted

_YOUNG_S, _WATCHED_S = 10.0, 1.0  # a file that changed so short a time ago may still grow; for how long it is watched
_DAY_S = 86_400.0
_LOOKED_AT = 200  # paths, to see whether they are of a recorder's form
_MOST_FAULTS = 3  # recordings in a row that could not be analysed; a detector or model is broken then, and no recording


@dataclass(frozen=True)
class Footage:
    """The videos or pictures below a folder, and the files that were left out, by their paths alone.

    Attributes:
        cameras: what the user says of cameras, by the names that their paths have.
        notes: what the user should know of the paths.
        more_to_come: nothing of use in it is no error.
        applied: names of cameras of which the gallery was told in this run; what is corrected there meanwhile, stays.
    """

    folder: Path
    sources: list[Source]
    skipped: list[Skipped]
    cameras: Mapping[str, CameraSettings] = field(default_factory=dict)
    notes: Sequence[str] = ()
    more_to_come: bool = False
    applied: set[str] = field(default_factory=set)


def find_footage(
    folder: Path,
    settings: IndexSettings,
    cameras: Mapping[str, CameraSettings] | None = None,
    may_be_unfit: bool = False,
) -> Footage:
    """Look for videos or pictures, before anything is opened or made.

    Args:
        may_be_unfit: it is no error if all of them are left out.

    Raises:
        UserError: no such folder, none in it, or only such as are left out.
    """
    found, skipped = sources.scan(folder, settings.template, settings.kind)
    if not found and not skipped:
        thing = "video" if settings.kind == "videos" else "picture"
        suffixes = " ".join(sorted(sources.SUFFIXES[settings.kind]))
        raise UserError(f"{folder}: no {thing} in it (looked for {suffixes}){_hint(folder, settings)}")
    if not found and not may_be_unfit:
        _refuse_if_nothing_was_usable(folder, IndexReport(skipped=skipped))
    return Footage(folder, found, skipped, cameras or {}, _told_of(recorders_like(folder, found, settings)))


def recorders_like(folder: Path, found: Sequence[Source], settings: IndexSettings) -> list[str]:
    """Recorders of whose form the paths are, where the user has not said whose they are."""
    if settings.template or settings.kind != "videos":
        return []
    base = folder.resolve() if folder.is_dir() else folder.resolve().parent
    return fitting(base, [source.file for source in found[:: len(found) // _LOOKED_AT + 1]])


def _told_of(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    return [
        f"these paths look like those of {' or '.join(names)}, whose cameras and starts would be others than the "
        f"guessed ones; --dry-run --template {names[0]} shows them"
    ]


def index_footage(
    footage: Footage,
    gallery: Gallery,
    embedder: Embeds,
    detector: Detector | None,
    settings: IndexSettings,
    progress: Progress = lambda done, total, name: None,
    workers: int | None = None,
    elsewhere: Analyses | None = None,
    again: bool = False,
) -> IndexReport:
    """Index every video or picture that the gallery doesn't have yet.

    An interrupt (KeyboardInterrupt) ends the run with what is committed, and the report says so.

    Args:
        detector: None for crops, which are people already.
        workers: chunks that are analysed at the same time, each on about one core; all cores by default. What comes out
            does not depend on it.
        elsewhere: analyses chunks in this process' stead, which then does not use ``detector``.
        again: those too that were deleted from the gallery.

    Raises:
        UserError: none of the videos could be read.
        BusyError: the gallery is being written by another process.
        MovedError: so was it to another model.
        ReidappError: the final count is wrong.
    """
    report = IndexReport(skipped=list(footage.skipped), notes=list(footage.notes))
    with gallery.writing() as writer:
        if embedder.identity != writer.model_id:  # while this process was waiting, or loading its model
            raise MovedError(f"{gallery.path}: it was moved to another model just now; run the command again")
        workers = elsewhere.workers if elsewhere else workers or cores()
        deleted, detector = set() if again else gallery.deleted(), detector or WholePicture()
        run = _Run(writer, embedder, detector, settings, report, progress, workers, deleted, elsewhere=elsewhere)
        try:
            run.set_cameras(footage)
            run.index(footage.sources)
            try:
                if gone := delete_outdated(writer):
                    report.notes.append(f"deleted, since the gallery keeps {retention(gallery)} days: {gone}")
            except files.BusyError as error:
                report.notes.append(f"what is too old is deleted by the next run: {error}")
            Snapshots(gallery, writer.model_id).derive()
            try:
                mirror.catch_up(gallery)
            except ReidappError as error:
                report.notes.append(f"the copy of the vectors is behind, what it lacks is searched here: {error}")
        except KeyboardInterrupt:
            report.interrupted = True
        run.check_counts()
    if not report.interrupted and not footage.more_to_come:
        _refuse_if_nothing_was_usable(footage.folder, report)
    return report


def _hint(folder: Path, settings: IndexSettings) -> str:
    pictures = len(sources.scan(folder, kind="stills")[0]) if settings.kind == "videos" else 0
    how = "--as stills takes them, or --as crops where each shows one person already"
    return f"; it has {counted(pictures, 'picture')}: {how}" if pictures else ""


def _refuse_if_nothing_was_usable(folder: Path, report: IndexReport) -> None:
    if report.videos or report.unchanged or report.deleted or report.frames or not report.skipped:
        return
    reasons = "; ".join(f"{s.file}: {s.reason}" for s in report.skipped[:3])
    more = f"; and {len(report.skipped) - 3} more" if len(report.skipped) > 3 else ""
    raise UserError(f"{folder}: none of its files could be used. {reasons}{more}")


@dataclass(eq=False)
class _Plan:
    """A video with work to do."""

    source: Source
    camera: str  # as the model knows it
    facts: VideoFacts
    video_id: str
    done: set[int]  # numbers of chunks committed before
    before_s: float = 0.0  # of the videos before it
    last_s: float = 0.0  # presentation time of the last frame that was looked at
    damaged: bool = False  # something in it was lost or spoilt
    over: bool = False  # no more of it is wanted: its end was found, or it can be read no longer
    failed: bool = False


@dataclass(frozen=True)
class _Job:
    """A chunk to analyse; without a number: the end of its video."""

    plan: _Plan
    number: int | None


@dataclass(eq=False)
class _Run(Run):
    """A job is a chunk of a video."""

    elsewhere: Analyses | None = None

    def __post_init__(self) -> None:
        self.analyse = self.elsewhere.analyse if self.elsewhere else self._here
        self.reached: dict[_Job, float] = {}  # seconds of the chunks that are being analysed
        self.done_s = self.total_s = 0.0  # of video, in the files that were opened so far
        self.opened_bytes = self.waiting_bytes = 0
        self.faults = 0
        self.before: dict[str, list[tuple[str, int]]] = {}  # see `GalleryWriter.videos_at`

    def set_cameras(self, footage: Footage) -> None:
        """What the user says of cameras goes into the gallery; what has no effect is noted."""
        found = {source.camera for source in footage.sources}
        for name, camera in footage.cameras.items():
            if name in found - footage.applied:
                self.writer.set_camera(name, camera.zone or self.settings.zone, camera)
                footage.applied.add(name)
            elif name not in found and not footage.more_to_come:
                self.report.notes.append(f'no recording of a camera "{name}" here{suggestion(name, list(found))}')
        zone = self.settings.zone
        said = {name for name, camera in footage.cameras.items() if camera.zone}
        clocks = {clock for name in found - said if (clock := self.writer.clock_of(name)) and clock[1] != zone}
        if clocks and "zone" in self.settings.model_fields_set:
            others = ", ".join(f"{name} ({other})" for name, other in sorted(clocks))
            self.report.notes.append(
                f"these cameras are in other zones in this gallery, and --zone {zone} does not change that: {others}; "
                f"`reidapp gallery camera NAME --zone {zone}` does"
            )

    def index(self, found: list[Source]) -> None:
        known = Known(self.writer.gallery.files_done(), self.deleted)
        states = [known.state(source) for source in found]
        self.report.unchanged += states.count("indexed")
        self.report.deleted += states.count("deleted")
        self._note_other_settings(next((s for s, state in zip(found, states, strict=True) if state == "indexed"), None))
        new = [source for source, state in zip(found, states, strict=True) if state is None]
        if self.settings.kind != "videos":
            self._index_pictures(self._settled(new))
            return
        new = self._settled(new)
        self.waiting_bytes = sum(source.size for source in new)
        self.before = self.writer.videos_at([str(source.path) for source in new])
        in_order(self._analyse, self._jobs(new), self.workers, self._take, self._tell)
        self.progress(self.total_s, self.total_s, "")

    def _note_other_settings(self, indexed: Source | None) -> None:
        """By one of the recordings that were indexed before: most often the whole folder was, at once."""
        if indexed and (others := self.settings.unlike(self.writer.settings_at(indexed.path))):
            self.report.notes.append(
                f"what was indexed before stays as it was ({others}); to index it otherwise, use another gallery"
            )

    def _index_pictures(self, new: list[Source]) -> None:
        common = {entry.name: getattr(self, entry.name) for entry in fields(Run)}
        PictureRun(**common).index(new)

    def check_counts(self) -> None:
        """Expected = written = searchable, or an error: a run never ends with a false success."""
        crops, written, searchable = self.writer.counted(self.touched)
        if not crops == written == searchable:
            raise ReidappError(
                f"{self.writer.gallery.path}: {crops} crops, {written} vectors written, {searchable} searchable; "
                "these must be equal. The gallery is damaged: restore a back-up or index anew"
            )

    def _settled(self, found: Sequence[Source]) -> list[Source]:
        """Without recordings that are still being written, which would be others when they are complete.

        Those that changed a moment ago, and can be read while they grow, are looked at again after a second.
        """
        young = [s for s in found if time.time() - s.mtime_ns / 1e9 < _YOUNG_S and sources.may_be_growing(s.path)]
        if young:
            time.sleep(_WATCHED_S)
        growing = {s.path for s in young if s.path.is_file() and s.path.stat().st_size != s.size}
        for source in young:
            if source.path in growing:
                self.report.skip(source, UserError("still being written; run this again when it is complete"))
        return [source for source in found if source.path not in growing]

    def _plan(self, source: Source) -> _Plan | None:
        """What is to be done for a file; None, and a line in the report, if nothing."""
        try:
            facts = probe(source.path)
            video_id = self.identified(source)
        except (OSError, UserError) as error:
            self.report.skip(source, error)
            return None
        if video_id in self.deleted:  # and lies somewhere else now
            self.report.deleted += 1
            return None
        if (earlier := self.writer.video(video_id)) is None:
            self._remove_beginnings(source)
            row = video_row(source, video_id, facts, self.settings.model_dump(), done=False)
            self.writer.add_video(source.camera, self.settings.zone, row)
        else:
            self.writer.moved(video_id, source.path, source.mtime_ns)
            if earlier.done:
                self.report.unchanged += 1
                return None
            if others := self.settings.unlike(earlier.settings):
                self.report.skip(source, UserError(f"begun with {others}; go on with that, or use another gallery"))
                return None
        camera = self.writer.name_in_model(source.camera, self.embedder.card.cameras)
        plan = _Plan(source, camera, facts, video_id, self.writer.chunks_done(video_id), self.total_s)
        plan.last_s = self.writer.last_frame(video_id)
        plan.damaged = earlier is not None and earlier.note is not None
        self.total_s += facts.duration_s
        self.touched.append(video_id)
        return plan

    def _remove_beginnings(self, source: Source) -> None:
        """Of a recording that was not complete when it was indexed before: nobody is in it twice."""
        for video_id, size in self.before.get(str(source.path), ()):
            if size < source.size and files.fingerprint(source.path, size) == video_id:
                delete_from(self.writer, Selection(video=video_id))
                self.report.notes.append(f"{source.file}: grew since it was indexed, and is indexed anew")

    def _jobs(self, found: Sequence[Source]) -> Iterator[_Job]:
        """Files are opened when it is their turn, so that the first is at work at once."""
        for source in found:
            plan = self._plan(source)
            self.opened_bytes += source.size
            self.waiting_bytes -= source.size
            self._tell()
            if plan is None:
                continue
            for number in itertools.count():
                length_s = plan.facts.duration_s
                if plan.over or (length_s and number * self.settings.chunk_s >= length_s):
                    break
                if number not in plan.done:
                    yield _Job(plan, number)
            yield _Job(plan, None)

    def _analyse(self, job: _Job, check: Callable[[], None]) -> NewChunk | None:
        """A chunk's tracklets, in a thread of its own, which shares nothing with others but the times reached."""
        plan = job.plan
        if job.number is None or plan.over:
            return None
        task = ChunkTask(plan.source.path, job.number, plan.facts, self.settings, plan.camera)

        def at(time_s: float) -> None:
            check()
            self.reached[job] = time_s - task.start_s

        with blamed_on(f"{task.path.name}: from second {task.start_s:.0f} on it"):
            return self.analyse(task, at)

    def _here(self, task: ChunkTask, at: Callable[[float], None]) -> NewChunk:
        return analyse(task, self.detector, self.embedder, at)

    def _take(self, job: _Job, result: Callable[[], NewChunk | None]) -> None:
        """Commit a chunk that is next in order."""
        plan = job.plan
        self.reached.pop(job, None)
        if plan.failed:
            return
        try:
            if job.number is None:
                self._finish(plan, plan.last_s)
                return
            chunk = result()
            over = chunk is not None and not chunk.frames and _ends_before(plan.source.path, chunk.start_s)
        except (UserError, FaultError) as error:  # a disk that was taken away, or what a detector stumbles over
            self.faults += isinstance(error, FaultError)
            if self.faults == _MOST_FAULTS:
                raise
            plan.over = plan.failed = True
            self.report.skip(plan.source, error)
            return
        if plan.over or chunk is None:
            return
        if over:
            plan.over = True  # the end is where frames end, whatever the header says
        else:
            self._commit(plan, chunk)
            self.faults = 0
            plan.last_s = max(plan.last_s, chunk.last_s or 0.0)
            plan.damaged |= chunk.damaged
            self.done_s = plan.before_s + chunk.start_s + self.settings.chunk_s

    def _tell(self) -> None:
        reached = self.reached.copy()
        name = next((job.plan.source.path.name for job in reached), "")
        waiting_s = self.total_s * self.waiting_bytes / max(self.opened_bytes, 1)
        self.progress(min(self.done_s + sum(reached.values()), self.total_s), self.total_s + waiting_s, name)

    def _commit(self, plan: _Plan, chunk: NewChunk) -> None:
        gap_s = MAX_GAP_S
        if chunk.first_s is not None and is_sparse(self.settings.fps, plan.facts.frame_rate, self.settings.keyframes):
            gap_s = max(gap_s, chunk.first_s - plan.last_s)  # from sample to sample, as within a chunk
        border = self.writer.border(plan.video_id, chunk.number - 1)
        chunk = _linked(chunk, border, plan.facts.width / plan.facts.height, gap_s)
        self.writer.add_chunk(plan.video_id, chunk)
        self.report.frames += chunk.frames
        self.report.detections += chunk.detections
        self.report.tracklets += sum(tracklet.continues is None for tracklet in chunk.tracklets)
        self.report.crops += len(chunk.embeddings)

    def _finish(self, plan: _Plan, last_s: float) -> None:
        expected = max(plan.facts.duration_s, last_s)
        whole_s = expected - plan.facts.slack_s
        sampled_s = whole_s - (1 / self.settings.fps if self.settings.fps else 0.0)
        if last_s < whole_s and (self.settings.keyframes or last_s >= sampled_s):  # what follows was not looked at
            last_s = max(last_s, ends_at(plan.source.path, last_s))
        if not _unchanged(plan.source):
            self.report.skip(plan.source, UserError("went away or changed while it was read; run this again"))
            return
        note, short = DAMAGED if plan.damaged else None, last_s < whole_s
        if begins_anew(plan.source.path):
            note = "its time stamps begin anew on the way, and what follows is lost; split it there"
        elif short:
            note = f"cut off: {last_s:.0f} of {expected:.0f} s could be read; those are indexed"
        elif lacks_bytes(plan.source.path):
            note = "cut off: its end is missing; what could be read is indexed"
        if note:
            self.report.incomplete.append(Skipped(plan.source.file, note))
        length_s = last_s if short else expected
        self.writer.finish_video(plan.video_id, length_s, note)
        self.report.videos += 1
        self.report.video_s += length_s


def _ends_before(path: Path, time_s: float) -> bool:
    """Whether no frame comes in the day after a time; one that comes later still has a damaged time stamp."""
    return next(frames(path, time_s, time_s + _DAY_S, None, threads=1), None) is None


def _unchanged(source: Source) -> bool:
    try:
        stat = source.path.stat()
    except OSError:
        return False
    return (stat.st_size, stat.st_mtime_ns) == (source.size, source.mtime_ns)


def _linked(chunk: NewChunk, border: list[tuple[str, PathPoint, np.ndarray]], aspect: float, gap_s: float) -> NewChunk:
    """The chunk, its first tracklets joined to those that reached the end of the chunk before."""
    embeddings = iter(chunk.embeddings)
    begun = []
    for tracklet in chunk.tracklets:
        mean = np.mean([next(embeddings) for _ in tracklet.crops], axis=0)
        begun.append((tracklet.path[0].time_s, tracklet.path[0].box, mean / (np.linalg.norm(mean) + 1e-12)))
    early = [i for i, (time_s, _, _) in enumerate(begun) if time_s <= chunk.start_s + gap_s]
    ended = [(id_, point.time_s, point.box, mean / (np.linalg.norm(mean) + 1e-12)) for id_, point, mean in border]
    joined = dict(zip(early, continuations(ended, [begun[i] for i in early], aspect, gap_s), strict=True))
    tracklets = [replace(tracklet, continues=joined.get(i)) for i, tracklet in enumerate(chunk.tracklets)]
    return replace(chunk, tracklets=tracklets)
