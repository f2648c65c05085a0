"""What the page shows of a gallery, as JSON for the components; no Gradio here.

Times are shown on the camera's own clock, with its zone beside them.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from reidapp.box import Box
from reidapp.errors import UserError
from reidapp.gallery.recordings import IN_WORDS
from reidapp.gallery.search import Hit, SearchResult
from reidapp.gallery.store import CameraInfo, Gallery
from reidapp.imaging import is_picture
from reidapp.server.service import WHOLE
from reidapp.wording import counted

Json = dict[str, Any]


def facts(gallery: Gallery, provider: str) -> list[list[str]]:
    """The line below the title: texts, each with a longer one for the pointer."""
    summary = gallery.summary()
    period = ""
    if summary.first and summary.last:
        period = span(summary.first, summary.last, ZoneInfo(zones(gallery.cameras())[0]), zone_name=True)
    lines = [
        [counted(summary.cameras, "camera"), ""],
        [counted(summary.videos, "recording"), ""],
        [counted(summary.tracklets, "tracklet"), "Each is one person seen by one camera without a break"],
        [period, "From the first recording to the end of the last"],
        [f"model {summary.model}", f"Runs on {provider}"],
    ]
    return [line for line in lines if line[0]]


def zones(cameras: Sequence[CameraInfo]) -> list[str]:
    """The cameras' zones, the one of most cameras first."""
    return [name for name, _ in Counter(sorted(camera.zone for camera in cameras)).most_common()]


def clock_choice(cameras: Sequence[CameraInfo]) -> Json:
    """The value of the time filter before the user touches it."""
    if not cameras:
        return {"recorded": {}, "after": "", "before": "", "zone": "UTC"}
    first, last = min(camera.first for camera in cameras), max(camera.last for camera in cameras)
    recorded = {name: f"Recorded {span(first, last, ZoneInfo(name))}, {name}." for name in zones(cameras)}
    return {"recorded": recorded, "after": "", "before": "", "zone": next(iter(recorded))}


def camera_choices(cameras: Sequence[CameraInfo]) -> list[tuple[str, str]]:
    """(text, name) of all that can be ticked: groups, then cameras."""
    names = [camera.name for camera in cameras]
    groups = Counter(camera.group for camera in cameras if camera.group)
    of_groups = [(f"{name} ({counted(size, 'camera')})", name) for name, size in sorted(groups.items())]
    return [*(choice for choice in of_groups if choice[1] not in names), *((name, name) for name in names)]


def chosen_times(choice: Json | None) -> tuple[datetime | None, datetime | None]:
    """From and to in UTC, out of what the time filter holds.

    Raises:
        UserError: no times, or the wrong way round.
    """
    choice = choice or {}
    try:
        zone = ZoneInfo(str(choice.get("zone") or "UTC"))
        after, before = (
            datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC) if text else None
            for text in (choice.get("after"), choice.get("before"))
        )
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise UserError("The time filter cannot be read; choose the times again.") from error
    if after and before and after >= before:
        raise UserError("The time filter ends before it begins; nothing can lie in between.")
    return after, before


def chosen_person(chosen: Json | None) -> tuple[str, Box]:
    """The query picture's id and the part of it that is meant, out of what the picker holds.

    Raises:
        UserError: nothing is chosen.
    """
    if not chosen:
        raise UserError("Give a picture first; if it shows several people, click the one you mean.")
    try:
        box = Box(*map(float, chosen["box"])).clipped() if chosen.get("box") else WHOLE
        if box.area > 0:
            return str(chosen["id"]), box
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    raise UserError("The chosen person cannot be read; give the picture again.")


def empty_gallery(gallery: Gallery) -> Json:
    return message(
        "This gallery is empty. Put recordings in, then load this page again:",
        command=f"reidapp index FOLDER --gallery {gallery.path}",
    )


def message(say: str = "", problem: str = "", command: str = "") -> Json:
    """The value of the hits without hits."""
    return {"say": say, "problem": problem, "command": command, "hits": []}


def hits(result: SearchResult, filtered: bool) -> Json:
    """The value of the hits after a search."""
    if not result.hits:
        return message(
            "Nothing that was recorded lies within these filters. Take more cameras or a longer time."
            if filtered
            else "No tracklets to compare with: nobody was found in the recordings so far."
        )
    found = f"{counted(len(result.hits), 'hit')}, most similar first, in {result.seconds * 1000:.0f} ms."
    told = [f"{line[0].upper()}{line[1:]}." for line in result.told(filtered)]
    return {**message(" ".join([found, *told])), "hits": [card(hit) for hit in result.hits]}


def card(hit: Hit) -> Json:
    zone = ZoneInfo(hit.zone)
    best = hit.best_time.astimezone(zone)
    return {
        "rank": hit.rank,
        "crop": f"media/crop/{hit.crop}",
        "video": f"media/{'still' if is_picture(hit.video) else 'video'}/{hit.video_id}",
        "still": is_picture(hit.video),
        "track": f"media/tracklet/{hit.tracklet}",
        "camera": hit.camera,
        "date": day(best),
        "time": f"{best:%H:%M:%S %Z}",
        "span": span(hit.start, hit.end, zone, with_day=False),
        "zone": hit.zone,
        "score": hit.score,
        "p_match": hit.p_match,
        "best_s": hit.best_s,
        "uncertain": hit.uncertain,
        "gone": IN_WORDS.get(hit.recording),
        "file": hit.video.name,
        "path": str(hit.video),
    }


def span(start: datetime, end: datetime, zone: ZoneInfo, with_day: bool = True, zone_name: bool = False) -> str:
    """``20 Nov 2026, 09:00:00 – 12:00:00 CET``; the second day is written where it is another one."""
    start, end = start.astimezone(zone), end.astimezone(zone)
    first = f"{day(start)}, " if with_day else ""
    second = f"{day(end)}, " if end.date() != start.date() else ""
    return f"{first}{start:%H:%M:%S} – {second}{end:%H:%M:%S}" + (f" {end:%Z}" if zone_name else "")


def day(time: datetime) -> str:
    return f"{time.day} {time:%b %Y}"
