"""Cases: hits kept together, with notes and verdicts; their archives."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from reidapp.errors import UnknownError, UserError
from reidapp.gallery.case_export import Part
from reidapp.gallery.cases import CaseHit as StoredHit
from reidapp.gallery.cases import Cases, NewCaseHit
from reidapp.gallery.recordings import Recordings
from reidapp.server.access import Desk, Investigator
from reidapp.server.askers import RefusedError
from reidapp.server.job_commands import export_command, export_file
from reidapp.server.jobs import new_id
from reidapp.server.routes import _seen
from reidapp.server.routes._shared import Done, Model, Name, NameInPath, Text, TrackletId, Utc, file_of
from reidapp.server.routes.jobs import Job, JobInPath, jobs_of, seen_job, told

router = APIRouter(tags=["cases"])

Verdict = Literal["yes", "no", "unsure"] | None
CropId = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
_recordings = Recordings()


class Case(BaseModel):
    id: str = Field(description="It stays when the name changes.")
    name: str
    note: str
    by: str
    at: str
    closed: str | None = Field(description="Since when; null: it is open.")
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
    file: str
    start: Utc
    end: Utc
    best_s: float | None = Field(description="Of the best shot, in seconds since the recording begins.")
    uncertain: str | None = Field(description="Why the times may be wrong.")
    recording: str = Field(description="present, gone, replaced or silent: its disk does not answer.")
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
    id: str
    name: str
    note: str
    by: str
    at: str
    closed: str | None
    hits: list[CaseHit]


class NewCase(Model):
    name: Name
    note: Text = ""


class CaseChange(Model):
    """What is left out stays."""

    name: Name | None = None
    note: Text | None = None
    closed: bool | None = Field(None, description="A closed case changes no more until it is opened again.")


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
    found = _cases(desk).all()
    if not desk.asker.sees_all:
        found = [part[0] for each in found if (part := _seen.case_part(desk, each))]
    return CaseList(cases=[Case(**vars(each), url=desk.url("cases", each.name)) for each in found])


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
    _check_seen(desk, name, tracklet_id)
    _cases(desk).judge(name, tracklet_id, **change.model_dump(exclude_unset=True))
    return _told(desk, name)


@router.patch("/cases/{name:path}")
def change_case(desk: Investigator, name: NameInPath, change: CaseChange) -> CaseWithHits:
    """Give a case another name or note, close it or open it again."""
    _seen.case(desk, name, whole=True)
    _cases(desk).change(name, change.name, change.note, change.closed)
    return _told(desk, change.name or name)


@router.delete("/cases/{name:path}/hits/{tracklet_id}")
def remove_case_hit(desk: Investigator, name: NameInPath, tracklet_id: TrackletId) -> CaseWithHits:
    """Take a hit out of a case."""
    _check_seen(desk, name, tracklet_id)
    desk.note("delete", what="case hit", name=name, tracklet=tracklet_id)
    _cases(desk).remove(name, [tracklet_id])
    return _told(desk, name)


@router.delete("/cases/{name:path}")
def delete_case(desk: Investigator, name: NameInPath) -> Done:
    """Forget a case, and what was said of its hits."""
    _seen.case(desk, name, whole=True)
    desk.note("delete", what="case", name=name)
    _cases(desk).delete(name)
    return Done(done=[f'case "{name}" is forgotten'])


@router.post("/cases/{name:path}/hits")
def add_case_hits(desk: Investigator, name: NameInPath, new: NewHits) -> CaseWithHits:
    """Put hits into a case; of those that are in it, what is left out here stays."""
    _check_seen(desk, name, *(hit.tracklet for hit in new.hits))
    _cases(desk).add(name, [NewCaseHit(**hit.model_dump()) for hit in new.hits])
    return _told(desk, name)


@router.post("/cases/{name:path}/exports", status_code=202)
def export_case(desk: Investigator, request: Request, name: NameInPath, wanted: ExportWanted) -> Job:
    """Begin to write a case's archive, of what may be seen of it; when the job is done, /exports/{job} has it."""
    info, hits = _seen.case(desk, name)
    if not hits:
        raise UserError(f'case "{name}": nothing in it to export')
    id_, show = new_id(), wanted.heads == "shown"
    _check_heads(desk, wanted.heads)
    command = export_command(desk.gallery, id_, name, desk.asker.name, show, _part(desk))
    desk.note("export", what="case", name=name, heads=wanted.heads, job=id_)
    asked = {"case": name, "case_id": info.id, **wanted.model_dump()}
    return told(desk, jobs_of(request).begin("export", desk.gallery.path, desk.asker.name, asked, command, id_))


@router.get("/exports/{job_id}", response_class=FileResponse, **file_of("application/zip"))
def exported(desk: Investigator, request: Request, job_id: JobInPath) -> FileResponse:
    """The archive that an export has written: CSV, JSON, clips, contact sheet, and a manifest with SHA-256."""
    job = seen_job(desk, request, job_id)
    id_ = job.retry_of or job_id
    file = export_file(desk.gallery, id_)
    if job.kind != "export" or not file.is_file():
        raise UnknownError(f"export {job_id}: no archive; its job is {job.state}")
    _check_heads(desk, job.asked.get("heads"))
    case = str(job.asked.get("case", "case"))
    if not desk.asker.sees_all:
        now = export_command(desk.gallery, id_, case, job.by, job.asked.get("heads") == "shown", _part(desk))
        if list(job.command) != now:
            raise UnknownError(f"export {job_id}: was made when you could see something else; export the case again")
    headers, name = {"Cache-Control": "no-store"}, f"{case}-{job_id[:8]}.zip"
    return FileResponse(file, media_type="application/zip", headers=headers, filename=name)


def _cases(desk: Desk) -> Cases:
    return Cases(desk.gallery, desk.asker.name)


def _part(desk: Desk) -> Part:
    """What of a case the asker may have."""
    return Part(desk.chosen(None), desk.asker.after, desk.asker.before)


def _check_heads(desk: Desk, heads: str | None) -> None:
    """
    Raises:
        RefusedError: they are to be shown, and the asker may not see them.
    """
    if heads == "shown" and not desk.asker.sees_heads:
        raise RefusedError(f"{desk.asker.name} may not see heads; export the case with heads blurred")


def _check_seen(desk: Desk, name: str, *tracklets: str) -> None:
    """
    Raises:
        UnknownError: the case, or one of the tracklets, may not be seen.
    """
    if not desk.asker.sees_all:  # those that are gone may be taken out
        _seen.case(desk, name)
        for tracklet in tracklets:
            desk.tracklet(tracklet)


def _told(desk: Desk, name: str) -> CaseWithHits:
    info, seen = _seen.case(desk, name)
    states = _recordings.states([hit.info.video for hit in seen])
    return CaseWithHits(**{**vars(info), "hits": [_hit(desk, hit, states[hit.info.video.id]) for hit in seen]})


def _hit(desk: Desk, hit: StoredHit, recording: str) -> CaseHit:
    said = {key: value for key, value in vars(hit).items() if key != "info"}
    return CaseHit(
        **said,
        tracklet=hit.info.id,
        camera=hit.info.camera,
        zone=hit.info.video.zone,
        video=hit.info.video.id,
        file=hit.info.video.path.name,
        start=hit.info.start,
        end=hit.info.end,
        best_s=next((crop.time_s for crop in hit.info.crops if crop.id == hit.crop), None),
        uncertain=hit.info.video.uncertain,
        recording=recording,
        thumbnail=desk.url("crops", hit.crop) if hit.crop else None,
        clip_url=desk.url("tracklets", hit.info.id, "clip"),
        tracklet_url=desk.url("tracklets", hit.info.id),
    )
