"""The log of what was done, by whom and when. Of the server, not of one gallery."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from reidapp.errors import UnknownError
from reidapp.server.access import AnyAdmin
from reidapp.server.audit import Audit
from reidapp.server.routes._shared import Limit, Model

router = APIRouter(prefix="/audit", tags=["audit"])


class Entry(BaseModel):
    """A row. It has ids, not names, and hashes of other words."""

    n: int
    at: str
    by: str = Field(description="Id of who did it; empty where nobody knows.")
    name: str | None = Field(description="Theirs, as far as the server knows it.")
    action: str
    gallery: str
    about: dict[str, Any]


class EntryList(BaseModel):
    entries: list[Entry]


class Head(BaseModel):
    head: str = Field(description="The last row's number and mac: keep it elsewhere.")


class ToVerify(Model):
    head: Annotated[str, Field(pattern=r"^\d{1,18}:[0-9a-f]*$", max_length=100)] | None = Field(
        None, description="As /audit/head said it at some time; the one that the server keeps without."
    )


class Checked(BaseModel):
    rows: int
    head: str
    broken: str | None = Field(description="What is wrong, in words; null: the log is whole.")


@router.get("")
def entries(
    request: Request, asker: AnyAdmin, limit: Limit = 100, before: Annotated[int | None, Query(ge=1, lt=2**62)] = None
) -> EntryList:
    """The last rows, the newest first; `before` a number: those before that row."""
    names = request.app.state.users.names() if request.app.state.users else {}
    found = [
        Entry(**{key: value for key, value in vars(entry).items() if key != "mac"}, name=names.get(entry.by))
        for entry in _audit(request).last(limit, before)
    ]
    return EntryList(entries=found)


@router.get("/head")
def head(request: Request, asker: AnyAdmin) -> Head:
    """What proves later that no row was cut off at the end."""
    return Head(head=_audit(request).head())


@router.post("/verify")
def verify(request: Request, asker: AnyAdmin, wanted: ToVerify) -> Checked:
    """Look whether every row is as it was written, and none is missing."""
    return Checked(**_audit(request).verify(wanted.head).to_dict())


def _audit(request: Request) -> Audit:
    audit: Audit | None = request.app.state.audit
    if audit is None:
        raise UnknownError("this server keeps no log")
    return audit
