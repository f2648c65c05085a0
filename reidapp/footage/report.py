"""What an indexing run did, and how far it has got."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reidapp.footage.sources import Skipped, Source

Progress = Callable[[float, float, str], None]
"""Called with seconds of video (or pictures) done, those in all, and the name of the file at work."""


@dataclass
class IndexReport:
    """What a run did. Counts are of this run alone."""

    videos: int = 0  # or pictures
    frames: int = 0
    detections: int = 0
    tracklets: int = 0
    crops: int = 0
    unchanged: int = 0  # files that were indexed before
    deleted: int = 0  # files whose recordings were deleted from the gallery
    video_s: float = 0.0
    notes: list[str] = field(default_factory=list)  # what the user should know, and nothing was left out for
    skipped: list[Skipped] = field(default_factory=list)
    unread: list[Path] = field(default_factory=list)  # of those: their disk or share failed, which may pass
    incomplete: list[Skipped] = field(default_factory=list)  # read in part: what could be read is in the gallery
    interrupted: bool = False

    def add(self, other: "IndexReport") -> None:
        """Count another run in."""
        for key, value in vars(other).items():
            mine = getattr(self, key)
            setattr(self, key, mine or value if isinstance(mine, bool) else mine + value)

    def skip(self, source: Source, error: Exception) -> None:
        """Name a file that was left out."""
        if isinstance(error, OSError) or isinstance(error.__cause__, OSError):
            self.unread.append(source.path)
        self.skipped.append(Skipped(source.file, str(error).removeprefix(f"{source.path.name}: ")))

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        lists = {key: [vars(entry) for entry in getattr(self, key)] for key in ("skipped", "incomplete")}
        unread = [str(path) for path in self.unread]
        return {**vars(self), "video_s": round(self.video_s, 2), "unread": unread, **lists}
