"""What the models of several nouns share: names, ids, times, boxes, and the one form of errors."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from reidapp.box import Box
from reidapp.errors import UserError
from reidapp.gallery.coverage import Stretch
from reidapp.gallery.facts import iso
from reidapp.server.jobs import Jobs

Text = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
TrackletId = Annotated[str, Field(pattern="^[0-9a-f]{16}$", description="Of a tracklet or hit.")]
Utc = Annotated[datetime, PlainSerializer(iso), WithJsonSchema({"type": "string", "format": "date-time"})]
Fractions = Annotated[
    list[Annotated[float, Field(ge=0, le=1)]],
    Field(min_length=4, max_length=4, description="x1, y1, x2, y2 as fractions of the frame's width and height."),
]

NameInPath = Annotated[Name, Path()]
IdInPath = Annotated[str, Path(pattern="^[0-9a-f]{16}$")]
TokenInPath = Annotated[str, Path(pattern="^[A-Za-z0-9_-]{1,64}$")]
Cameras = Annotated[
    list[Name] | None, Query(alias="camera", max_length=200, description="Only these cameras or groups.")
]
After = Annotated[AwareDatetime | None, Query(description="Only what was there at this time or later; with a zone.")]
Before = Annotated[AwareDatetime | None, Query(description="Only what was there at this time or earlier.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Entries of a page at most.")]
PageName = Annotated[
    str | None,
    Query(
        alias="page",
        max_length=100,
        pattern=r"^[^\x00]*$",
        description="`next` of the answer before; the first page without.",
    ),
]


class Model(BaseModel):
    """What comes in has no keys that are not known: a misspelt one would be a filter that does nothing."""

    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """Every error has this form."""

    error: str = Field(description="One line: what is wrong, and what to do.")


class Done(BaseModel):
    """What was done, in words."""

    done: list[str]


class Period(BaseModel):
    """A time without a break."""

    start: Utc
    end: Utc
    seconds: float


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in {
        400: "The request cannot be read.",
        401: "Nobody knows who asks.",
        403: "Whoever asks may not do this.",
        404: "There is nothing of this name or id, or it may not be seen.",
        405: "Another method is needed.",
        409: "Another process is writing to the gallery.",
        422: "A value is wrong.",
        503: "Too many ask at once, or the database lets nobody in; Retry-After says when to ask again.",
    }.items()
}


def file_of(*media_types: str) -> dict[str, Any]:
    """What a route that answers with a file says of it in the description."""
    content = {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in media_types}
    return {"responses": {200: {"content": content, "description": "The file."}}}


def with_ranges(*media_types: str) -> dict[str, Any]:
    """The same of a file that is sent in parts to who asks for some."""
    said = file_of(*media_types)
    said["responses"][206] = {**said["responses"][200], "description": "The part that was asked for."}
    said["responses"][416] = {"description": "There is no such part.", "content": {"text/plain": {}}}
    return said


def jobs_of(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs


def periods(stretches: Iterable[Stretch]) -> list[Period]:
    return [Period(start=each.start, end=each.end, seconds=each.seconds) for each in stretches]


def box_of(fractions: list[float]) -> Box:
    """
    Raises:
        UserError: nothing is in it.
    """
    box = Box(*fractions)
    if box.width <= 0 or box.height <= 0:
        raise UserError("box: x1 and y1 are those of the upper left corner, x2 and y2 of the lower right one")
    return box
