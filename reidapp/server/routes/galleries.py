"""The galleries of this server."""

from urllib.parse import quote

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from reidapp.server.access import Anybody, Desk, galleries_of
from reidapp.server.routes._shared import Utc

router = APIRouter(tags=["galleries"])


class GalleryFacts(BaseModel):
    name: str
    url: str = Field(description="What the paths of all other calls begin with, for this gallery.")
    default: bool = Field(description="It is meant where a path names none.")
    model: str
    cameras: int
    videos: int
    unfinished: int | None = Field(
        description="Videos that are not indexed to their end; null, as for crops, for who may see a part."
    )
    tracklets: int
    crops: int | None
    first: Utc | None
    last: Utc | None


class GalleryList(BaseModel):
    galleries: list[GalleryFacts]


@router.get("/galleries")
def galleries(request: Request, asker: Anybody) -> GalleryList:
    """All galleries, the default one first, with what there is in them."""
    known = galleries_of(request)
    found = []
    for name, service in known:
        base = f"{request.app.state.api}/galleries/{quote(name, safe='')}"
        cameras = Desk(service, asker, base).cameras()
        summary = service.gallery.summary()
        found.append(
            GalleryFacts(
                name=name,
                url=base,
                default=service is known.default,
                model=summary.model,
                cameras=len(cameras),
                videos=sum(camera.videos for camera in cameras),
                unfinished=summary.unfinished if asker.sees_all else None,
                tracklets=sum(camera.tracklets for camera in cameras),
                crops=summary.crops if asker.sees_all else None,
                first=min((camera.first for camera in cameras), default=None),
                last=max((camera.last for camera in cameras), default=None),
            )
        )
    return GalleryList(galleries=found)
