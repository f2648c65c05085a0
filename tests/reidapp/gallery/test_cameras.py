"""Clocks, names and groups of cameras are corrected, and every search follows."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from reidapp.errors import UserError
from reidapp.gallery import schema
from reidapp.gallery.cameras import Merged, start_ms, uncertain
from reidapp.gallery.facts import utc
from reidapp.gallery.search import Hit, Searcher
from reidapp.gallery.store import Gallery
from reidapp.settings import CameraSettings
from tests.reidapp.gallery.test_search import DIM, Model, chunk_of, new_gallery, unit

PERSON = unit(np.ones((1, DIM)))


def add(gallery: Gallery, number: int, camera: str, written: str, zone: str = "UTC", source: str = "name") -> str:
    """A video of two minutes with one person, who walks across the border of its chunks."""
    video_id = schema.identifier("video", number)
    with gallery.writing() as writer:
        video = schema.Video(
            id=video_id, path=f"/none/{number}.mp4", size=1, mtime_ns=1, written=written, start_source=source,
            duration_s=120.0, width=640, height=360, settings={"zone": zone}, done=True, note=None,
        )  # fmt: skip
        writer.add_video(camera, zone, video)
        writer.add_chunk(video_id, chunk_of(0, [(57.0, PERSON)]))
        first = schema.identifier(schema.identifier(video_id, 0), 0)
        writer.add_chunk(video_id, chunk_of(1, [(60.0, PERSON)], continues=first))
    return video_id


def change(gallery: Gallery, camera: str, **values: object) -> None:
    with gallery.writing() as writer:
        writer.change_camera(camera, CameraSettings.checked("", **values))


def merge(gallery: Gallery, camera: str, into: str) -> Merged:
    with gallery.writing() as writer:
        return writer.merge_camera(camera, into)


def hits(searcher: Searcher, **filters: object) -> list[Hit]:
    return searcher.search(PERSON, **filters).hits  # type: ignore[arg-type]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "zone", "offset_s", "expected"),
    [
        ("2026-07-15T10:00:00", "Europe/Berlin", 0.0, "2026-07-15T08:00:00"),
        ("2026-07-15T10:00:00", "Asia/Kathmandu", 0.0, "2026-07-15T04:15:00"),
        ("2026-07-15T10:00:00+00:00", "Europe/Berlin", 0.0, "2026-07-15T10:00:00"),  # its own zone
        ("2026-07-15T10:00:12.500", "UTC", 12.5, "2026-07-15T10:00:00"),  # the clock is ahead
        ("2026-07-15T10:00:00", "UTC", -90.0, "2026-07-15T10:01:30"),
        ("2026-03-29T02:30:00", "Europe/Berlin", 0.0, "2026-03-29T01:30:00"),  # left out
        ("2026-10-25T02:30:00", "Europe/Berlin", 0.0, "2026-10-25T00:30:00"),  # twice
    ],
)
def test_start(written: str, zone: str, offset_s: float, expected: str) -> None:
    assert utc(start_ms(written, zone, offset_s)) == at(expected)


@pytest.mark.parametrize(
    ("source", "written", "zone", "words"),
    [
        ("name", "2026-07-15T10:00:00", "Europe/Berlin", None),
        ("template", "2026-10-25T02:30:00", "Europe/Berlin", "came twice"),
        ("template", "2026-10-25T02:30:00", "UTC", None),
        ("template", "2026-10-25T02:30:00+00:00", "Europe/Berlin", None),
        ("name", "2026-03-29T02:30:00", "Europe/Berlin", None),
        ("container", "2026-07-15T10:00:00+00:00", "UTC", "metadata"),
        ("mtime", "2026-07-15T10:00:00+00:00", "UTC", "date"),
    ],
)
def test_what_is_uncertain(source: str, written: str, zone: str, words: str | None) -> None:
    why = uncertain(source, written, zone)
    assert why is None if words is None else why is not None and words in why


def test_a_corrected_clock_moves_hits_filters_and_spans_at_once(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    add(gallery, 0, "gate", "2026-07-15T23:59:00")
    add(gallery, 1, "yard", "2026-07-15T23:59:00+00:00")
    searcher = Searcher(gallery, Model())
    assert [hit.start for hit in hits(searcher)] == [at("2026-07-15T23:59:57")] * 2
    before = gallery.generation
    change(gallery, "gate", zone="America/New_York", offset="-10s")
    assert gallery.generation > before
    moved = at("2026-07-16T03:59:57") + timedelta(seconds=10)
    (hit,) = hits(searcher, cameras=["gate"])
    assert (hit.start, hit.end) == (moved, moved + timedelta(seconds=5))
    assert hit.start <= hit.best_time <= hit.end
    assert hit.zone == "America/New_York"
    assert gallery.tracklet(hit.tracklet).start == moved
    # Vectors lie in the shard of the day as it was; filters look at the times as they are.
    assert [h.camera for h in hits(searcher, after=moved, before=moved)] == ["gate"]
    assert [h.camera for h in hits(searcher, before=at("2026-07-16T00:30:00"))] == ["yard"]
    gate, yard = gallery.cameras()
    assert (gate.first, gate.zone, gate.offset_s) == (at("2026-07-16T03:59:10"), "America/New_York", -10.0)
    assert yard.first == at("2026-07-15T23:59:00")
    change(gallery, "gate", zone="UTC", offset="0")
    assert {hit.start for hit in hits(searcher)} == {at("2026-07-15T23:59:57")}


def test_a_path_that_names_its_zone_follows_the_offset_only(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    video = add(gallery, 0, "gate", "2026-07-15T10:00:00+00:00")
    change(gallery, "gate", zone="Asia/Tokyo", offset="1m")
    assert gallery.video(video).start == at("2026-07-15T09:59:00")


def test_what_comes_later_is_on_the_corrected_clock(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    add(gallery, 0, "gate", "2026-07-15T10:00:00")
    change(gallery, "gate", zone="Europe/Berlin", offset="+2s")
    late = add(gallery, 1, "gate", "2026-07-16T10:00:00", zone="UTC")
    assert gallery.video(late).start == at("2026-07-16T07:59:58")


def test_a_renamed_camera_takes_up_what_its_old_name_brings(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    add(gallery, 0, "gate", "2026-07-15T10:00:00")
    searcher = Searcher(gallery, Model())
    change(gallery, "gate", name="Main gate")
    assert [hit.camera for hit in hits(searcher, cameras=["Main gate"])] == ["Main gate"]
    with pytest.raises(UserError, match='camera "gate" is not in this gallery'):
        hits(searcher, cameras=["gate"])
    add(gallery, 1, "gate", "2026-07-15T11:00:00")
    assert [(camera.name, camera.videos) for camera in gallery.cameras()] == [("Main gate", 2)]
    change(gallery, "Main gate", name="North")
    add(gallery, 2, "Main gate", "2026-07-15T12:00:00")
    change(gallery, "North", name="gate")  # back to its first name
    add(gallery, 3, "gate", "2026-07-15T13:00:00")
    add(gallery, 4, "North", "2026-07-15T14:00:00")
    assert [(camera.name, camera.videos) for camera in gallery.cameras()] == [("gate", 5)]


def test_names_that_are_taken(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    for number, camera in enumerate(("gate", "yard", "hall")):
        add(gallery, number, camera, "2026-07-15T10:00:00")
    with pytest.raises(UserError, match='a camera is called "yard" already; use --merge-into "yard"'):
        change(gallery, "gate", name="yard")
    change(gallery, "gate", name="Main gate")
    with pytest.raises(UserError, match='camera "gate" is called "Main gate" now'):
        change(gallery, "gate", zone="UTC")
    with pytest.raises(UserError, match='recordings of "gate" belong to "Main gate"'):
        change(gallery, "yard", name="gate")
    with pytest.raises(UserError, match='camera "yrad" is not in this gallery; did you mean "yard"'):
        change(gallery, "yrad", zone="UTC")
    change(gallery, "hall", group="Inside")
    with pytest.raises(UserError, match='a group is called "Inside"'):
        change(gallery, "yard", name="Inside")
    with pytest.raises(UserError, match='a camera is called "yard"; give the group'):
        change(gallery, "hall", group="yard")


def test_merged_cameras_keep_hits_and_links_and_tell_overlaps(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    add(gallery, 0, "gate", "2026-07-15T10:00:00")
    add(gallery, 1, "gate-old", "2026-07-15T10:01:00")
    add(gallery, 2, "gate-old", "2026-07-15T12:00:00")
    searcher = Searcher(gallery, Model())
    before = {(hit.tracklet, hit.start, hit.end, hit.crop) for hit in hits(searcher)}
    assert len(before) == 3  # each of two pieces
    (overlap,) = merge(gallery, "gate-old", "gate").overlaps
    assert (overlap.first, overlap.second, overlap.seconds) == ("none/0.mp4", "none/1.mp4", 60.0)
    assert {(hit.tracklet, hit.start, hit.end, hit.crop) for hit in hits(searcher, cameras=["gate"])} == before
    add(gallery, 3, "gate-old", "2026-07-15T14:00:00")
    (camera,) = gallery.cameras()
    assert (camera.name, camera.videos, camera.tracklets) == ("gate", 4, 4)


def test_a_merged_camera_brings_its_earlier_names(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    add(gallery, 0, "a", "2026-07-15T10:00:00")
    add(gallery, 1, "c", "2026-07-15T11:00:00")
    change(gallery, "a", name="b")
    assert merge(gallery, "b", "c") == Merged(overlaps=[], forgotten=[])
    for number, name in enumerate(("a", "b", "c"), 2):
        add(gallery, number, name, f"2026-07-16T1{number}:00:00")
    assert [(camera.name, camera.videos) for camera in gallery.cameras()] == [("c", 5)]


def test_cameras_with_other_clocks_are_not_merged(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    add(gallery, 0, "gate", "2026-07-15T10:00:00")
    add(gallery, 1, "yard", "2026-07-15T10:00:00", zone="Asia/Tokyo")
    with pytest.raises(UserError, match=r'"gate" is in UTC, .* "yard" is in Asia/Tokyo.*one camera has one clock'):
        merge(gallery, "gate", "yard")
    with pytest.raises(UserError, match="cannot be merged into itself"):
        merge(gallery, "gate", "gate")
    assert len(gallery.cameras()) == 2


def test_a_group_filters_like_a_camera(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    for number, camera in enumerate(("gate", "yard", "hall")):
        add(gallery, number, camera, "2026-07-15T10:00:00")
    searcher = Searcher(gallery, Model())
    for camera in ("gate", "yard"):
        change(gallery, camera, group="Outside")
    assert {hit.camera for hit in hits(searcher, cameras=["Outside"])} == {"gate", "yard"}
    assert {hit.camera for hit in hits(searcher, cameras=["Outside", "hall", "gate"])} == {"gate", "yard", "hall"}
    change(gallery, "yard", group="")
    assert {hit.camera for hit in hits(searcher, cameras=["Outside"])} == {"gate"}
    with pytest.raises(UserError, match='"outside" is not in this gallery; did you mean "Outside"'):
        hits(searcher, cameras=["outside"])


def test_hits_say_what_is_uncertain(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    for number, source in enumerate(("template", "name", "container", "mtime")):
        add(gallery, number, source, "2026-07-15T10:00:00", source=source)
    found = {hit.camera: hit for hit in hits(Searcher(gallery, Model()))}
    assert {name for name, hit in found.items() if hit.uncertain} == {"container", "mtime"}
    assert all(hit.to_dict()["start_source"] == name for name, hit in found.items())


def test_a_model_is_asked_by_the_name_it_knows(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path)
    add(gallery, 0, "gate", "2026-07-15T10:00:00")
    change(gallery, "gate", name="Main gate")
    with gallery.writing() as writer:
        assert writer.name_in_model("gate", ["yard", "gate"]) == "gate"
        assert writer.name_in_model("gate", ["yard", "Main gate"]) == "Main gate"
        assert writer.name_in_model("gate", []) == "Main gate"
        assert writer.name_in_model("hall", ["gate"]) == "hall"
