from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from reidapp.box import Box
from reidapp.errors import UserError
from reidapp.gallery import schema
from reidapp.gallery.coverage import coverage
from reidapp.gallery.facts import PathPoint
from reidapp.gallery.listing import tracklets, video, videos
from reidapp.gallery.store import Gallery
from reidapp.gallery.writer import NewChunk, NewTracklet
from reidapp.settings import CameraSettings
from tests.small_gallery import FOOTAGE, HOSTILE, SECONDS, START, make_gallery


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    return make_gallery(Path(tmp_path_factory.mktemp("listing")))


def test_pages_hold_everything_once_and_in_order(gallery: Gallery) -> None:
    whole = tracklets(gallery).items
    assert [entry.start for entry in whole] == sorted(entry.start for entry in whole)
    assert len({entry.id for entry in whole}) == sum(map(len, FOOTAGE.values()))
    assert all(entry.crop for entry in whole)
    paged, page = [], None
    while True:
        some = tracklets(gallery, limit=2, page=page)
        assert len(some.items) <= 2
        paged += some.items
        if (page := some.after) is None:
            break
    assert paged == whole


def test_filters_of_videos(gallery: Gallery) -> None:
    assert [entry.info.camera for entry in videos(gallery).items] == ["Gate", HOSTILE, "Hall"]
    assert [entry.info.camera for entry in videos(gallery, ["Hall"]).items] == ["Hall"]
    late = START + timedelta(minutes=1, seconds=5)
    assert [entry.info.camera for entry in videos(gallery, after=late).items] == [HOSTILE, "Hall"]
    assert [entry.info.camera for entry in videos(gallery, before=late).items] == ["Gate", HOSTILE]
    with pytest.raises(UserError, match="Halll"):
        videos(gallery, ["Halll"])
    for page in ("x", "nan_1", "1e400_a", "12"):
        with pytest.raises(UserError, match="no such page"):
            videos(gallery, page=page)


def test_tracklets_of_a_time(gallery: Gallery) -> None:
    at = START + timedelta(seconds=5.5)  # red is going, green has come
    assert len(tracklets(gallery, after=at, before=at).items) == 2
    assert len(tracklets(gallery, ["Gate"], after=START + timedelta(seconds=6.5)).items) == 1


def test_a_video_says_what_of_it_is_indexed(gallery: Gallery) -> None:
    (entry,) = videos(gallery, ["Gate"]).items
    assert video(gallery, entry.info.id) == entry
    assert entry.done
    assert entry.tracklets == 2
    assert [stretch.seconds for stretch in entry.indexed] == [SECONDS]


def test_coverage_has_gaps_and_minutes_of_the_cameras_day(gallery: Gallery, tmp_path: Path) -> None:
    found = coverage(gallery, "Hall")
    assert [stretch.seconds for stretch in found.indexed] == [SECONDS]
    assert found.gaps == []
    assert list(found.days) == ["2026-03-02"]  # 09:32 UTC is 18:32 in Tokyo
    assert found.days["2026-03-02"][18] == pytest.approx(SECONDS / 60, abs=0.01)
    assert coverage(gallery, "Hall", after=datetime(2027, 1, 1, tzinfo=UTC)).indexed == []

    other = make_gallery(tmp_path)
    with other.writing() as writer:
        writer.change_camera("Hall", CameraSettings(zone="Europe/Berlin"))
        writer.change_camera("Gate", CameraSettings(group="doors"))
        writer.merge_camera("Hall", "Gate")
    both = coverage(other, "Gate")
    assert len(both.indexed) == 2
    assert both.gaps[0].start == both.indexed[0].end
    assert both.gaps[0].end == both.indexed[1].start


def across_chunks(gallery: Gallery, pieces: list[tuple[float, float]]) -> list[str]:
    """A recording of one tracklet, a piece (from, to) in each chunk; the pieces' ids."""
    box, video_id, ids = Box(0.1, 0.1, 0.2, 0.5), schema.identifier("video", "long"), list[str]()
    row = schema.Video(
        id=video_id, path="/none/long.mp4", size=1, mtime_ns=1, start_ms=int(START.timestamp() * 1000), duration_s=90,
        start_source="name", width=640, height=360, settings={}, done=True, note=None,
    )  # fmt: skip
    with gallery.writing() as writer:
        writer.add_video("Gate", "Europe/Berlin", row)
        for number, piece in enumerate(pieces):
            new = NewTracklet([PathPoint(at, box) for at in piece], [], ids[-1] if ids else None)
            none = np.empty((0, 64), np.float32)
            writer.add_chunk(video_id, NewChunk(number, 30.0 * number, 1, 1, piece[1], [new], none))
            ids.append(schema.identifier(schema.identifier(video_id, number), 0))
    return ids


def test_a_tracklet_across_chunks_is_there_at_every_moment(tmp_path: Path) -> None:
    gallery = make_gallery(tmp_path, empty=True)
    ids = across_chunks(gallery, [(50, 59.5), (60, 75), (75, 90)])
    for after_s, piece_s in ((0, 50), (59, 50), (59.5, 50), (59.8, 60), (60, 60), (75, 60), (80, 75)):
        (entry,) = tracklets(gallery, after=START + timedelta(seconds=after_s)).items
        assert (entry.id, entry.start) == (ids[0], START + timedelta(seconds=piece_s))
    assert tracklets(gallery, after=START + timedelta(seconds=91)).items == []
    assert tracklets(gallery, before=START + timedelta(seconds=49)).items == []


@pytest.mark.slow
def test_what_was_seen_is_looked_for_in_one_stretch_of_time_after_another(tmp_path: Path) -> None:
    """Recordings hours and months apart, one of unknown length, chunks with a gap between them."""
    gallery, box = make_gallery(tmp_path, empty=True), Box(0.1, 0.1, 0.2, 0.5)
    starts = [START + timedelta(hours=hours) for hours in (0, 0.5, 7, 2000)]
    with gallery.writing() as writer:
        for number, start in enumerate(starts):
            row = schema.Video(
                id=schema.identifier(number), path=f"{number}.mp4", size=1, mtime_ns=1, width=480, height=270,
                start_ms=int(start.timestamp() * 1000), start_source="name", settings={"chunk_s": 3600.0},
                duration_s=0.0 if number == 1 else 14_400.0, done=number != 1, note=None,
            )  # fmt: skip
            writer.add_video(f"camera {number % 2}", "UTC", row)
            for chunk in (0, 1, 3):
                at = [3600.0 * chunk + 1000 * part for part in range(3)]
                seen = [NewTracklet([PathPoint(s, box), PathPoint(s + 900, box)], []) for s in at]
                writer.add_chunk(row.id, NewChunk(chunk, at[0], 1, 1, at[0], seen, np.empty((0, 64), np.float32)))
    whole = [
        start + timedelta(hours=chunk, seconds=1000 * part)
        for start in starts
        for chunk in (0, 1, 3)
        for part in range(3)
    ]
    for limit in (1, 5, 100):
        found, page = [], None
        while not found or page:
            some = tracklets(gallery, limit=limit, page=page)
            found, page = found + some.items, some.after
        assert [entry.start for entry in found] == sorted(whole)
    for after, before in ((1.4, 1.5), (2.0, 7.1), (100, 1999), (1999, 3000)):
        low, high = START + timedelta(hours=after), START + timedelta(hours=before)
        expected = sorted(start for start in whole if start <= high and start + timedelta(seconds=900) >= low)
        assert [entry.start for entry in tracklets(gallery, after=low, before=high).items] == expected
    assert [stretch.seconds for stretch in video(gallery, schema.identifier(0)).indexed] == [7200, 3600]
