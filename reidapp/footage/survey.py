"""What indexing a folder would take up, and as what: by its list of files alone, or with every file opened too."""

import itertools
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from reidapp.errors import UserError
from reidapp.files import one_line
from reidapp.footage.decoding import VideoFacts, lacks_bytes, probe, readable_s
from reidapp.footage.indexing import Footage
from reidapp.footage.known import NOTHING, Known, State
from reidapp.footage.sources import Skipped, Source
from reidapp.footage.stills import probe_still
from reidapp.gallery.cameras import start_ms, uncertain
from reidapp.gallery.facts import iso, utc
from reidapp.imaging import is_picture
from reidapp.settings import CameraSettings
from reidapp.spans import Between, Span, gaps_and_overlaps
from reidapp.wording import counted

_LONGEST = timedelta(days=1)  # of a recording; a file's date later than that is when it was copied

_KNOWN: dict[State | None, str] = {"indexed": "indexed already", "deleted": "deleted from the gallery, and stays out"}

Progress = Callable[[float, float, str], None]
"""Called with files done, files in all, and the file at work."""


@dataclass(frozen=True)
class PlannedFile:
    """A recording as it would be indexed.

    Attributes:
        file: below the folder.
        start: UTC; None where only the file itself could say.
        end: UTC; None where it is not known without opening the file.
        start_source: as of a `Source`, or container or mtime.
        uncertain: why the start may be wrong, or why there is none yet.
        known: what becomes of it, if not that it is indexed: see `Known.state`.
        facts: None where the file was not opened.
    """

    file: str
    camera: str
    zone: str
    start: datetime | None
    end: datetime | None
    start_source: str
    uncertain: str | None
    known: State | None
    size: int
    mtime: datetime
    facts: VideoFacts | None

    @property
    def picture(self) -> bool:
        return is_picture(Path(self.file))

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: times ISO 8601 UTC, and the camera's with its zone's offset."""
        local = self.start.astimezone(ZoneInfo(self.zone)).isoformat() if self.start else None
        told = ("file", "camera", "zone", "start_source", "uncertain", "known", "size")
        named = {key: getattr(self, key) for key in told}
        read = ("duration_s", "frame_rate", "width", "height", "codec")
        opened = {key: getattr(self.facts, key) for key in read} if self.facts else {}
        return {**named, "start": iso(self.start), "camera_time": local, "end": iso(self.end), **opened}

    def __str__(self) -> str:
        when = f"{self.start.astimezone(ZoneInfo(self.zone)):%Y-%m-%d %H:%M:%S %Z}" if self.start else "start unknown"
        opened = f"  {_opened(self.facts)}" if self.facts else ""
        told = "".join(f"  ({why})" for why in (self.uncertain, _KNOWN.get(self.known)) if why)
        return f"{self.camera}  {when}  {self.file}{opened}{told}"


@dataclass(frozen=True)
class PlannedCamera:
    """A camera's recordings together.

    Attributes:
        offset_s: by which its clock is ahead of the true time.
        files: videos or pictures; these have neither gaps nor overlaps.
        exact: lengths are known, so gaps and overlaps are too. Without them, overlaps are recordings with the same
            start, and a gap lies between a file's date, where that can be its end, and the next start.
    """

    name: str
    zone: str
    offset_s: float
    group: str | None
    files: int
    pictures: bool
    first: datetime | None
    last: datetime | None
    exact: bool
    gaps: list[Between]
    overlaps: list[Between]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: times ISO 8601 UTC."""
        lists = {key: [vars(entry) for entry in getattr(self, key)] for key in ("gaps", "overlaps")}
        return {**vars(self), "first": iso(self.first), "last": iso(self.last), **lists}

    def __str__(self) -> str:
        zone = ZoneInfo(self.zone)
        span = "no start known"
        if self.first and self.last:
            first, last = (f"{time.astimezone(zone):%Y-%m-%d %H:%M:%S}" for time in (self.first, self.last))
            span = f"{first if first == last else f'{first} – {last}'} {self.last.astimezone(zone):%Z}"
        clock = self.zone + (f", {self.offset_s:+g} s" if self.offset_s else "")
        files = counted(self.files, "picture" if self.pictures else "file")
        lines = [f"{self.name}: {files}, {span} ({clock})" + (f", group {self.group}" if self.group else "")]
        about = "" if self.exact else "about "
        lines += [f"  gap of {about}{_length(gap.seconds)} from {gap.first} to {gap.second}" for gap in self.gaps]
        for overlap in self.overlaps:
            how = f"overlap by {_length(overlap.seconds)}" if self.exact else "begin at the same time"
            lines.append(f"  {overlap.first} and {overlap.second} {how}")
        return "\n".join(map(one_line, lines))


@dataclass
class Survey:
    """What indexing would take up, and of what only a part."""

    files: list[PlannedFile] = field(default_factory=list)
    incomplete: list[Skipped] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    probed: bool = False
    clocks: dict[str, CameraSettings] = field(default_factory=dict)

    @cached_property
    def cameras(self) -> list[PlannedCamera]:
        of_camera: dict[str, list[PlannedFile]] = defaultdict(list)
        for file in self.files:
            of_camera[file.camera].append(file)
        return [_camera(files, self.clocks.get(name), self.probed) for name, files in sorted(of_camera.items())]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "files": [file.to_dict() for file in self.files],
            "cameras": [camera.to_dict() for camera in self.cameras],
            "incomplete": [vars(entry) for entry in self.incomplete],
            "skipped": [vars(entry) for entry in self.skipped],
            "notes": self.notes,
        }

    def __str__(self) -> str:
        lines = [*(one_line(str(file)) for file in self.files), "", *map(str, self.cameras)]
        lines += [one_line(f"incomplete: {entry.file}: {entry.reason}") for entry in self.incomplete]
        lines += [one_line(f"skipped: {entry.file}: {entry.reason}") for entry in self.skipped]
        lines += [f"note: {note}" for note in self.notes]
        states = [file.known for file in self.files]
        for state, why in _KNOWN.items():
            if state in states:
                lines.append(f"{why}: {states.count(state)} of {counted(len(self.files), 'file')}")
        if not self.probed:
            unknown = "dates taken" if all(file.picture for file in self.files) else "lengths, exact gaps"
            lines.append(f"Files were not opened: {unknown} and unreadable files need --probe.")
        return "\n".join(lines)


def survey(
    footage: Footage,
    zone: str,
    probing: bool = False,
    progress: Progress = lambda done, total, name: None,
    known: Known = NOTHING,
) -> Survey:
    """Plan the indexing of what was found. Makes and changes nothing.

    Args:
        zone: of cameras of which the user says none.
        probing: open every file, for its length and size, and to name those that cannot be read, or not to their end.
        known: to the gallery that it is for.
    """
    result = Survey(skipped=list(footage.skipped), notes=list(footage.notes), probed=probing)
    for number, source in enumerate(footage.sources):
        camera = footage.cameras.get(source.camera, CameraSettings())
        file, facts, seconds, state = source.file, None, 0.0, known.state(source)
        if probing:
            progress(number, len(footage.sources), file)
            try:
                facts = probe_still(source.path) if is_picture(source.path) else probe(source.path)
                seconds, cut = readable_s(source.path, facts), lacks_bytes(source.path)
                state = known.state(source, by_content=True)
            except (OSError, UserError) as error:
                result.skipped.append(Skipped(file, str(error).removeprefix(f"{source.path.name}: ")))
                continue
            if cut or seconds < facts.duration_s:
                reason = f"cut off: {seconds:.0f} of {facts.duration_s:.0f} s can be read"
                if round(seconds) == round(facts.duration_s):
                    reason = "cut off: its end is missing"
                result.incomplete.append(Skipped(file, reason))
        planned = _planned(source, camera, zone, facts, seconds, state)
        result.files.append(planned)
        result.clocks[planned.camera] = camera
    if probing:
        progress(len(footage.sources), len(footage.sources), "")
    return result


def _planned(
    source: Source, camera: CameraSettings, zone: str, facts: VideoFacts | None, seconds: float, known: State | None
) -> PlannedFile:
    zone = camera.zone or zone
    written, start_source = source.written, source.start_source
    if facts is not None:
        written, start_source = source.started(facts.created, facts.duration_s)
    start = end = None
    why: str | None = "its path has no time: that within the file, or else the file's date will be taken"
    if written is not None:
        start = utc(start_ms(written.isoformat(), zone, camera.offset or 0.0))
        why = uncertain(start_source, written.isoformat(), zone)
        if seconds:
            end = start + timedelta(seconds=seconds)
    mtime = datetime.fromtimestamp(source.mtime_ns / 1e9, UTC)
    name = camera.name or source.camera
    if facts is not None and seconds:
        facts = replace(facts, duration_s=seconds)  # a file that was cut off is shorter than its header says
    return PlannedFile(source.file, name, zone, start, end, start_source, why, known, source.size, mtime, facts)


def _camera(files: list[PlannedFile], settings: CameraSettings | None, exact: bool) -> PlannedCamera:
    settings, pictures = settings or CameraSettings(), all(file.picture for file in files)
    timed = sorted(((file.start, file) for file in files if file.start), key=lambda entry: entry[0])
    if pictures:
        gaps, overlaps = list[Between](), list[Between]()
    elif exact:
        spans = [Span(f.file, _ms(start), _ms(f.end or start)) for start, f in timed]
        gaps, overlaps = gaps_and_overlaps(spans)
    else:
        gaps, overlaps = _without_lengths(timed)
    return PlannedCamera(
        name=files[0].camera,
        zone=files[0].zone,
        offset_s=settings.offset or 0.0,
        group=settings.group,
        files=len(files),
        pictures=pictures,
        first=timed[0][0] if timed else None,
        last=max(f.end or start for start, f in timed) if timed else None,
        exact=exact,
        gaps=gaps,
        overlaps=overlaps,
    )


def _without_lengths(timed: list[tuple[datetime, PlannedFile]]) -> tuple[list[Between], list[Between]]:
    gaps, same = [], []
    for (start, file), (following, after) in itertools.pairwise(timed):
        if following == start:
            same.append(Between(file.file, after.file, 0.0))
        elif start < file.mtime < following and file.mtime - start < _LONGEST:
            gaps += gaps_and_overlaps(
                [Span(file.file, _ms(start), _ms(file.mtime)), Span(after.file, _ms(following), _ms(following))]
            )[0]
    return gaps, same


def _opened(facts: VideoFacts) -> str:
    size = f"{facts.width}×{facts.height} {facts.codec}"
    return f"{facts.duration_s:.0f} s, {size}, {facts.frame_rate:.4g} fps" if facts.frame_rate else size


def _ms(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _length(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
