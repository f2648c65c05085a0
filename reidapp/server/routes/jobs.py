"""Jobs: what takes long, begun here and run beside the server."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, RootModel

from reidapp.errors import UnknownError
from reidapp.server.access import Admin, Desk, Investigator
from reidapp.server.askers import RefusedError
from reidapp.server.job_commands import (
    adapt_command,
    backup_command,
    calibrate_command,
    index_command,
    prune_command,
    reembed_command,
)
from reidapp.server.jobs import Job as RunJob
from reidapp.server.jobs import Kind, State, new_id
from reidapp.server.routes._shared import Done, Model, Utc, jobs_of
from reidapp.server.routes.footage import Footage
from reidapp.settings import IndexSettings

router = APIRouter(tags=["jobs"])

JobInPath = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
Named = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Index(Footage):
    """Index a folder. Do it again to add what is new."""

    kind: Literal["index"]
    sampling: Annotated[str, Field(pattern=r"^([0-9.]{1,6}fps|keyframes|motion|all)$")] | None = None
    detector: Named | None = Field(None, description="hog, or the name of one that was pulled.")


class Adapt(Model):
    """Adapt the gallery's model to its own cameras; needs the train extra."""

    kind: Literal["adapt"]
    quick: bool = Field(False, description="Batch norm statistics of each camera; no training.")
    recipe: Literal["ise", "cluster_contrast", "spcl"] | None = None
    images: int | None = Field(None, ge=1, le=10_000_000, description="Training images, counted with repetition.")
    apply: bool = Field(False, description="Move the gallery to the new version if that is known to be better.")


class Reembed(Model):
    """Switch the gallery to another model: embed its crops again; the old vectors stay, so switching back is quick."""

    kind: Literal["reembed"]
    model: Annotated[str, Field(min_length=1, max_length=100, description="Its id, as /models lists it.")]


class Prune(Model):
    """Delete the vectors of all models but the one in use; to go back to one, every crop is embedded again."""

    kind: Literal["prune"]


class Calibrate(Model):
    """Fit P(match)."""

    kind: Literal["calibrate"]
    source: Literal["identities", "answers", "label-free"] | None = Field(
        None, description="Without it the first of which there is enough."
    )


class Backup(Model):
    """Copy the gallery as it is into a new folder beside it, and verify the copy."""

    kind: Literal["backup"]


class NewJob(RootModel[Annotated[Index | Adapt | Reembed | Prune | Calibrate | Backup, Field(discriminator="kind")]]):
    pass


class Job(BaseModel):
    """A job and how far it has got."""

    id: str
    kind: Kind
    by: str
    asked: dict[str, Any]
    state: State
    created: Utc
    started: Utc | None
    ended: Utc | None
    seconds: float = Field(description="For which it has run.")
    step: str
    done: float = Field(description="Of total, in the unit of its step; for indexing seconds of video.")
    total: float
    text: str = Field(description="What it is at.")
    per_second: float | None = Field(
        description="Of `done`, in the last minute; for indexing, how many times as fast as the recordings play."
    )
    left_s: float | None = Field(description="Seconds until the end of this step, at this rate.")
    log: list[str]
    result: dict[str, Any] | None
    error: str | None
    retry_of: str | None
    url: str
    events_url: str


class JobList(BaseModel):
    jobs: list[Job]


_EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "event": {"const": "job"},
        "data": {"type": "string", "contentMediaType": "application/json", "description": "The job."},
    },
}


@router.get("/jobs")
def jobs(desk: Investigator, request: Request) -> JobList:
    """The gallery's jobs since the server began, the newest first."""
    found = jobs_of(request).all(desk.gallery.path)
    return JobList(jobs=[told(desk, job) for job in found if _may_see(desk, job)])


@router.post("/jobs", status_code=202)
def begin_job(desk: Admin, request: Request, new: NewJob) -> Job:
    """Begin a job. Those that write to a gallery run one after another."""
    known, gallery, wanted, id_ = jobs_of(request), desk.gallery, new.root, new_id()
    asked = wanted.model_dump(exclude_none=True, exclude={"kind"})
    match wanted:
        case Index():
            options = {"as": wanted.take} | {
                key: value for key in ("template", "zone", "sampling", "detector") if (value := asked.get(key))
            }
            IndexSettings.checked(zone=wanted.zone, sampling=wanted.sampling)  # said here rather than by the job
            command = index_command(known, gallery, wanted.folder, options)
        case Adapt():
            options = {key: str(asked[key]) for key in ("recipe", "images") if key in asked}
            command = adapt_command(gallery, id_, wanted.quick, wanted.apply, options)
        case Reembed():
            command = reembed_command(known, gallery, wanted.model)
        case Prune():
            command = prune_command(gallery)
        case Calibrate():
            command = calibrate_command(gallery, wanted.source)
        case Backup():
            command = backup_command(gallery)
    desk.note("job", kind=wanted.kind, job=id_)
    return told(desk, known.begin(wanted.kind, gallery.path, desk.asker.name, asked, command, id_))


@router.get("/jobs/{job_id}")
def job(desk: Investigator, request: Request, job_id: JobInPath) -> Job:
    """One job."""
    return told(desk, seen_job(desk, request, job_id))


@router.get(
    "/jobs/{job_id}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": _EVENT}}, "description": "Events, until it is over."}},
)
def job_events(desk: Investigator, request: Request, job_id: JobInPath) -> StreamingResponse:
    """The job as server-sent events named `job`, one at each change, until it is over; its data is as of GET."""
    begun = seen_job(desk, request, job_id)

    async def events() -> AsyncIterator[str]:
        job = begun
        while True:
            yield f"event: job\ndata: {told(desk, job).model_dump_json()}\n\n"
            if job.over:
                return
            version = job.version
            while job.version == version:
                try:
                    job = await run_in_threadpool(jobs_of(request).wait, job_id, version, 1.0)
                except UnknownError:
                    return
                if await request.is_disconnected():
                    return
                yield ": still here\n\n"

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # proxies shall not wait for more of it
    return StreamingResponse(events(), media_type="text/event-stream", headers=headers)


@router.post("/jobs/{job_id}/cancel")
def cancel_job(desk: Investigator, request: Request, job_id: JobInPath) -> Job:
    """End a job; what it has committed is kept."""
    job = seen_job(desk, request, job_id)
    desk.note("job", kind=job.kind, job=job_id, what="cancelled")
    return told(desk, jobs_of(request).cancel(job_id))


@router.delete("/jobs/{job_id}")
def dismiss_job(desk: Investigator, request: Request, job_id: JobInPath) -> Done:
    """Take a job that failed or was cancelled off the list; what it has committed stays."""
    job = seen_job(desk, request, job_id)
    desk.note("job", kind=job.kind, job=job_id, what="dismissed")
    jobs_of(request).dismiss(job_id)
    return Done(done=[f"job {job_id} is off the list"])


@router.post("/jobs/{job_id}/retry", status_code=202)
def retry_job(desk: Investigator, request: Request, job_id: JobInPath) -> Job:
    """Do a job again that failed or was cancelled; it goes on from what it has done."""
    job = seen_job(desk, request, job_id)
    if job.asked.get("heads") == "shown" and not desk.asker.sees_heads:
        raise RefusedError(f"{desk.asker.name} may not see heads; export the case with heads blurred")
    desk.note("job", kind=job.kind, job=job_id, what="done again")
    return told(desk, jobs_of(request).retry(job_id))


def told(desk: Desk, job: RunJob) -> Job:
    """A job as the API has it."""
    own = ("gallery", "command", "rate", "version", "began_s", "took_s")
    said = {key: value for key, value in vars(job).items() if key not in own}
    rate, ahead = job.rate, job.total - job.done
    return Job(
        **said,
        seconds=round(job.seconds, 1),
        per_second=round(rate, 3) if rate else None,
        left_s=round(ahead / rate, 1) if rate and ahead >= 0 and job.state == "running" else None,
        url=desk.url("jobs", job.id),
        events_url=desk.url("jobs", job.id, "events"),
    )


def seen_job(desk: Desk, request: Request, job_id: str) -> RunJob:
    """
    Raises:
        UnknownError: no such job may be seen.
    """
    job = jobs_of(request).get(job_id)
    if job.gallery != desk.gallery.path or not _may_see(desk, job):
        raise UnknownError(f"job {job_id}: not known")
    return job


def _may_see(desk: Desk, job: RunJob) -> bool:
    return desk.asker.is_at_least("admin") or job.by == desk.asker.name
