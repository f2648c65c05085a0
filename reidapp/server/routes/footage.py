"""Footage on the server: which folders may be indexed, and as what. To index one, begin the job `index`."""

import json
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from reidapp.detector_files import pulled
from reidapp.errors import UserError
from reidapp.footage.detection import built_in
from reidapp.footage.indexing import find_footage, recorders_like
from reidapp.footage.known import Known
from reidapp.footage.survey import survey
from reidapp.footage.templates import recorders
from reidapp.server.access import Admin
from reidapp.server.job_commands import allowed
from reidapp.server.routes._shared import Model, jobs_of
from reidapp.settings import IndexSettings, local_zone

router = APIRouter(tags=["footage"])

_OPENED = 100  # files that a request may open


class Footage(Model):
    """A folder of footage, as the server sees it, and how its files are to be understood."""

    folder: Annotated[str, Field(min_length=1, max_length=4000, pattern=r"^[^\x00]+$")]
    template: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]+$")] | None = Field(
        None, description="Of paths, such as {camera}/{start}, or a recorder's name; guessed without."
    )
    zone: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z][A-Za-z0-9/_+-]*$")] | None = Field(
        None, description="IANA name of new cameras' zone; the server's without."
    )
    take: Literal["videos", "stills", "crops"] = "videos"


class FootageToPlan(Footage):
    """How much of the plan is wanted."""

    limit: int | None = Field(None, ge=1, le=100_000, description="Entries of each list at most; all without.")
    probe: bool = Field(False, description=f"Open the files that are listed; takes a limit of {_OPENED} at most.")


class FootagePlan(BaseModel):
    """What would be indexed as what: cameras with their recordings and gaps, as `index --dry-run --json` prints it.

    Counts are of all files, whether the lists have room for them or not.
    """

    files: int
    bytes: int = Field(description="Size of these files.")
    indexed: int = Field(description="Of these, files that the gallery has already; they stay as they are.")
    deleted: int = Field(description="Of these, files whose recordings were deleted from the gallery; they stay out.")
    new_bytes: int = Field(description="Size of the others.")
    left_out: int = Field(description="Files that would be left out, as far as their paths tell.")
    recorders: list[str] = Field(description="Of whose form the paths are, where no template was given; try them.")
    plan: dict[str, Any]


class FootageOptions(BaseModel):
    """What the job `index` can be told here."""

    folders: list[str] = Field(description="Only folders below these may be indexed; none: any.")
    zone: str = Field(description="The server's.")
    recorders: list[str] = Field(description="Whose names are templates.")
    detectors: list[str] = Field(description="That of the newest recording in the gallery comes first.")


@router.get("/footage-options")
def footage_options(desk: Admin, request: Request) -> FootageOptions:
    """What the job `index` can be told here: folders, zone, recorders, detectors."""
    last = desk.gallery.detector
    return FootageOptions(
        folders=[str(folder) for folder in jobs_of(request).footage],
        zone=local_zone(),
        recorders=sorted(recorders()),
        detectors=sorted({*built_in(), *pulled()}, key=lambda name: (name != last, name)),
    )


@router.post("/footage-plans")
def plan_footage(desk: Admin, request: Request, wanted: FootageToPlan) -> FootagePlan:
    """What indexing a folder would take as which camera and time, by paths alone unless `probe`; nothing is made."""
    if wanted.probe and (wanted.limit is None or wanted.limit > _OPENED):
        raise UserError(f"probe: {_OPENED} files at most are opened for a request; give a limit")
    folder = allowed(jobs_of(request), wanted.folder)
    said = {"template": wanted.template, "zone": wanted.zone, "kind": wanted.take}
    settings = IndexSettings.checked(**{key: value for key, value in said.items() if value})
    found = find_footage(folder, settings, may_be_unfit=True)
    first = slice(wanted.limit)
    some = replace(found, sources=found.sources[first], skipped=found.skipped[first])
    known = Known.to(desk.gallery)
    looked = survey(some, settings.zone, wanted.probe, known=known)
    opened = {file.file: file.known for file in looked.files}  # maybe known by content
    states = [opened.get(source.file) or known.state(source) for source in found.sources]
    plan = looked.to_dict()
    plan["cameras"] = [camera.to_dict() for camera in survey(found, settings.zone).cameras]
    for camera in plan["cameras"]:
        camera |= {key: camera[key][first] for key in ("gaps", "overlaps")}
    return FootagePlan(
        files=len(found.sources),
        bytes=sum(source.size for source in found.sources),
        indexed=states.count("indexed"),
        deleted=states.count("deleted"),
        new_bytes=sum(source.size for source, state in zip(found.sources, states, strict=True) if state is None),
        left_out=len(found.skipped),
        recorders=recorders_like(folder, found.sources, settings),
        plan=json.loads(json.dumps(plan, default=str)),
    )
