"""Whether a recording is still there, and still the one that was indexed. A share that hangs holds nobody up."""

import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from reidapp.errors import UserError
from reidapp.files import fingerprint
from reidapp.gallery.facts import VideoInfo
from reidapp.gallery.store import Gallery

PRESENT, GONE, REPLACED, SILENT = "present", "gone", "replaced", "silent"
"""There as indexed; no file there; another recording there; its disk or share does not answer."""

IN_WORDS = {
    GONE: "recording gone: the file is no longer where it was when it was indexed",
    REPLACED: "recording gone: the file is another one than when it was indexed",
    SILENT: "recording out of reach: its disk or share does not answer",
}
_WAIT_S = 1.0


class Recordings:
    """Looks at recordings in the background, folder by folder, and waits for the answers a second at most.

    A folder that has not answered by then is not asked again before it has, so threads do not pile up.
    """

    def __init__(self, wait_s: float = _WAIT_S) -> None:
        self.wait_s = wait_s
        self._looking: dict[Path, tuple[threading.Thread, float]] = {}

    def states(self, videos: Sequence[VideoInfo]) -> dict[str, str]:
        """{id: state} of each video."""
        folders: dict[Path, list[VideoInfo]] = defaultdict(list)
        for video in {video.id: video for video in videos}.values():
            folders[video.path.parent].append(video)
        answers: dict[str, str] = {}
        now = time.monotonic()
        threads = []
        for folder, inside in folders.items():
            before, since = self._looking.get(folder, (None, now))
            if before is not None and before.is_alive() and now - since > self.wait_s:
                continue
            thread = threading.Thread(target=_look, args=(inside, answers), daemon=True)
            thread.start()
            self._looking[folder] = (thread, now)
            threads.append(thread)
        for thread in threads:
            thread.join(max(0.0, now + self.wait_s - time.monotonic()))
        return {video.id: answers.get(video.id, SILENT) for video in videos}

    def state(self, video: VideoInfo) -> str:
        """Of one video."""
        return self.states([video])[video.id]

    def elsewhere(self, gallery: Gallery, video_id: str, path: Path) -> Path | None:
        """Where a gallery's recording lies, if that is another path, and it is there as indexed."""
        try:
            video = gallery.video(video_id)
        except UserError:
            return None
        return video.path if video.path != path and self.state(video) == PRESENT else None


def _look(videos: Sequence[VideoInfo], answers: dict[str, str]) -> None:
    for video in videos:
        answers[video.id] = _state(video)


def _state(video: VideoInfo) -> str:
    """By size and date; where only the date differs, by content: a copy may have another, a recorder's file another
    recording of the same size."""
    try:
        stat = video.path.stat()
        if stat.st_size != video.size:
            return REPLACED
        same = stat.st_mtime_ns == video.mtime_ns or fingerprint(video.path, video.size) == video.id
    except (OSError, ValueError):  # ValueError: no path at all, with a zero byte in it, of a damaged gallery
        return GONE
    return PRESENT if same else REPLACED
