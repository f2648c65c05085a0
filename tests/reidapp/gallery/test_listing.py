from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reidapp.errors import UserError
from reidapp.gallery.listing import coverage, tracklets, video, videos
from reidapp.gallery.store import Gallery
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
