"""Who asks, and what they may see: the one dependency that every route takes.

A route asks for a `Viewer`, an `Investigator` or an `Admin`: each is a `Desk`, at which somebody of that rank or a
higher one looks into one gallery. What a desk hands out is what its asker may see; all else is not there.
"""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import quote

from fastapi import Depends, Request

from reidapp.errors import UnknownError, UserError
from reidapp.gallery import listing
from reidapp.gallery.between import camera_between, seconds_between, tracklet_between
from reidapp.gallery.facts import CameraInfo, TrackletInfo, VideoInfo
from reidapp.gallery.listing import TrackletEntry
from reidapp.gallery.store import Gallery
from reidapp.server.askers import Asker, RefusedError, Role
from reidapp.server.audit import Audit
from reidapp.server.clips import Window
from reidapp.server.galleries import Galleries
from reidapp.server.service import Kept, Query, SearchService, Wanted

API = "/api/v1"
Owned = TypeVar("Owned", Query, Wanted)
_log = logging.getLogger("reidapp.access")


@dataclass(frozen=True)
class Desk:
    """One gallery, as far as an asker may see it.

    Attributes:
        base: path of this gallery's part of the API, as the asker's side of a proxy knows it.
        audit: the log of what is done, where one is kept.
        demand_purpose: a search has to say what it is for.
    """

    service: SearchService
    asker: Asker
    base: str
    audit: Audit | None = None
    demand_purpose: bool = False

    @property
    def gallery(self) -> Gallery:
        """What is looked into."""
        return self.service.gallery

    def url(self, *parts: str | int) -> str:
        """A path below this gallery's part of the API."""
        return "/".join([self.base, *(quote(str(part), safe="") for part in parts)])

    def cameras(self) -> list[CameraInfo]:
        """All that may be seen, by name; of one that may be seen for a time, what there is of that."""
        every, asker = [c for c in self.gallery.cameras() if self._allows(c)], self.asker
        if asker.after is None and asker.before is None:
            return every
        parts = (camera_between(self.gallery, camera, asker.after, asker.before) for camera in every)
        return [part for part in parts if part]

    def camera(self, name: str) -> CameraInfo:
        """
        Raises:
            UnknownError: none of this name may be seen.
        """
        for camera in self.cameras():
            if camera.name == name:
                return camera
        raise UnknownError(f'camera "{name}" is not in this gallery')

    def chosen(self, names: Sequence[str] | None) -> list[str] | None:
        """The cameras to look at when these were asked for, or none in particular; None: no filter.

        Raises:
            UserError: one of them may not be seen.
        """
        if self.asker.sees_all:
            return list(names) if names else None
        own = self.cameras()
        if not names:
            return [camera.name for camera in own]
        for name in names:
            if all(name not in (camera.name, camera.group) for camera in own):
                raise UserError(f'camera "{name}" is not in this gallery')
        return [camera.name for camera in own if camera.name in names or camera.group in names]

    def period(self, after: datetime | None, before: datetime | None) -> tuple[datetime | None, datetime | None]:
        """The part of a time that may be seen."""
        starts = [time for time in (after, self.asker.after) if time]
        ends = [time for time in (before, self.asker.before) if time]
        return max(starts, default=None), min(ends, default=None)

    def video(self, video_id: str) -> VideoInfo:
        """
        Raises:
            UnknownError: no such recording may be seen.
        """
        video = self.gallery.video(video_id)
        if not self._shows(video.camera, video.start, video.start + timedelta(seconds=video.duration_s)):
            raise UnknownError(f"video {video_id}: not in this gallery")
        return video

    def whole_video(self, video_id: str) -> VideoInfo:
        """A recording all of which may be seen.

        Raises:
            UnknownError: no such recording may be seen.
            RefusedError: it shows more time than may be seen.
        """
        video = self.video(video_id)
        ends = video.start + timedelta(seconds=video.duration_s)
        if self.period(video.start, ends) != (video.start, ends):
            raise RefusedError(f"video {video_id}: shows more than the time that you may see; ask for clips of it")
        return video

    def window(self, video: VideoInfo, wanted: Window) -> Window:
        """The part of a part of a recording that may be seen.

        Raises:
            UnknownError: none of it.
        """
        start_s, end_s = seconds_between(video, wanted.start_s, wanted.end_s, self.asker.after, self.asker.before)
        if start_s > end_s:
            raise UnknownError(f"video {video.id}: not in this gallery at that time")
        return Window(round(start_s, 3), round(end_s, 3))

    def tracklet(self, tracklet_id: str) -> TrackletInfo:
        """A tracklet, of one that goes beyond the time that may be seen the part in it.

        Raises:
            UnknownError: no such tracklet may be seen.
        """
        if part := self.part(self.gallery.tracklet(tracklet_id)):
            return part
        raise UnknownError(f"tracklet {tracklet_id}: not in this gallery")

    def part(self, info: TrackletInfo) -> TrackletInfo | None:
        """What of a tracklet may be seen; None: nothing."""
        if not self._shows(info.camera, info.start, info.end):
            return None
        return tracklet_between(info, self.asker.after, self.asker.before)

    def entry(self, entry: TrackletEntry) -> TrackletEntry:
        """An entry of a list of tracklets of which a part may be seen: that part."""
        if self.period(entry.start, entry.end) == (entry.start, entry.end):
            return entry
        info = self.tracklet(entry.id)
        return replace(entry, start=info.start, end=info.end, crop=info.best_shot.id if info.best_shot else None)

    def sees(self, tracklet_id: str) -> bool:
        """Whether a tracklet is there and may be seen."""
        try:
            self.tracklet(tracklet_id)
        except UnknownError:
            return False
        return True

    def crop_file(self, crop_id: str) -> Path:
        """
        Raises:
            UnknownError: no such best shot may be seen.
        """
        if not self.asker.sees_all:
            piece = listing.tracklet_of(self.gallery, crop_id)
            seen = self.part(self.gallery.tracklet(piece)) if piece else None
            if seen is None or all(crop.id != crop_id for crop in seen.crops):
                raise UnknownError(f"crop {crop_id}: not in this gallery")
        return self.gallery.crop_file(crop_id)

    @property
    def owner(self) -> str:
        """Of what is kept for the asker for some minutes."""
        return self.asker.id or self.asker.name

    def own(self, kept: Kept[Owned], id_: str) -> Owned:
        """Something of the last minutes that this asker has given or asked.

        Raises:
            UnknownError: it is gone, or somebody else's.
        """
        item = kept.get(id_)
        if item.owner not in ("", self.owner):
            raise UnknownError(kept.gone)
        return item

    def check_purpose(self, purpose: str | None) -> None:
        """
        Raises:
            UserError: there is none, and this server demands it.
        """
        if self.demand_purpose and not (purpose or "").strip():
            raise UserError("purpose: say what the search is for, such as a case's number; it is written down")

    def note(self, action: str, **about: str | int | None) -> None:
        """Write down in the log what is done, before it is. Without one, tell the log `reidapp.access`."""
        if self.audit:
            self.audit.add(action, self.asker.id, self.gallery.path.name, **about)
        said = {"action": action, "by": self.asker.name, "gallery": self.gallery.path.name, **about}
        _log.info("%s", json.dumps(said, ensure_ascii=False))

    def note_view(self, video: VideoInfo) -> None:
        """Write down that a recording is looked at; once where it comes in parts."""
        self._note_once(video=video.id)

    def note_shot(self, crop_id: str) -> None:
        """Write down that a camera's best shots of a day are looked at; once, since a page has many.

        Raises:
            UnknownError: there is no such best shot.
        """
        if self.audit:
            camera, at = listing.shown_in(self.gallery, crop_id)
            self._note_once(what="best shots", camera=camera, day=f"{at:%Y-%m-%d}")

    def note_saved_picture(self, name: str) -> None:
        """Write down that a saved search's pictures are looked at; once."""
        self._note_once(what="saved search", name=name)

    def _note_once(self, **about: str) -> None:
        if self.audit:
            self.audit.add_once("view", self.asker.id, self.gallery.path.name, **about)

    def _allows(self, camera: CameraInfo) -> bool:
        allowed = self.asker.cameras
        return allowed is None or camera.name in allowed or camera.group in allowed

    def _shows(self, camera: str, start: datetime, end: datetime) -> bool:
        asker = self.asker
        if asker.cameras is not None and all(c.name != camera or not self._allows(c) for c in self.gallery.cameras()):
            return False
        return not (asker.after and end < asker.after) and not (asker.before and start > asker.before)


def asker_of(request: Request) -> Asker:
    """Who asks, as `reidapp.server.security.Gate` has found out."""
    asker: Asker = request.state.asker
    return asker


def galleries_of(request: Request) -> Galleries:
    """Those that the server has."""
    galleries: Galleries = request.app.state.galleries
    return galleries


def _desk_for(role: Role) -> Callable[..., Desk]:
    def desk(request: Request, asker: Annotated[Asker, Depends(asker_of)]) -> Desk:
        check_role(asker, role)
        name, state = request.path_params.get("gallery"), request.app.state
        base = state.api + (f"/galleries/{quote(name, safe='')}" if name else "")
        return Desk(galleries_of(request).named(name), asker, base, state.audit, state.demand_purpose)

    return desk


def check_role(asker: Asker, role: Role) -> None:
    """
    Raises:
        RefusedError: this takes more.
    """
    if not asker.is_at_least(role):
        limited = "" if asker.sees_all else ", of a part of the gallery"
        raise RefusedError(f"{asker.name} is {asker.role}{limited}; this takes {role}")


def _admin(asker: Annotated[Asker, Depends(asker_of)]) -> Asker:
    check_role(asker, "admin")
    return asker


Anybody = Annotated[Asker, Depends(asker_of)]
AnyAdmin = Annotated[Asker, Depends(_admin)]
Viewer = Annotated[Desk, Depends(_desk_for("viewer"))]
Investigator = Annotated[Desk, Depends(_desk_for("investigator"))]
Admin = Annotated[Desk, Depends(_desk_for("admin"))]
