"""`reidapp search`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reidapp.commands import journal, opening, output
from reidapp.commands.options import DetectorOption, GalleryOption, JsonOption
from reidapp.errors import UserError

if TYPE_CHECKING:
    from reidapp.gallery.search import Hit, SearchResult


def search(
    gallery: GalleryOption,
    image: Annotated[
        list[Path] | None, typer.Option("--image", "-i", help="Picture of the person; several make one query.")
    ] = None,
    person: Annotated[int | None, typer.Option(min=1, help="Which person in the picture, from the left.")] = None,
    tracklet: Annotated[
        list[str] | None, typer.Option(help="Find who looks like this hit, by its id; several make one query.")
    ] = None,
    identity: Annotated[str | None, typer.Option(help="Find more of a named person.")] = None,
    saved: Annotated[str | None, typer.Option(help="Run a saved search again, with its answers.")] = None,
    yes: Annotated[list[str] | None, typer.Option(help="This hit shows the person: refine the search.")] = None,
    no: Annotated[list[str] | None, typer.Option(help="This hit does not show the person.")] = None,
    combine: Annotated[
        str | None,
        typer.Option(help="Several images by mean, max (one that fits is enough) or set (all count, each its best)."),
    ] = None,
    save: Annotated[
        str | None, typer.Option(help="Keep the search under this name: pictures, filters, answers.")
    ] = None,
    camera: Annotated[
        list[str] | None, typer.Option(help="Only this camera or group; may be given several times.")
    ] = None,
    after: Annotated[
        str | None, typer.Option(help="Not before this time (ISO 8601; without a zone: the cameras').")
    ] = None,
    before: Annotated[str | None, typer.Option(help="Not after this time.")] = None,
    top: Annotated[int, typer.Option(min=1, max=1000, help="Hits at most.")] = 20,
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Order the first 200 by k-reciprocal neighbours: who resembles whom there.")
    ] = False,
    travel_times: Annotated[
        bool,
        typer.Option("--travel-times", help="Order the first 200 also by how long people take from camera to camera."),
    ] = False,
    model: Annotated[str | None, typer.Option(help="Refused unless it is the model that made the gallery.")] = None,
    detector: DetectorOption = None,
    purpose: Annotated[str | None, typer.Option(help="What the search is for; the gallery's log keeps it.")] = None,
    demand_purpose: Annotated[bool, typer.Option(hidden=True, envvar="REIDAPP_DEMAND_PURPOSE")] = False,
    json: JsonOption = False,
) -> None:
    """Find a person: tracklets, best first. What was asked with or judged is not shown again."""
    from reidapp.asking import Question, ask, check_period, keep
    from reidapp.footage.detection import open_detector
    from reidapp.gallery.search import Searcher
    from reidapp.gallery.store import Gallery

    if demand_purpose and not (purpose or "").strip():
        raise UserError("--purpose: say what the search is for, such as a case's number; it is written down")
    opened = Gallery.open(gallery)
    check_period(
        opening.time(after, "--after", opened), opening.time(before, "--before", opened)
    )  # before anything is kept
    embedder = opening.embedder(model, batch=1) if model else opening.own_model(opened, batch=1)
    searcher = Searcher(opened, embedder)
    filters: dict[str, Any] = {"cameras": camera, "after": after, "before": before}
    question = Question(
        image or (), person, tracklet or (), identity, saved, yes or (), no or (), combine, save,
        {key: value for key, value in filters.items() if value},
    )  # fmt: skip
    found = ask(opened, embedder, lambda: open_detector(detector or opened.detector), question, journal.who())
    journal.noted(gallery, "search", purpose=purpose)
    keep(opened, question, found.crops, journal.who())
    filters = found.filters | question.filters
    result = searcher.search(
        found.asked.embeddings,
        cameras=filters.get("cameras"),
        after=opening.time(filters.get("after"), "--after", opened),
        before=opening.time(filters.get("before"), "--before", opened),
        top=top,
        combine=found.asked.combine,
        without=found.asked.without,
        partial=found.asked.partial,
        rerank=rerank,
        travel_times=travel_times,
        seen=found.asked.seen,
    )
    facts = {
        "hits": [hit.to_dict() for hit in result.hits],
        "calibration": result.calibration and result.calibration.to_dict(),
        "expected_false_hits": result.expected_false_hits and round(result.expected_false_hits, 2),
        "probably_absent": result.probably_absent,
        "rows": result.rows,
        "seconds": round(result.seconds, 4),
        "warnings": [warning.to_dict() for warning in found.warnings],
        "refined": found.asked.refined,
        "left_out": sorted(found.asked.without),
    }
    for warning in found.warnings:
        output.note(f"note: {warning}")
    odds = _odds(result, found.asked.partial, bool(filters), gallery)
    output.show(facts, "\n".join([_hits_table(result.hits, bool(filters), gallery), *odds]), json)


def _odds(result: "SearchResult", partial: bool, filtered: bool, gallery: Path) -> Iterator[str]:
    """What P(match) says of the hits together."""
    yield from result.told(filtered)
    if result.hits and not result.calibration:
        how = f"for P(match): reidapp gallery calibrate -g {gallery}"
        yield f"The scores only rank; {'P(match) is for pictures alone' if partial else how}"


def _hits_table(hits: "list[Hit]", filtered: bool, gallery: Path) -> str:
    from zoneinfo import ZoneInfo

    from reidapp.gallery.recordings import IN_WORDS
    from reidapp.imaging import is_picture

    if not hits and not filtered:
        return f"nothing found: {gallery} has nobody else; `reidapp index FOLDER --gallery {gallery}` adds recordings"
    if not hits:
        return "nothing found: no tracklet is left after the filters"
    width = max(len(hit.camera) for hit in hits)

    def line(hit: "Hit") -> str:
        start, end = (time.astimezone(ZoneInfo(hit.zone)) for time in (hit.start, hit.end))
        when = f"{start:%Y-%m-%d %H:%M:%S} – {end:%H:%M:%S %Z}"
        marks = [f"time uncertain ({hit.start_source})" if hit.uncertain else "", IN_WORDS.get(hit.recording, "")]
        marks = [mark.partition(":")[0] for mark in marks if mark]
        at = "" if is_picture(hit.video) else f" at {hit.best_s:.1f} s"
        where = hit.video.name + at + (f"  [{', '.join(marks)}]" if marks else "")
        likely = "" if hit.p_match is None else f"{hit.p_match:>4.0%}  "
        return f"{hit.rank:>3}  {likely}{hit.score:.3f}  {hit.tracklet}  {hit.camera:<{width}}  {when}  {where}"

    return "\n".join(map(line, hits))
