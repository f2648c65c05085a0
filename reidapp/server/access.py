"""Who asks, and what they may see: the one dependency that every route takes.

A route asks for a `Viewer`, an `Investigator` or an `Admin`: each is a `Desk`, at which somebody of that rank or a
higher one looks into one gallery. What a desk hands out is what its asker may see; all else is not there.
"""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import Depends, Request

from reidapp.errors import ReidappError, UnknownError, UserError
from reidapp.gallery import listing
from reidapp.gallery.store import CameraInfo, Gallery, TrackletInfo, VideoInfo
from reidapp.server.galleries import Galleries
from reidapp.server.service import SearchService

API = "/api/v1"
Role = Literal["viewer", "investigator", "admin"]
_log = logging.getLogger("reidapp.access")
_RANKS: tuple[Role, ...] = ("viewer", "investigator", "admin")


class RefusedError(ReidappError):
    """Whoever asks may not do this."""


@dataclass(frozen=True)
class Asker:
    """Somebody who asks.

    Attributes:
        name: stands beside what they leave behind.
        role: viewers look and search; investigators also judge, name and export; admins change the gallery.
        cameras: names of the cameras, or groups, that they may see; None: all.
        after, before: the time that they may see, UTC; None: no bound.
    """

    name: str
    role: Role = "admin"
    cameras: frozenset[str] | None = None
    after: datetime | None = None
    before: datetime | None = None

    def is_at_least(self, role: Role) -> bool:
        return _RANKS.index(self.role) >= _RANKS.index(role)

    @property
    def sees_all(self) -> bool:
        return self.cameras is None and self.after is None and self.before is None


@dataclass(frozen=True)
class Desk:
    """One gallery, as far as an asker may see it.

    Attributes:
        base: path of this gallery's part of the API, as the asker's side of a proxy knows it.
    """

    service: SearchService
    asker: Asker
    base: str

    @property
    def gallery(self) -> Gallery:
        return self.service.gallery

    def url(self, *parts: str | int) -> str:
        """A path below this gallery's part of the API."""
        return "/".join([self.base, *(quote(str(part), safe="") for part in parts)])

    def cameras(self) -> list[CameraInfo]:
        """All that may be seen, by name."""
        allowed = self.asker.cameras
        every = self.gallery.cameras()
        return [c for c in every if allowed is None or c.name in allowed or c.group in allowed]

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
        if self.asker.cameras is None:
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

    def tracklet(self, tracklet_id: str) -> TrackletInfo:
        """
        Raises:
            UnknownError: no such tracklet may be seen.
        """
        tracklet = self.gallery.tracklet(tracklet_id)
        if not self._shows(tracklet.camera, tracklet.start, tracklet.end):
            raise UnknownError(f"tracklet {tracklet_id}: not in this gallery")
        return tracklet

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
        file = self.gallery.crop_file(crop_id)
        if not self.asker.sees_all:
            self.tracklet(listing.tracklet_of(self.gallery, crop_id) or "")
        return file

    def note(self, action: str, **about: Any) -> None:
        """Tell the log `reidapp.access`, which nothing keeps unless whoever embeds the server sees to it."""
        said = {"action": action, "by": self.asker.name, "gallery": self.gallery.path.name, **about}
        _log.info(json.dumps(said, ensure_ascii=False))

    def _shows(self, camera: str, start: datetime, end: datetime) -> bool:
        asker = self.asker
        if asker.cameras is not None and camera not in {each.name for each in self.cameras()}:
            return False
        return not (asker.after and end < asker.after) and not (asker.before and start > asker.before)


def asker_of(request: Request) -> Asker:
    """Who asks: so far everybody who has come by the link is the same person."""
    asker: Asker = request.app.state.asker
    return asker


def galleries_of(request: Request) -> Galleries:
    galleries: Galleries = request.app.state.galleries
    return galleries


def _desk_for(role: Role) -> Callable[..., Desk]:
    def desk(request: Request, asker: Annotated[Asker, Depends(asker_of)]) -> Desk:
        if not asker.is_at_least(role):
            raise RefusedError(f"{asker.name} is {asker.role}; this takes {role}")
        name = request.path_params.get("gallery")
        base = request.app.state.api + (f"/galleries/{quote(name, safe='')}" if name else "")
        return Desk(galleries_of(request).named(name), asker, base)

    return desk


Anybody = Annotated[Asker, Depends(asker_of)]
Viewer = Annotated[Desk, Depends(_desk_for("viewer"))]
Investigator = Annotated[Desk, Depends(_desk_for("investigator"))]
Admin = Annotated[Desk, Depends(_desk_for("admin"))]
