"""Pictures to search with. They are kept in memory for half an hour, and nowhere else."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi import Query as InQuery
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import BaseModel, Field

from reidapp.server.access import Desk, Viewer
from reidapp.server.media import send_query, take_query
from reidapp.server.routes._shared import Fractions, Text, TokenInPath, file_of
from reidapp.server.service import Part, Query

router = APIRouter(prefix="/queries", tags=["search"])

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The file itself: JPEG, PNG, WebP, BMP, TIFF or GIF.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class Person(BaseModel):
    """Somebody who was found in the picture."""

    box: Fractions
    score: float


class QueryPicture(BaseModel):
    """A picture that was looked at.

    People are numbered from left to right, from 1. There are none where the picture is one person's already
    (`is_crop`), or where nobody was found.
    """

    id: str
    url: str
    width: int
    height: int
    is_crop: bool
    people: list[Person]
    warnings: list[str] = Field(description="Why hits may be worse than they could be, where it is clear who is meant.")


@router.post("", openapi_extra=_BODY)
async def give_picture(
    desk: Viewer,
    request: Request,
    name: Annotated[Text, InQuery(description="What errors call the picture.")] = "picture",
) -> QueryPicture:
    """Give a picture, and see who is in it; the body is the file."""
    query = await take_query(desk, request, name)
    return await run_in_threadpool(_told, desk, query)


@router.get("/{query_id}", response_class=Response, **file_of("image/jpeg"))
def picture(desk: Viewer, query_id: TokenInPath) -> Response:
    """The picture, at most 1280 pixels on its longer side."""
    return send_query(desk, query_id)


def _told(desk: Desk, query: Query) -> QueryPicture:
    clear = len(query.people) < 2
    warnings = desk.service.crops([Part(query.id)])[0].warnings if clear else []
    return QueryPicture(
        id=query.id,
        url=desk.url("queries", query.id),
        width=query.width,
        height=query.height,
        is_crop=query.is_crop,
        people=[
            Person(box=[float(v) for v in person.box.clipped()], score=float(person.score)) for person in query.people
        ],
        warnings=[warning.text for warning in warnings if warning.kind != "nobody"],  # `people` says that
    )
