"""Cases: hits kept together, with notes and verdicts; their archives."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from reidapp.errors import UnknownError, UserError
from reidapp.gallery.cases import CaseHit as StoredHit
from reidapp.gallery.cases import Cases, NewCaseHit
from reidapp.server.access import Desk, Investigator
from reidapp.server.jobs import export_command, export_file, new_id
from reidapp.server.routes._shared import Done, Model, Name, NameInPath, Text, TrackletId, Utc, file_of
from reidapp.server.routes.jobs import Job, JobInPath, jobs_of, told

router = APIRouter(tags=["cases"])

Verdict = Literal["yes", "no"] | None
CropId = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class Case(BaseModel):
    name: str
    note: str
    by: str
    at: str
    hits: int
    url: str


class CaseList(BaseModel):
    cases: list[Case]


class CaseHit(BaseModel):
    """A hit, and what was said of it."""

    tracklet: str
    camera: str
    zone: str
    video: str
    start: Utc
    end: Utc
    verdict: Verdict
    note: str
    score: float | None
    p_match: float | None
    by: str
    at: str
    crop: str | None
    thumbnail: str | None
    clip_url: str
    tracklet_url: str


class CaseWithHits(BaseModel):
    name: str
    note: str
    by: str
    at: str
    hits: list[CaseHit]


class NewCase(Model):
    name: Name
    note: Text = ""


class CaseChange(Model):
    """What is left out stays."""

    name: Name | None = None
    note: Text | None = None


class NewHit(Model):
    tracklet: TrackletId
    crop: CropId | None = Field(None, description="The hit's best shot; the tracklet's own without.")
    verdict: Verdict = None
    note: Text = ""
    score: float | None = Field(None, ge=-1, le=1)
    p_match: float | None = Field(None, ge=0, le=1)


class NewHits(Model):
    hits: Annotated[list[NewHit], Field(min_length=1, max_length=1000)]


class HitChange(Model):
    """What is left out stays."""

    verdict: Verdict = Field(None, description="null: open.")
    note: Text | None = Field(None, description="null leaves it.")


class ExportWanted(Model):
    heads: Literal["blurred", "shown"] = "blurred"


@router.get("/cases")
def cases(desk: Investigator) -> CaseList:
    """All cases, by name."""
    return CaseList(cases=[Case(**vars(each), url=desk.url("cases", each.name)) for each in _cases(desk).all()])


@router.post("/cases", status_code=201)
def new_case(desk: Investigator, new: NewCase) -> CaseWithHits:
    """Open a case."""
    _cases(desk).new(new.name, new.note)
    return _told(desk, new.name)


@router.get("/cases/{name:path}")
def case(desk: Investigator, name: NameInPath) -> CaseWithHits:
    """A case with its hits, in order of time."""
    return _told(desk, name)


@router.patch("/cases/{name:path}/hits/{tracklet_id}")
def judge_case_hit(desk: Investigator, name: NameInPath, tracklet_id: TrackletId, change: HitChange) -> CaseWithHits:
    """Say what a hit shows."""
    _cases(desk).judge(name, tracklet_id, **change.model_dump(exclude_unset=True))
    return _told(desk, name)


@router.patch("/cases/{name:path}")
def change_case(desk: Investigator, name: NameInPath, change: CaseChange) -> CaseWithHits:
    """Give a case another name or note."""
    _cases(desk).change(name, change.name, change.note)
    return _told(desk, change.name or name)


@router.delete("/cases/{name:path}/hits/{tracklet_id}")
def remove_case_hit(desk: Investigator, name: NameInPath, tracklet_id: TrackletId) -> CaseWithHits:
    """Take a hit out of a case."""
    _cases(desk).remove(name, [tracklet_id])
    return _told(desk, name)


@router.delete("/cases/{name:path}")
def delete_case(desk: Investigator, name: NameInPath) -> Done:
    """Forget a case, and what was said of its hits."""
    _cases(desk).delete(name)
    return Done(done=[f'case "{name}" is forgotten'])


@router.post("/cases/{name:path}/hits")
def add_case_hits(desk: Investigator, name: NameInPath, new: NewHits) -> CaseWithHits:
    """Put hits into a case; of those that are in it, what is left out here stays."""
    for hit in new.hits:
        desk.tracklet(hit.tracklet)
    _cases(desk).add(name, [NewCaseHit(**hit.model_dump()) for hit in new.hits])
    return _told(desk, name)


@router.post("/cases/{name:path}/exports", status_code=202)
def export_case(desk: Investigator, request: Request, name: NameInPath, wanted: ExportWanted) -> Job:
    """Begin to write a case's archive; when the job is done, /exports/{job} has it."""
    if hidden := [hit for hit in _cases(desk).hits(name) if not desk.sees(hit.info.id)]:
        raise UserError(f'case "{name}": {len(hidden)} of its hits are of cameras or times that you may not see')
    id_, show = new_id(), wanted.heads == "shown"
    command = export_command(desk.gallery, id_, _cases(desk).get(name).name, desk.asker.name, show)
    desk.note("export", case=name, heads=wanted.heads, job=id_)
    asked = {"case": name, **wanted.model_dump()}
    return told(desk, jobs_of(request).begin("export", desk.gallery.path, desk.asker.name, asked, command, id_))


@router.get("/exports/{job_id}", response_class=FileResponse, **file_of("application/zip"))
def exported(desk: Investigator, request: Request, job_id: JobInPath) -> FileResponse:
    """The archive that an export has written: CSV, JSON, clips, contact sheet, and a manifest with SHA-256."""
    job = jobs_of(request).get(job_id)
    file = export_file(desk.gallery, job.retry_of or job_id)
    mine = desk.asker.is_at_least("admin") or job.by == desk.asker.name
    if job.gallery != desk.gallery.path or job.kind != "export" or not mine or not file.is_file():
        raise UnknownError(f"export {job_id}: no archive; its job is {job.state}")
    headers = {"Cache-Control": "no-store"}
    return FileResponse(file, media_type="application/zip", headers=headers, filename=f"case-{job_id[:8]}.zip")


def _cases(desk: Desk) -> Cases:
    return Cases(desk.gallery, desk.asker.name)


def _told(desk: Desk, name: str) -> CaseWithHits:
    info = _cases(desk).get(name)
    hits = [_hit(desk, hit) for hit in _cases(desk).hits(name) if desk.asker.sees_all or desk.sees(hit.info.id)]
    return CaseWithHits(name=info.name, note=info.note, by=info.by, at=info.at, hits=hits)


def _hit(desk: Desk, hit: StoredHit) -> CaseHit:
    said = {key: value for key, value in vars(hit).items() if key != "info"}
    return CaseHit(
        **said,
        tracklet=hit.info.id,
        camera=hit.info.camera,
        zone=hit.info.video.zone,
        video=hit.info.video.id,
        start=hit.info.start,
        end=hit.info.end,
        thumbnail=desk.url("crops", hit.crop) if hit.crop else None,
        clip_url=desk.url("tracklets", hit.info.id, "clip"),
        tracklet_url=desk.url("tracklets", hit.info.id),
    )
