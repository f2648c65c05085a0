"""Pictures → gallery: stills of cameras, in which people are looked for, and crops that are people already."""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy.orm import Session

from reidapp.errors import UserError
from reidapp.footage import stills
from reidapp.footage.indexing import find_footage, index_footage
from reidapp.footage.report import IndexReport
from reidapp.footage.survey import survey
from reidapp.gallery import schema
from reidapp.gallery.reembedding import reembed
from reidapp.gallery.repair import repair
from reidapp.gallery.search import Hit, Searcher
from reidapp.gallery.store import Gallery
from reidapp.gallery.verification import verify
from reidapp.settings import IndexSettings
from tests.reidapp.footage.test_indexing import Interrupting, ShirtEmbedder, contents, new_gallery
from tests.small_gallery import SHIRTS, ShirtDetector, Walk, frame_at, query_crop

STILLS = IndexSettings(zone="UTC", kind="stills")
CROPS = IndexSettings(zone="UTC", kind="crops")


def still(*shirts: str) -> np.ndarray:
    return frame_at([Walk(shirt, 0, 1, 0.2 + 0.2 * i, 0.2 + 0.2 * i) for i, shirt in enumerate(shirts)], 0.5)


def save(image: np.ndarray, path: Path, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)


@pytest.fixture(autouse=True)
def any_file_is_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("verification", "repair"):
        monkeypatch.setattr(f"reidapp.gallery.{module}.is_model", lambda file, id_: True)


@pytest.fixture
def snapshots(tmp_path: Path) -> Path:
    """Two cameras, five pictures; nobody is in one of them."""
    folder = tmp_path / "snapshots"
    for second, shirts in enumerate([("red",), ("red", "green"), ()]):
        save(still(*shirts), folder / f"gate/2026-03-02_10-00-0{second}.jpg", quality=95)
    for second, shirts in enumerate([("blue", "yellow"), ("yellow",)]):
        save(still(*shirts), folder / f"yard/2026-03-02/10.05.0{second}.png")
    return folder


def run(
    folder: Path, gallery: Gallery, settings: IndexSettings = STILLS, detector: object = None, again: bool = False
) -> IndexReport:
    finder = None if settings.kind == "crops" else detector or ShirtDetector()
    return index_footage(find_footage(folder, settings), gallery, ShirtEmbedder(), finder, settings, again=again)


def find(gallery: Gallery, shirt: str, top: int = 1) -> list[Hit]:
    return Searcher(gallery, ShirtEmbedder()).search(ShirtEmbedder().embed([query_crop(shirt)]), top=top).hits


@pytest.mark.slow
def test_each_person_in_a_still_is_a_tracklet_with_camera_time_and_box(snapshots: Path, tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "gallery")
    report = run(snapshots, gallery)
    assert (report.videos, report.frames, report.tracklets, report.crops) == (5, 5, 6, 6)
    assert {(c.name, c.videos, c.tracklets) for c in gallery.cameras()} == {("gate", 3, 3), ("yard", 2, 3)}
    (hit,) = find(gallery, "green")
    assert (hit.camera, hit.video) == ("gate", snapshots / "gate/2026-03-02_10-00-01.jpg")
    assert hit.start == hit.end == hit.best_time == datetime(2026, 3, 2, 10, 0, 1, tzinfo=UTC)
    assert hit.uncertain is None
    assert hit.recording == "present"
    assert hit.box.iou(Walk("green", 0, 1, 0.4, 0.4).box(0.5)) > 0.5
    assert {hit.video.name for hit in find(gallery, "yellow", top=2)} == {"10.05.00.png", "10.05.01.png"}
    assert not verify(gallery).faults


@pytest.mark.slow
@pytest.mark.parametrize("batches", [0, 1, 3])
def test_interrupted_it_ends_with_the_same_rows(
    snapshots: Path, tmp_path: Path, batches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stills, "_BLOCK", 2)
    whole, gallery = new_gallery(tmp_path / "whole"), new_gallery(tmp_path / "gallery")
    run(snapshots, whole)
    first = run(snapshots, gallery, detector=Interrupting(batches))
    assert first.interrupted
    again = run(snapshots, gallery)
    assert (first.videos + again.videos, again.unchanged) == (5, first.videos)
    # Which shard's row a vector has depends on the order, which is the same.
    assert contents(gallery) == contents(whole)
    third = run(snapshots, gallery)
    assert (third.videos, third.unchanged, third.crops) == (0, 5, 0)


@pytest.mark.slow
def test_pictures_are_committed_in_blocks(snapshots: Path, tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "gallery")
    before = gallery.generation
    run(snapshots, gallery)
    assert gallery.generation == before + 2  # one of each camera


@pytest.mark.slow
def test_copies_moved_and_damaged_pictures(snapshots: Path, tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "gallery")
    run(snapshots, gallery)
    data = (snapshots / "yard/2026-03-02/10.05.01.png").read_bytes()
    (snapshots / "yard/cut.png").write_bytes(data[: len(data) // 2])
    (snapshots / "yard/text.jpg").write_text("no picture")
    (snapshots / "gate/empty.bmp").touch()
    shutil.copy(snapshots / "gate/2026-03-02_10-00-00.jpg", snapshots / "gate/copy.jpg")
    (snapshots / "gate/2026-03-02_10-00-01.jpg").rename(snapshots / "gate/moved.jpg")
    report = run(snapshots, gallery)
    assert (report.videos, report.unchanged) == (0, 5)
    reasons = {Path(entry.file).name: entry.reason for entry in report.skipped}
    assert reasons.keys() == {"cut.png", "text.jpg", "empty.bmp", "copy.jpg"}
    assert reasons["text.jpg"].startswith("not an image")
    assert "damaged" in reasons["cut.png"]
    assert reasons["copy.jpg"] == f"the same as {snapshots / 'gate/2026-03-02_10-00-00.jpg'}"
    assert find(gallery, "green")[0].video == snapshots / "gate/moved.jpg"


@pytest.mark.slow
def test_where_the_path_has_no_time_the_picture_says_it_or_the_file_and_it_is_uncertain(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2026:03:02 10:00:00"  # DateTimeOriginal
    save(still("red"), tmp_path / "trail/1.jpg", exif=exif, quality=95)
    exif.get_ifd(0x8769)[0x9011] = "+02:00"  # OffsetTimeOriginal
    save(still("green"), tmp_path / "trail/2.jpg", exif=exif, quality=95)
    save(still("blue"), tmp_path / "trail/3.png")
    os.utime(tmp_path / "trail/3.png", (1_770_000_000, 1_770_000_000))
    settings = STILLS.model_copy(update={"zone": "Europe/Berlin"})
    gallery = new_gallery(tmp_path / "gallery")
    run(tmp_path / "trail", gallery, settings)
    hits = {shirt: find(gallery, shirt)[0] for shirt in ("red", "green", "blue")}
    assert [hits[shirt].start.timestamp() for shirt in ("red", "green", "blue")] == [
        datetime(2026, 3, 2, 9, tzinfo=UTC).timestamp(),  # on the camera's clock
        datetime(2026, 3, 2, 8, tzinfo=UTC).timestamp(),
        1_770_000_000,
    ]
    assert {shirt: hit.start_source for shirt, hit in hits.items()} == {
        "red": "container",
        "green": "container",
        "blue": "mtime",
    }
    assert all(hit.uncertain for hit in hits.values())


@pytest.fixture
def market(tmp_path: Path) -> Path:
    folder = tmp_path / "bounding_box_test"
    for number, shirt in enumerate(SHIRTS):
        save(query_crop(shirt), folder / f"000{number}_c{number % 2 + 1}s1_00045{number}_03.jpg", quality=95)
    save(query_crop("red")[:20], folder / "0007_c3s1_000001_01.jpg", quality=95)
    return folder


@pytest.mark.slow
def test_crops_are_people_already(market: Path, tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "gallery")
    report = run(market, gallery, CROPS)
    assert (report.videos, report.tracklets, report.crops) == (4, 4, 4)
    assert [entry.reason.partition(";")[2] for entry in report.skipped] == [" too small to know anybody"]
    assert {camera.name: camera.tracklets for camera in gallery.cameras()} == {"c1": 2, "c2": 2}
    for number, shirt in enumerate(SHIRTS):
        (hit,) = find(gallery, shirt)
        assert hit.video.name.startswith(f"000{number}_")
        assert (tuple(hit.box), hit.start_source) == ((0, 0, 1, 1), "mtime")
        assert hit.score > 0.99
        assert gallery.tracklet(hit.tracklet).crops[0].quality > 0.1
    assert gallery.detector == "hog"
    assert not verify(gallery).faults


@pytest.mark.slow
def test_crops_beside_footage_do_not_change_the_detector_of_queries(
    snapshots: Path, market: Path, tmp_path: Path
) -> None:
    gallery = new_gallery(tmp_path / "gallery")
    run(snapshots, gallery, STILLS.model_copy(update={"detector": "yolox:/d.onnx"}))
    run(market, gallery, CROPS)  # newer
    assert gallery.detector == "yolox:/d.onnx"


def test_other_crops_have_their_folder_or_template_for_camera(tmp_path: Path) -> None:
    folder = tmp_path / "people"
    save(query_crop("red"), folder / "hall/2026-03-02_10-00-00 person.png")
    save(query_crop("blue"), folder / "0002_c1s1_000451_03.png")

    def cameras(template: str | None) -> list[str]:
        settings = CROPS.model_copy(update={"template": template})
        return sorted(source.camera for source in find_footage(folder, settings).sources)

    assert cameras(None) == ["c1", "hall"]
    assert cameras("{camera}_{any}") == ["0002_c1s1_000451"]


def test_videos_and_pictures_are_taken_apart(snapshots: Path, tmp_path: Path) -> None:
    (snapshots / "gate/2026-03-02_11-00-00.mp4").touch()
    save(still("red"), snapshots / "gate/@eaDir/2026-03-02_10-00-00.jpg/SYNOPHOTO_THUMB_M.jpg")
    assert [s.path.suffix for s in find_footage(snapshots, IndexSettings(zone="UTC")).sources] == [".mp4"]
    assert len(find_footage(snapshots, STILLS).sources) == 5
    (snapshots / "gate/2026-03-02_11-00-00.mp4").unlink()
    with pytest.raises(UserError, match=r"no video in it .*it has 5 pictures: --as stills takes them, or --as crops"):
        find_footage(snapshots, IndexSettings(zone="UTC"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no picture in it \(looked for .bmp"):
        find_footage(tmp_path / "empty", STILLS)


def test_dry_run_opens_pictures(snapshots: Path) -> None:
    (snapshots / "yard/text.jpg").write_text("no picture")
    found = survey(find_footage(snapshots, STILLS), "UTC", probing=True)
    assert [(file.facts.width, file.facts.height) for file in found.files if file.facts] == [(480, 270)] * 5
    assert [entry.file for entry in found.skipped] == ["yard/text.jpg"]


@pytest.mark.slow
def test_lost_crops_and_vectors_are_made_again_of_the_pictures(snapshots: Path, tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "gallery")
    run(snapshots, gallery)
    before = contents(gallery)
    next((gallery.path / "crops").rglob("*.webp")).unlink()
    (shard,) = (gallery.path / "vectors").rglob("*.f16")
    shard.write_bytes(bytes(shard.stat().st_size))
    report = repair(gallery, lambda file: ShirtEmbedder())
    assert (report.crops, report.exact_crops, report.vectors, report.exact_vectors) == (1, 1, 6, 6)
    assert not report.after.faults
    assert contents(gallery) == before


@pytest.mark.slow
def test_embedded_again_all_at_once_vectors_go_where_they_belong(snapshots: Path, tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "gallery")
    run(snapshots, gallery)

    class Other(ShirtEmbedder):
        identity = "0e" * 32

    report = reembed(gallery, Other(), Path(__file__))
    assert report.embedded == 6
    with gallery.engine.connect() as connection:
        blocks = connection.exec_driver_sql("SELECT chunk_id, sha256 FROM block").all()
    assert len(blocks) == 2 * len(set(blocks)) == 2 * 4  # one picture shows nobody
    assert Searcher(gallery, Other()).search(Other().embed([query_crop("green")]), top=1).hits[0].camera == "gate"


@pytest.mark.slow
def test_more_recordings_than_sqlite_takes_values_are_counted(snapshots: Path, tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "gallery")
    run(snapshots, gallery)
    with gallery.writing() as writer, Session(gallery.engine) as session:
        known = session.scalars(schema.Video.__table__.select().with_only_columns(schema.Video.id)).all()
        assert writer.counted([*known, *(f"{i:016x}" for i in range(300_000))]) == (6, 6, 6)
        assert writer.counted([]) == (0, 0, 0)
