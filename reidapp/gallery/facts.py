"""What a gallery tells of its cameras, recordings, tracklets and models."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from reidapp.box import Box
from reidapp.model_card import ModelCard
from reidapp.wording import counts


@dataclass(frozen=True)
class CameraInfo:
    """A camera: its clock, the UTC span of its footage, and how much of it there is.

    Attributes:
        zone: IANA name.
        offset_s: by which its clock is ahead of the true time.
        group: None where it is in none.
    """

    name: str
    zone: str
    offset_s: float
    group: str | None
    first: datetime
    last: datetime
    videos: int
    tracklets: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: times ISO 8601 UTC."""
        return {**vars(self), "first": iso(self.first), "last": iso(self.last)}

    def __str__(self) -> str:
        zone = ZoneInfo(self.zone)
        ahead = f", {abs(self.offset_s):g} s {'ahead' if self.offset_s > 0 else 'behind'}" if self.offset_s else ""
        group = f"  group {self.group}" if self.group else ""
        return (
            f"{self.name}  {self.zone}{ahead}{group}  {counts(recording=self.videos, tracklet=self.tracklets)}  "
            f"{self.first.astimezone(zone):%Y-%m-%d %H:%M:%S} – {self.last.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"
        )


@dataclass(frozen=True)
class VideoInfo:
    """A recording, as it was when it was indexed, and by its camera's clock as that is now."""

    id: str
    camera: str
    zone: str
    path: Path
    size: int  # bytes, when it was indexed
    mtime_ns: int  # then
    start: datetime  # UTC
    start_source: str  # template, name, container or mtime
    uncertain: str | None  # why the start may be wrong
    duration_s: float
    width: int
    height: int


@dataclass(frozen=True)
class PathPoint:
    """Where a tracklet's person was: seconds in the video, and the box."""

    time_s: float
    box: Box


@dataclass(frozen=True)
class CropInfo:
    """A best shot: seconds in the video, where in the frame it was, how good it is (0..1), and its WebP file."""

    id: str
    time_s: float
    box: Box
    quality: float
    file: Path


@dataclass(frozen=True)
class TrackletInfo:
    """A tracklet with all the pieces that continue it, as one."""

    id: str  # of the first piece
    camera: str
    video: VideoInfo
    start: datetime
    end: datetime
    start_s: float
    end_s: float
    path: list[PathPoint]
    crops: list[CropInfo]

    @property
    def best_shot(self) -> CropInfo | None:
        """The best of its crops; None where all of them are gone."""
        return max(self.crops, key=lambda crop: crop.quality, default=None)


@dataclass(frozen=True)
class ModelInfo:
    """An embedding model of a gallery: its card, how many crops have vectors of it, and whether it is searched."""

    id: str
    card: ModelCard
    file: Path
    crops: int
    active: bool

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        named = {"name": self.card.name, "version": self.card.version}
        return named | {key: getattr(self, key) for key in ("id", "crops", "active")}

    def __str__(self) -> str:
        mark = "  in use" if self.active else ""
        return f"{self.card.name}/{self.card.version}  {self.id[:8]}  {self.crops} crops{mark}"


@dataclass(frozen=True)
class GallerySummary:
    """What a gallery has in it. ``unfinished`` are those of the videos that were not indexed to their end."""

    model: str
    cameras: int
    videos: int
    unfinished: int
    tracklets: int
    crops: int
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True)
class GalleryFacts:
    """A gallery at a glance; ``bytes`` on disk, by part; ``rows``: where they are."""

    rows: str
    summary: GallerySummary
    models: list[ModelInfo]
    bytes: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: times ISO 8601 UTC."""
        facts = vars(self.summary) | {key: iso(getattr(self.summary, key)) for key in ("first", "last")}
        return facts | {"rows": self.rows, "models": [m.to_dict() for m in self.models], "bytes": self.bytes}

    def __str__(self) -> str:
        s = self.summary
        begun = f" ({s.unfinished} not indexed to their end)" if s.unfinished else ""
        found = counts(tracklet=s.tracklets, crop=s.crops)
        lines = [f"{counts(camera=s.cameras, recording=s.videos)}{begun}, {found}"]
        if s.first and s.last:
            lines.append(f"{s.first:%Y-%m-%d %H:%M:%S} – {s.last:%Y-%m-%d %H:%M:%S} UTC")
        lines += [f"rows in {self.rows}"] if "://" in self.rows else []
        lines += [f"model {model}" for model in self.models]
        parts = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in self.bytes.items())
        return "\n".join([*lines, f"{sum(self.bytes.values()) / 1e6:.1f} MB on disk: {parts}"])


def utc(milliseconds: float) -> datetime:
    """UTC milliseconds since 1970 as a datetime."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def iso(time: datetime | None) -> str | None:
    """A UTC time as JSON has it."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z") if time else None
