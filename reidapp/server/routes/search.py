"""Searches: who is meant, among what; the hits; and answers to them."""

from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Literal
from uuid import uuid4

from fastapi import APIRouter, Request
from pydantic import AwareDatetime, BaseModel, Field, TypeAdapter, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from reidapp.asking import Question, check_period, time_of
from reidapp.errors import UserError
from reidapp.gallery.calibration import Calibration
from reidapp.gallery.identities import Identities
from reidapp.gallery.saved_searches import SavedSearches
from reidapp.gallery.search import Hit as FoundHit
from reidapp.server.access import Desk, Viewer
from reidapp.server.routes import _seen
from reidapp.server.routes._shared import (
    Fractions,
    Model,
    Name,
    Text,
    TokenInPath,
    TrackletId,
    Utc,
    box_of,
)
from reidapp.server.service import MAX_QUERY_BYTES, Found, Part, Query, Wanted, check_pixels
from reidapp.server.turns import IN_TURN, in_turn

router = APIRouter(prefix="/search", tags=["search"])

_MOST = 32  # pictures of a query
Tracklets = Annotated[list[TrackletId], Field(max_length=1000)]


class Picture(Model):
    """A kept query picture, and who in it is meant: by a box or a number, or neither where there is no choice."""

    id: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,64}$", description="Of a picture given to /queries.")]
    box: Fractions | None = None
    person: int | None = Field(None, ge=1, le=1000, description="From 1, left to right.")


class SearchRequest(Model):
    """Whom to look for, by any of pictures, tracklets, an identity or a saved search, and among what."""

    pictures: list[Picture] = Field([], max_length=_MOST)
    tracklets: Tracklets = Field([], description="Find who looks like these hits.")
    identity: Name | None = Field(None, description="Find more of a named person.")
    saved: Name | None = Field(
        None, description="Run a saved search again, with its filters and answers; new ones are kept by /feedback."
    )
    yes: Tracklets = Field([], description="These show the person: refine the search.")
    no: Tracklets = Field([], description="These do not.")
    combine: Literal["mean", "max", "set"] | None = Field(
        None, description="Several images by mean, max (one that fits is enough) or set (all count, each its best)."
    )
    cameras: list[Name] = Field([], max_length=1000, description="Only these cameras or groups; all without.")
    groups: list[Name] = Field([], max_length=1000, description="Only these groups of cameras, beside `cameras`.")
    after: AwareDatetime | None = Field(None, description="Only what was seen at this time or later, with a zone.")
    before: AwareDatetime | None = None
    start_point: AwareDatetime | None = Field(None, description="ONVIF's name of `after`.")
    end_point: AwareDatetime | None = Field(None, description="ONVIF's name of `before`.")
    top: int = Field(20, ge=1, le=1000, description="Hits at most.")
    max_matches: int | None = Field(None, ge=1, le=1000, description="ONVIF's name of `top`.")
    rerank: bool = Field(False, description="Order the first 200 by k-reciprocal neighbours.")
    travel_times: bool = Field(
        False, description="Order the first 200 also by how long people take from where the person was seen."
    )
    purpose: Text | None = Field(None, description="What the search is for; the log keeps it.")


class Feedback(Model):
    """What was seen in hits; a later word replaces an earlier one."""

    yes: Tracklets = Field([])
    no: Tracklets = Field([])
    clear: Tracklets = Field([], description="Take back what was said of these.")
    top: int | None = Field(None, ge=1, le=1000)


class ImageSearch(BaseModel):
    """The form of a search by image files."""

    images: list[Annotated[str, Field(json_schema_extra={"format": "binary"})]] = Field(
        min_length=1, max_length=_MOST, description="Pictures of the person."
    )
    boxes: str | None = Field(
        None, description="JSON: for each image the box of the person, [x1, y1, x2, y2] in fractions of it, or null."
    )
    search: str | None = Field(None, description="JSON: the other fields of a search, as for POST /search.")


class _InMemory(MultiPartParser):
    spool_max_size = MAX_QUERY_BYTES + 1


class Reason(BaseModel):
    """Why a hit has its place."""

    score: float
    shots: float = Field(description="Mean score of the two best shots in the piece of the tracklet that has the best.")
    rank_by_score: int
    distance: float | None = Field(description="By k-reciprocal neighbours, 0..1, where these were asked for.")
    prior: float | None = Field(
        description="By travel times, above 0 where they speak for it, where these were asked for."
    )


class Hit(BaseModel):
    """A ranked tracklet."""

    rank: int
    tracklet: str
    camera: str
    zone: str
    video: str
    file: str
    start: Utc
    end: Utc
    best_time: Utc
    best_s: float
    score: float
    p_match: float | None = Field(description="Calibrated probability of being the same person; null without that.")
    box: Fractions
    crop: str
    identity: str | None
    thumbnail: str
    clip_url: str
    video_url: str
    tracklet_url: str
    start_source: str
    uncertain: str | None = Field(description="Why the times may be wrong.")
    recording: str = Field(description="present, gone, replaced or silent: its disk does not answer.")
    reason: Reason | None
    recording_token: str = Field(description="ONVIF: the recording's id.")
    start_point: Utc = Field(description="ONVIF: the start.")
    end_point: Utc = Field(description="ONVIF: the end.")
    likelihood: float = Field(description="ONVIF: p_match, or the score where that is not known.")


class Pairs(BaseModel):
    of: int
    matches: int
    others: int


class CalibrationFacts(BaseModel):
    """What P(match) stands on."""

    source: str
    at: str
    pairs: Pairs | None = Field(description="null for who may see a part, as they are of all.")
    expected_calibration_error: float
    absent_told: float | None
    warning: str | None


class Warning(BaseModel):
    kind: str
    text: str


class SearchAnswer(BaseModel):
    """What a search found."""

    search: str = Field(description="The search's id; it is kept for half an hour after its last use.")
    hits: list[Hit]
    calibration: CalibrationFacts | None
    expected_false_hits: float | None
    probably_absent: bool | None = Field(
        description="The person is probably not in this gallery, or not in the filters."
    )
    told: list[str] = Field(description="What orders the hits, and what P(match) says of them together, in words.")
    rows: int = Field(description="Best shots that were compared.")
    seconds: float
    warnings: list[Warning]
    refined: bool = Field(description="Answers have changed the query.")
    left_out: list[str] = Field(description="Tracklets that are not shown: those asked with, and those judged.")


@router.post("", dependencies=IN_TURN)
def search(desk: Viewer, request: SearchRequest) -> SearchAnswer:
    """Find a person: tracklets, best first. What was asked with or judged is not shown again."""
    return begin(desk, request)


@router.post(
    "/images",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": {"schema": ImageSearch.model_json_schema()}},
        }
    },
)
async def search_images(desk: Viewer, request: Request) -> SearchAnswer:
    """The same by image files, in one request."""
    images, fields = await _form(request)
    return await in_turn(request, _search_images, desk, images, fields)


@router.get("/{search_id}", dependencies=IN_TURN)
def search_again(desk: Viewer, search_id: TokenInPath) -> SearchAnswer:
    """The hits of a search that was made, as they are now."""
    return _answer(desk, search_id, desk.own(desk.service.searches, search_id))


@router.post("/{search_id}/feedback", dependencies=IN_TURN)
def feedback(desk: Viewer, search_id: TokenInPath, said: Feedback) -> SearchAnswer:
    """Say which hits show the person and which do not, and get the refined search's hits.

    Of a saved search they are kept with it, if who asks may judge.
    """
    yes, no, clear = judged(desk, said.yes, said.no, said.clear)
    new = {*yes, *no, *clear}

    def others(ids: Iterable[str]) -> list[str]:
        return [id_ for id_ in ids if id_ not in new]

    def told_more(wanted: Wanted) -> Wanted:
        was = wanted.question
        question = replace(was, yes=others(was.yes) + yes, no=others(was.no) + no, clear=others(was.clear) + clear)
        return replace(wanted, question=question, top=said.top or wanted.top)

    desk.own(desk.service.searches, search_id)
    wanted = desk.service.searches.change(search_id, told_more)
    if wanted.question.saved and desk.asker.is_at_least("investigator"):
        SavedSearches(desk.gallery, desk.asker.name).answer(wanted.question.saved, yes, no, clear)
    return _answer(desk, search_id, wanted)


def judged(
    desk: Desk, yes: Iterable[str], no: Iterable[str], clear: Iterable[str]
) -> tuple[list[str], list[str], list[str]]:
    """What was said of hits, by first pieces' ids; what is not there any more need not be taken back.

    Raises:
        UserError: one is both, or may not be seen.
    """
    said = _first(desk, yes), _first(desk, no), _first(desk, filter(desk.sees, clear))
    if both := {*said[0]} & {*said[1]}:
        raise UserError(f"tracklet {min(both)}: both yes and no; say one of them")
    return said


def begin(desk: Desk, request: SearchRequest, parts: Sequence[Part] = ()) -> SearchAnswer:
    """Search, and keep the search for answers."""
    desk.check_purpose(request.purpose)
    for picture in request.pictures:
        desk.own(desk.service.queries, picture.id)
    if request.identity:
        _seen.identity(desk, request.identity)
    kept = _seen.saved_search(desk, request.saved).filters if request.saved and not desk.asker.sees_all else {}
    asked = [Part(each.id, box_of(each.box) if each.box else None, each.person) for each in request.pictures]
    crops = desk.service.crops([*parts, *asked])
    question = Question(
        tracklets=_first(desk, request.tracklets),
        identity=request.identity,
        saved=request.saved,
        yes=_first(desk, request.yes),
        no=_first(desk, request.no),
        combine=request.combine,
        crops=crops,
    )
    after, before = (time_of(kept.get(name), name, desk.gallery) for name in ("after", "before"))
    after, before = request.after or request.start_point or after, request.before or request.end_point or before
    check_period(after, before)
    after, before = desk.period(after, before)
    cameras = desk.chosen([*request.cameras, *request.groups] or kept.get("cameras"))
    among = None if cameras is None else tuple(cameras)
    top = request.max_matches or request.top
    wanted = Wanted(question, among, after, before, top, request.rerank, request.travel_times, desk.owner)
    search_id = uuid4().hex
    desk.note("search", search=search_id, purpose=request.purpose)
    answer = _answer(desk, search_id, wanted)
    desk.service.searches.keep(search_id, wanted)
    return answer


def _search_images(desk: Desk, images: list[tuple[str, bytes]], fields: dict[str, str]) -> SearchAnswer:
    try:
        boxes = TypeAdapter(list[Fractions | None]).validate_json(fields.get("boxes") or "[]")
        request = SearchRequest.model_validate_json(fields.get("search") or "{}")
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{'.'.join(map(str, first['loc'])) or 'boxes'}: {first['msg']}") from error
    if not images or len(images) > _MOST:
        raise UserError(f"images: 1 to {_MOST} pictures, please")
    queries: list[Query] = []
    for name, data in images:
        queries.append(desk.service.take_query(data, name, desk.owner))
        check_pixels(queries)
    around = [*(box_of(box) if box else None for box in boxes), *[None] * len(queries)]
    return begin(desk, request, [Part(query.id, box) for query, box in zip(queries, around, strict=False)])


async def _form(request: Request) -> tuple[list[tuple[str, bytes]], dict[str, str]]:
    """A form's images (name, bytes) and fields, held in memory: nothing of a query goes to disk."""

    async def bounded() -> AsyncGenerator[bytes, None]:
        total = 0
        async for part in request.stream():
            total += len(part)
            if total > MAX_QUERY_BYTES:
                raise UserError(f"images: together larger than {MAX_QUERY_BYTES // 1_000_000} MB; make them smaller")
            yield part

    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise UserError("send the images as a form (multipart/form-data)")
    try:
        form = await _InMemory(request.headers, bounded(), max_files=_MOST, max_fields=8).parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise UserError(f"the form cannot be read ({getattr(error, 'message', error)})") from error
    given = [value for value in form.getlist("images") if isinstance(value, UploadFile)]
    images = [(value.filename or "picture", await value.read()) for value in given]
    fields = {key: value for key, value in form.items() if isinstance(value, str)}
    await form.close()
    if unknown := fields.keys() - {"boxes", "search"}:
        raise UserError(f'form: "{min(unknown)}" is unknown, or no file; it takes images, boxes and search')
    return images, fields


def _first(desk: Desk, tracklets: Iterable[str]) -> list[str]:
    """First pieces' ids.

    Raises:
        UnknownError: one of them may not be seen.
    """
    return list(dict.fromkeys(desk.tracklet(tracklet).id for tracklet in tracklets))


def _answer(desk: Desk, search_id: str, wanted: Wanted) -> SearchAnswer:
    return told(desk, search_id, desk.service.find(_allowed(desk, wanted), desk.asker.name))


def _allowed(desk: Desk, wanted: Wanted) -> Wanted:
    """A search among what may be seen now, whatever could be when it began."""
    if desk.asker.sees_all:
        return wanted
    among, (after, before) = desk.chosen(wanted.cameras), desk.period(wanted.after, wanted.before)
    question = replace(wanted.question, may_ask=desk.sees)
    cameras = None if among is None else tuple(among)
    return replace(wanted, question=question, cameras=cameras, after=after, before=before)


def told(desk: Desk, search_id: str, found: Found) -> SearchAnswer:
    """A search's result as the API has it."""
    result, calibration = found.result, found.result.calibration
    names = Identities(desk.gallery, desk.asker.name).of([hit.tracklet for hit in result.hits])
    return SearchAnswer(
        search=search_id,
        hits=[_hit(desk, hit, names.get(hit.tracklet)) for hit in _shown(desk, result.hits)],
        calibration=facts_of(desk, calibration),
        expected_false_hits=result.expected_false_hits,
        probably_absent=result.probably_absent,
        told=result.told(found.filtered),
        rows=result.rows,
        seconds=round(result.seconds, 4),
        warnings=[Warning(**warning.to_dict()) for warning in found.warnings],
        refined=found.refined,
        left_out=sorted(id_ for id_ in found.left_out if desk.asker.sees_all or desk.sees(id_)),
    )


def facts_of(desk: Desk, calibration: Calibration | None) -> CalibrationFacts | None:
    """What P(match) stands on, as far as the asker may know."""
    if calibration is None:
        return None
    said = calibration.to_dict()
    return CalibrationFacts(**said | {"pairs": said["pairs"] if desk.asker.sees_all else None})


def _shown(desk: Desk, hits: Iterable[FoundHit]) -> Iterator[FoundHit]:
    """Of a hit that goes beyond the time that may be seen, the part in it."""
    for hit in hits:
        if desk.period(hit.start, hit.end) == (hit.start, hit.end):
            yield hit
        elif best := (info := desk.tracklet(hit.tracklet)).best_shot:
            best = next((crop for crop in info.crops if crop.id == hit.crop), best)
            time = info.video.start + timedelta(seconds=best.time_s)
            inside = replace(hit, start=info.start, end=info.end, crop=best.id, box=best.box)
            yield replace(inside, best_s=best.time_s, best_time=time)


def _hit(desk: Desk, hit: FoundHit, identity: str | None) -> Hit:
    return Hit(
        rank=hit.rank,
        tracklet=hit.tracklet,
        camera=hit.camera,
        zone=hit.zone,
        video=hit.video_id,
        file=hit.video.name,
        start=hit.start,
        end=hit.end,
        best_time=hit.best_time,
        best_s=hit.best_s,
        score=hit.score,
        p_match=hit.p_match,
        box=[float(v) for v in hit.box.clipped()],
        crop=hit.crop,
        identity=identity,
        thumbnail=desk.url("crops", hit.crop),
        clip_url=desk.url("tracklets", hit.tracklet, "clip"),
        video_url=desk.url("videos", hit.video_id, "file"),
        tracklet_url=desk.url("tracklets", hit.tracklet),
        start_source=hit.start_source,
        uncertain=hit.uncertain,
        recording=hit.recording,
        reason=Reason(**vars(hit.reason)) if hit.reason else None,
        recording_token=hit.video_id,
        start_point=hit.start,
        end_point=hit.end,
        likelihood=hit.score if hit.p_match is None else hit.p_match,
    )
