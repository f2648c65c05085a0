"""Footage → gallery on real video files of flat figures, whose truth is known exactly."""

import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from reidapp.errors import ReidappError, UserError
from reidapp.footage import indexing
from reidapp.footage.analysis import ChunkTask
from reidapp.footage.decoding import VideoFacts
from reidapp.footage.detection import Detection
from reidapp.footage.indexing import find_footage, index_footage
from reidapp.footage.report import IndexReport
from reidapp.gallery import vectors
from reidapp.gallery.search import Searcher
from reidapp.gallery.store import Gallery
from reidapp.gallery.writer import DAMAGED, GalleryWriter, NewChunk
from reidapp.imaging import read_image
from reidapp.settings import IndexSettings
from tests.killing import die_at
from tests.reidapp.footage.numbered import write_numbered
from tests.reidapp.footage.test_decoding import shorten_header
from tests.small_gallery import FPS, SHIRTS, ColourEmbedder, ShirtDetector, Walk, frame_at, query_crop, write_video

SETTINGS = IndexSettings(zone="UTC", chunk_s=4.0)
SECONDS = 14
WALKS = {
    "gate/2026-03-02_10-00-00.mp4": [Walk("red", 1, 6, 0.1, 0.9), Walk("green", 7, 13, 0.9, 0.2)],
    "yard/2026-03-02_10-05-00.mp4": [Walk("blue", 2, 8, 0.8, 0.1), Walk("red", 9.5, 13, 0.2, 0.7)],
}


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("footage")
    for name, walks in WALKS.items():
        (folder / name).parent.mkdir()
        write_video(folder / name, [frame_at(walks, i / FPS) for i in range(SECONDS * FPS)])
    return folder


class ShirtEmbedder(ColourEmbedder):
    """Looks at the shirt alone, so that people in different shirts look different."""

    identity = "5e" * 32

    def embed(self, crops: Sequence[np.ndarray], camera: str | None = None) -> np.ndarray:
        return super().embed(
            [crop[len(crop) // 4 : len(crop) // 2, crop.shape[1] // 5 : -crop.shape[1] // 5] for crop in crops]
        )


def new_gallery(path: Path) -> Gallery:
    embedder = ShirtEmbedder()
    return Gallery.create(path, Path(__file__), embedder.card, embedder.identity)


def run(footage: Path, gallery: Gallery, detector: ShirtDetector | None = None) -> IndexReport:
    return index_footage(
        find_footage(footage, SETTINGS), gallery, ShirtEmbedder(), detector or ShirtDetector(), SETTINGS
    )


def contents(gallery: Gallery) -> dict[str, list]:
    """All that a gallery holds, but for counters: every row, every crop's bytes, every vector's bytes."""
    tables = ("camera", "video", "chunk", "tracklet", "crop", "block")
    with gallery.engine.connect() as connection:
        rows = {t: [tuple(r) for r in connection.exec_driver_sql(f"SELECT * FROM {t} ORDER BY 1, 2")] for t in tables}
    for kind in ("crops", "vectors"):
        files = sorted(p for p in (gallery.path / kind).rglob("*") if p.is_file())
        rows[kind] = [(str(p.relative_to(gallery.path)), p.read_bytes()) for p in files]
    return rows


@pytest.fixture(scope="module")
def whole(footage: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Gallery, IndexReport]:
    gallery = new_gallery(tmp_path_factory.mktemp("whole") / "gallery")
    return gallery, run(footage, gallery)


def test_every_walk_is_one_tracklet_with_its_camera_and_times(whole: tuple[Gallery, IndexReport]) -> None:
    gallery, report = whole
    assert (report.videos, report.frames, report.tracklets) == (2, 2 * SECONDS * 2, 4)
    embedder = ShirtEmbedder()
    for name, walks in WALKS.items():
        camera = name.partition("/")[0]
        for walk in walks:
            crop = embedder.embed([query_crop(walk.shirt)])
            hit = Searcher(gallery, embedder).search(crop, cameras=[camera], top=1).hits[0]
            tracklet = gallery.tracklet(hit.tracklet)
            # Two samples a second, and the shirt must be whole to be found: half a second at either end.
            assert tracklet.start_s == pytest.approx(walk.start_s, abs=0.6)
            assert tracklet.end_s == pytest.approx(walk.end_s, abs=0.6)
            assert all(point.box.iou(walk.box(point.time_s)) > 0.5 for point in tracklet.path)
            assert (hit.start - tracklet.video.start).total_seconds() == pytest.approx(tracklet.start_s, abs=0.001)
            assert f"{tracklet.video.start:%Y-%m-%d_%H-%M-%S}" in name


def test_tracklets_cross_the_borders_of_chunks(whole: tuple[Gallery, IndexReport]) -> None:
    with whole[0].engine.connect() as connection:
        joined = connection.exec_driver_sql("SELECT count(*) FROM tracklet WHERE continues IS NOT NULL").scalar()
    assert joined >= 4  # chunks of 4 s cut each of the four walks at least once


@pytest.mark.slow
def test_again_adds_nothing_and_a_new_file_adds_itself_only(footage: Path, tmp_path: Path) -> None:
    folder = tmp_path / "footage"
    shutil.copytree(footage, folder)
    late = folder / "yard/2026-03-02_10-05-00.mp4"
    late.rename(tmp_path / "late.mp4")
    gallery = new_gallery(tmp_path / "gallery")
    assert run(folder, gallery).videos == 1
    before = contents(gallery)
    again = run(folder, gallery)
    assert (again.videos, again.unchanged, again.crops, again.notes) == (0, 1, 0, [])
    finer = replace_settings(sampling="5fps")
    (note,) = index_footage(find_footage(folder, finer), gallery, ShirtEmbedder(), ShirtDetector(), finer).notes
    assert "stays as it was (sampling 2fps)" in note
    assert contents(gallery) == before
    (tmp_path / "late.mp4").rename(late)
    third = run(folder, gallery)
    assert (third.videos, third.unchanged) == (1, 1)
    assert {camera.name for camera in gallery.cameras()} == {"gate", "yard"}


@pytest.mark.slow
def test_a_copy_is_left_out_and_a_moved_file_is_known(footage: Path, tmp_path: Path) -> None:
    folder = tmp_path / "footage"
    shutil.copytree(footage, folder)
    shutil.copy(folder / "gate/2026-03-02_10-00-00.mp4", folder / "gate/copy.mp4")
    gallery = new_gallery(tmp_path / "gallery")
    report = run(folder, gallery)
    assert [(entry.file, "the same as" in entry.reason) for entry in report.skipped] == [("gate/copy.mp4", True)]
    (folder / "gate/copy.mp4").unlink()
    (folder / "gate/2026-03-02_10-00-00.mp4").rename(folder / "gate/moved.mp4")
    again = run(folder, gallery)
    assert (again.videos, again.unchanged, again.skipped) == (0, 2, [])
    with gallery.engine.connect() as connection:
        paths = connection.exec_driver_sql("SELECT path FROM video").scalars().all()
    assert str(folder / "gate/moved.mp4") in paths


def test_the_embeddings_are_those_of_the_stored_crops(whole: tuple[Gallery, IndexReport]) -> None:
    """So embedding again, from the gallery alone, gives the same vectors."""
    gallery, embedder = whole[0], ShirtEmbedder()
    query = """
        SELECT crop.chunk_id, crop.id, block.day, block.first_row + crop.position
        FROM crop JOIN block ON block.chunk_id = crop.chunk_id
    """
    with gallery.engine.connect() as connection:
        rows = connection.exec_driver_sql(query).all()
    assert len(rows) == whole[1].crops
    for chunk_id, crop_id, day, row in rows:
        shard = vectors.shard_path(gallery.path, gallery.model_id, day)
        stored = vectors.read(shard, row + 1, embedder.card.dim)[row]
        (again,) = embedder.embed([read_image(gallery.crop_path(chunk_id, crop_id))])
        np.testing.assert_array_equal(stored, again.astype(np.float16))


class Interrupting(ShirtDetector):
    """Ctrl-C comes at the n-th batch of frames."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Detection]]:
        self.batches -= 1
        if self.batches < 0:
            raise KeyboardInterrupt
        return super().detect(frames)


@pytest.mark.slow
@pytest.mark.parametrize("batches", [0, 1, 3, 6])
def test_interrupted_anywhere_it_ends_with_the_same_rows(
    footage: Path, whole: tuple[Gallery, IndexReport], tmp_path: Path, batches: int
) -> None:
    gallery = new_gallery(tmp_path / "gallery")
    report = run(footage, gallery, Interrupting(batches))
    assert report.interrupted
    resumed = run(footage, gallery)
    assert not resumed.interrupted
    assert contents(gallery) == contents(whole[0])
    assert report.crops + resumed.crops == whole[1].crops


@pytest.mark.slow
def test_a_recording_is_not_gone_on_with_in_another_way(footage: Path, tmp_path: Path) -> None:
    """Half its tracklets by one sampling and half by another would be neither."""
    gallery = new_gallery(tmp_path / "gallery")
    tools = gallery, ShirtEmbedder()
    found = find_footage(footage, SETTINGS)
    assert index_footage(found, *tools, Interrupting(1), SETTINGS, workers=1).interrupted
    assert "not indexed to their end" in str(gallery.facts())
    other = replace_settings(sampling="1fps")
    report = index_footage(find_footage(footage, other), *tools, ShirtDetector(), other)
    assert report.videos == 1
    assert [str(entry.file) for entry in report.skipped] == ["gate/2026-03-02_10-00-00.mp4"]
    assert report.skipped[0].reason == "begun with sampling 2fps; go on with that, or use another gallery"
    assert run(footage, gallery).videos == 1
    assert gallery.summary().unfinished == 0


def _run_until_killed(footage: Path, path: Path, where: str, calls: int) -> None:
    """Index, and die without a word at the n-th call of a step of the commit."""
    owner, name = {
        "crops": (GalleryWriter, "_write_crops"),
        "vectors": (vectors, "append"),
        "commit": (GalleryWriter, "add_chunk"),
        "analysis": (indexing, "analyse"),
    }[where]
    die_at(owner, name, calls, after=True)
    run(footage, Gallery.open(path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "calls"), [("analysis", 1), ("crops", 1), ("crops", 3), ("vectors", 1), ("vectors", 4), ("commit", 2)]
)
def test_killed_anywhere_it_ends_with_the_same_rows(
    footage: Path, whole: tuple[Gallery, IndexReport], tmp_path: Path, where: str, calls: int
) -> None:
    gallery = new_gallery(tmp_path / "gallery")
    process = multiprocessing.get_context("spawn").Process(
        target=_run_until_killed, args=(footage, gallery.path, where, calls)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    committed = Searcher(gallery, ShirtEmbedder()).search(ShirtEmbedder().embed([query_crop("red")]), top=50)
    assert all(hit.thumbnail.is_file() for hit in committed.hits)  # what is visible is whole
    run(footage, gallery)
    assert contents(gallery) == contents(whole[0])


@pytest.mark.slow
def test_bad_files_are_named_and_the_rest_goes_on(footage: Path, tmp_path: Path) -> None:
    folder = tmp_path / "footage"
    shutil.copytree(footage, folder)
    recording = (folder / "gate/2026-03-02_10-00-00.mp4").read_bytes()
    (folder / "notes.mp4").write_text("a text named .mp4")
    (folder / "empty.mp4").touch()
    (folder / "gate/2026-03-02").mkdir()
    (folder / "gate/2026-03-02/12-00-00.mp4").touch()
    cut = folder / "yard/2026-03-02_11-00-00.mp4"  # its index is in front: what is there can be read
    cut.write_bytes(recording[: len(recording) // 2])
    gallery = new_gallery(tmp_path / "gallery")
    report = run(folder, gallery)
    assert report.videos == 3
    assert {Path(entry.file).name: entry.reason.partition(" (")[0] for entry in report.skipped} == {
        "notes.mp4": "not a video that can be read",
        "empty.mp4": "not a video that can be read",
        "12-00-00.mp4": "not a video that can be read",
    }
    assert "gate/2026-03-02/12-00-00.mp4" in {entry.file for entry in report.skipped}  # with its camera
    (incomplete,) = report.incomplete
    assert incomplete.file.endswith("2026-03-02_11-00-00.mp4")
    assert "cut off" in incomplete.reason
    assert report.to_dict()["skipped"][0].keys() == {"file", "reason"}


class Removing(ShirtDetector):
    """A recording is taken away while it is being read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Detection]]:
        self.path.unlink(missing_ok=True)
        return super().detect(frames)


@pytest.mark.slow
def test_a_recording_that_goes_away_is_named_and_the_rest_goes_on(
    footage: Path, whole: tuple[Gallery, IndexReport], tmp_path: Path
) -> None:
    folder = tmp_path / "footage"
    shutil.copytree(footage, folder)
    first = folder / next(iter(WALKS))
    gallery = new_gallery(tmp_path / "gallery")
    found = find_footage(folder, SETTINGS)
    report = index_footage(found, gallery, ShirtEmbedder(), Removing(first), SETTINGS, workers=1)
    assert report.videos == 1
    assert [Path(entry.file).name for entry in report.skipped] == [first.name]
    shutil.copy(footage / next(iter(WALKS)), first)
    run(folder, gallery)
    assert [row[0] for row in contents(gallery)["crop"]] == [row[0] for row in contents(whole[0])["crop"]]


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "gallery")
    folder = tmp_path / "footage"
    with pytest.raises(UserError, match="no such file or folder"):
        run(folder, gallery)
    folder.mkdir()
    with pytest.raises(UserError, match="no video in it"):
        run(folder, gallery)
    (folder / "notes.mp4").write_text("a text")
    with pytest.raises(UserError, match=r"none of its files could be used. .*notes.mp4: not a video"):
        run(folder, gallery)
    with pytest.raises(UserError, match=r"none of its files could be used. notes.mp4: its path does not fit"):
        find_footage(folder, replace_settings(template="{camera}/{start}"))


def test_a_wrong_count_is_never_a_success(footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = new_gallery(tmp_path / "gallery")
    append = vectors.append

    def losing(path: Path, committed_rows: int, embeddings: np.ndarray) -> str:
        digest = append(path, committed_rows, embeddings)
        os.truncate(path, path.stat().st_size - 2)  # a full disk that says nothing
        return digest

    monkeypatch.setattr(vectors, "append", losing)
    with pytest.raises(ReidappError, match=r"must be equal|should be there"):
        run(footage, gallery)


@pytest.mark.slow
def test_eight_samples_a_second_are_tracked_by_motion(footage: Path, tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "gallery")
    settings = replace_settings(sampling="10fps")
    report = index_footage(find_footage(footage, settings), gallery, ShirtEmbedder(), ShirtDetector(), settings)
    assert report.frames == 2 * SECONDS * FPS
    embedder = ShirtEmbedder()
    hits = Searcher(gallery, embedder).search(embedder.embed([query_crop("blue")]), cameras=["yard"], top=1).hits
    tracklet = gallery.tracklet(hits[0].tracklet)
    blue = WALKS["yard/2026-03-02_10-05-00.mp4"][0]
    assert tracklet.end_s - tracklet.start_s == pytest.approx(blue.end_s - blue.start_s, abs=1.5)
    assert all(point.box.iou(blue.box(point.time_s)) > 0.4 for point in tracklet.path)


def replace_settings(**changes: object) -> IndexSettings:
    return SETTINGS.model_copy(update=changes)


def test_a_chunk_depends_on_its_arguments_only(footage: Path) -> None:
    """So that it can be computed anywhere: on another machine, in another order."""
    from reidapp.footage.decoding import probe

    path = footage / "gate/2026-03-02_10-00-00.mp4"
    args = (ChunkTask(path, 2, probe(path), SETTINGS), ShirtDetector(), ShirtEmbedder())
    one, two = indexing.analyse(*args), indexing.analyse(*args)
    np.testing.assert_array_equal(one.embeddings, two.embeddings)
    assert replace(one, embeddings=0) == replace(two, embeddings=0)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_how_many_chunks_are_at_work_changes_nothing(
    footage: Path, whole: tuple[Gallery, IndexReport], tmp_path: Path, workers: int
) -> None:
    gallery = new_gallery(tmp_path / "gallery")
    told: list[tuple[float, float]] = []
    progress = lambda done, total, name: told.append((done, total))  # noqa: E731
    found = find_footage(footage, SETTINGS)
    index_footage(found, gallery, ShirtEmbedder(), ShirtDetector(), SETTINGS, progress, workers)
    assert contents(gallery) == contents(whole[0])
    assert told[-1] == (pytest.approx(2 * SECONDS), pytest.approx(2 * SECONDS))
    assert all(0 <= done <= total for done, total in told)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("chunk")]


class Failing(ShirtDetector):
    why = "out of memory"

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Detection]]:
        raise RuntimeError(self.why)


class Stumbling(ShirtDetector):
    """Over blue shirts."""

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Detection]]:
        if any(self._find(frame, SHIRTS["blue"]) for frame in frames):
            raise RuntimeError("bad shape")
        return super().detect(frames)


@pytest.mark.slow
def test_a_recording_at_which_a_detector_fails_is_named_and_the_rest_goes_on(footage: Path, tmp_path: Path) -> None:
    report = run(footage, new_gallery(tmp_path / "gallery"), Stumbling())
    assert report.videos == 1
    assert [(entry.file, entry.reason) for entry in report.skipped] == [
        ("yard/2026-03-02_10-05-00.mp4", "from second 0 on it could not be analysed (RuntimeError: bad shape)")
    ]


@pytest.mark.slow
def test_a_detector_that_fails_everywhere_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = numbered_files(tmp_path / "gate", 5)
    detector = Failing()
    monkeypatch.setattr(detector, "why", "no such node")
    with pytest.raises(ReidappError, match=r"^2\.mkv: from second 0 on it could not be analysed \(.*no such node\)$"):
        run(folder, new_gallery(tmp_path / "gallery"), detector)


def numbered_files(folder: Path, count: int) -> Path:
    """Short recordings without people, ``0.mkv``, ``1.mkv`` …"""
    folder.mkdir()
    for number in range(count):
        write_numbered(folder / f"{number}.mkv", [i / 10 for i in range(10 + number)])
    return folder


class Noting(ShirtDetector):
    """Notes how many files were opened when it is first asked."""

    opened: int | None = None

    def __init__(self, probed: list[Path]) -> None:
        self.probed = probed

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Detection]]:
        self.opened = self.opened or len(self.probed)
        return super().detect(frames)


@pytest.mark.slow
def test_work_begins_before_all_files_were_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, probed, probe = numbered_files(tmp_path / "gate", 8), list[Path](), indexing.probe

    def probing(path: Path) -> VideoFacts:
        probed.append(path)
        time.sleep(0.2)
        return probe(path)

    monkeypatch.setattr(indexing, "probe", probing)
    detector = Noting(probed)
    told: list[tuple[float, float]] = []
    progress = lambda done, total, name: told.append((done, total))  # noqa: E731
    found = find_footage(folder, SETTINGS)
    report = index_footage(
        found, new_gallery(tmp_path / "gallery"), ShirtEmbedder(), detector, SETTINGS, progress, workers=1
    )
    assert (report.videos, len(probed)) == (8, 8)
    assert detector.opened is not None
    assert detector.opened <= 2
    assert told[0][1] > 5  # of 10.8 s, by the size of the files that are waiting
    assert told[-1] == (pytest.approx(10.8), pytest.approx(10.8))


@pytest.mark.parametrize("sampling", ["0.3fps", "0.2fps"])
def test_somebody_who_stands_is_found_by_samples_seconds_apart(tmp_path: Path, sampling: str) -> None:
    folder, settings = tmp_path / "gate", replace_settings(sampling=sampling, chunk_s=60.0)
    folder.mkdir()
    write_video(folder / "2026-03-02_10-00-00.mp4", [frame_at([Walk("red", 0, 20, 0.5, 0.5)], 1)] * (12 * FPS))
    gallery = new_gallery(tmp_path / "gallery")
    report = index_footage(find_footage(folder, settings), gallery, ShirtEmbedder(), ShirtDetector(), settings)
    (tracklet,) = gallery.tracklets()
    assert len(tracklet.path) == report.frames == (4 if sampling == "0.3fps" else 3)


@pytest.mark.slow
def test_footage_past_the_headers_end_is_indexed(tmp_path: Path) -> None:
    folder = numbered_files(tmp_path / "gate", 1)
    write_numbered(folder / "0.mkv", [i / 10 for i in range(150)], b_frames=0)
    shorten_header(folder / "0.mkv", 6.0)
    report = run(folder, new_gallery(tmp_path / "gallery"))
    assert (report.frames, report.video_s, report.incomplete) == (30, pytest.approx(15), [])


@pytest.mark.slow
def test_time_stamps_that_begin_anew_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "gate"
    folder.mkdir()
    write_numbered(folder / "0.ts", [i / 10 for i in range(150)])
    (folder / "0.ts").write_bytes(2 * (folder / "0.ts").read_bytes())
    (entry,) = run(folder, new_gallery(tmp_path / "gallery")).incomplete
    assert entry.file == "0.ts"
    assert "begin anew" in entry.reason


@pytest.mark.slow
def test_damage_is_named_by_the_run_that_ends_the_recording(
    footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    analyse = indexing.analyse

    def interrupted(task: ChunkTask, *args: Any) -> NewChunk:
        if task.number == 2:
            raise KeyboardInterrupt
        return replace(analyse(task, *args), damaged=task.number == 0)

    monkeypatch.setattr(indexing, "analyse", interrupted)
    gallery = new_gallery(tmp_path / "gallery")
    assert run(footage / "gate", gallery).interrupted
    monkeypatch.undo()
    assert [entry.reason for entry in run(footage / "gate", gallery).incomplete] == [DAMAGED]


def test_a_fault_in_a_detector_names_the_recording_and_leaves_no_thread(footage: Path, tmp_path: Path) -> None:
    with pytest.raises(ReidappError, match=r"10-00-00\.mp4: .*could not be analysed \(RuntimeError: out of memory\)"):
        run(footage, new_gallery(tmp_path / "gallery"), Failing())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("chunk")]


class Counting(ShirtDetector):
    frames = 0

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Detection]]:
        self.frames += len(frames)
        return super().detect(frames)


@pytest.mark.slow
def test_motion_looks_only_where_something_changed_and_who_stands_still_stays(tmp_path: Path) -> None:
    """Somebody comes, stands for ten seconds, and goes; before and after, the place is empty."""
    folder, standing = tmp_path / "gate", Walk("red", 6, 8, 0.1, 0.5)
    folder.mkdir()
    comes = [frame_at([standing], i / FPS) for i in range(8 * FPS)]
    goes = [frame_at([replace(standing, start_s=0, end_s=2, left=0.5, right=0.9)], i / FPS) for i in range(2 * FPS)]
    empty = [frame_at([], 0)] * (6 * FPS)
    write_video(folder / "2026-03-02_10-00-00.mp4", [*comes, *[comes[-1]] * (10 * FPS), *goes, *empty])
    gallery, detector = new_gallery(tmp_path / "gallery"), Counting()
    settings = IndexSettings(zone="UTC", sampling="motion")
    report = index_footage(find_footage(folder, settings), gallery, ShirtEmbedder(), detector, settings)
    assert report.frames == 2 * 26
    assert detector.frames < 20
    (tracklet,) = gallery.tracklets()
    assert tracklet.start_s == pytest.approx(6, abs=0.6)
    assert tracklet.end_s == pytest.approx(20, abs=0.6)
    assert np.diff([point.time_s for point in tracklet.path]).max() == pytest.approx(0.5, abs=0.01)


@pytest.mark.slow
def test_who_stays_is_one_tracklet_across_chunks_of_few_samples(tmp_path: Path) -> None:
    """Samples are further apart than a tracklet's gaps may otherwise be."""
    stays = Walk("red", 0, 20, 0.5, 0.55)
    write_video(tmp_path / "gate_2026-03-02_10-00-00.mp4", [frame_at([stays], i / FPS) for i in range(20 * FPS)])
    gallery, settings = new_gallery(tmp_path / "gallery"), replace_settings(sampling="0.2fps", chunk_s=10.0)
    index_footage(find_footage(tmp_path, settings), gallery, ShirtEmbedder(), ShirtDetector(), settings)
    assert [[point.time_s for point in tracklet.path] for tracklet in gallery.tracklets()] == [[0, 5, 10, 15]]


@pytest.mark.slow
def test_keyframes_alone_find_everybody(footage: Path, tmp_path: Path) -> None:
    gallery, detector = new_gallery(tmp_path / "gallery"), Counting()
    settings = replace_settings(sampling="keyframes")
    report = index_footage(find_footage(footage, settings), gallery, ShirtEmbedder(), detector, settings)
    assert report.frames == detector.frames
    assert 2 * SECONDS <= report.frames <= 2 * SECONDS + 4  # one a second, and where the picture changes
    for name, walks in WALKS.items():
        paths = [t.path for t in gallery.tracklets() if t.camera == name.partition("/")[0]]
        for walk in walks:
            assert any(all(p.box.iou(walk.box(p.time_s)) > 0.5 for p in path) and len(path) > 2 for path in paths)


@pytest.mark.slow
@pytest.mark.parametrize(("turned", "pixel"), [(0, "1/1"), (90, "1/1"), (180, "1/1"), (0, "4/3"), (270, "4/3")])
def test_a_box_is_where_the_player_shows_the_person(tmp_path: Path, turned: int, pixel: str) -> None:
    """Rotated video, and pixels that are not square: fractions are of the picture as it is shown."""
    folder, walk = tmp_path / "gate", Walk("red", 0, 8, 0.2, 0.7)
    folder.mkdir()
    path = folder / "2026-03-02_10-00-00.mp4"
    shown = [frame_at([walk], i / FPS) for i in range(8 * FPS)]
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=FPS)
        stored = [np.ascontiguousarray(np.rot90(image, -turned // 90)) for image in shown]
        stream.height, stream.width = stored[0].shape[:2]
        stream.pix_fmt, stream.options = "yuv420p", {"x264-params": f"sar={pixel}", "crf": "18"}
        if turned:
            stream.set_display_rotation(turned)
        for image in stored:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())
    gallery = new_gallery(tmp_path / "gallery")
    assert run(folder, gallery).videos == 1
    (tracklet,) = gallery.tracklets()
    wide, high = map(int, pixel.split("/"))
    lies = turned % 180 == 90  # then stored pixels that are wide are shown high
    aspect = shown[0].shape[1] / shown[0].shape[0] * (high / wide if lies else wide / high)
    assert tracklet.video.width / tracklet.video.height == pytest.approx(aspect, rel=0.01)
    assert len(tracklet.path) >= 15
    there = [ShirtDetector().detect([shown[round(point.time_s * FPS)]])[0][0].box for point in tracklet.path]
    assert min(point.box.iou(box) for point, box in zip(tracklet.path, there, strict=True)) >= 0.9
    (crop, *_) = tracklet.crops
    height, width = read_image(crop.file).shape[:2]
    assert width / height == pytest.approx(crop.box.width * aspect / crop.box.height, rel=0.05)


@pytest.mark.slow
def test_a_recording_that_is_still_being_written_is_left_for_later(
    footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "gate"
    folder.mkdir()
    path = folder / "2026-03-02_10-00-00.ts"
    data = transport_stream(footage / "gate/2026-03-02_10-00-00.mp4", path)
    path.write_bytes(data[: len(data) // 2])
    (folder / "2026-03-02_09-00-00.mp4").write_bytes((footage / "yard/2026-03-02_10-05-00.mp4").read_bytes())
    monkeypatch.setattr("time.sleep", lambda seconds: path.write_bytes(data))
    gallery = new_gallery(tmp_path / "gallery")
    report = run(folder, gallery)
    assert (report.videos, [entry.file for entry in report.skipped]) == (1, ["2026-03-02_10-00-00.ts"])
    assert "still being written" in report.skipped[0].reason
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    again = run(folder, gallery)
    assert (again.videos, again.unchanged, again.skipped) == (1, 1, [])


def transport_stream(given: Path, path: Path) -> bytes:
    """A recording in a form that can be read while it grows."""
    with av.open(str(given)) as source, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    return path.read_bytes()


class Growing(ShirtDetector):
    """A recording is completed while it is being read."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path, self.data = path, data

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Detection]]:
        self.path.write_bytes(self.data)
        return super().detect(frames)


@pytest.mark.slow
@pytest.mark.parametrize("meanwhile", [True, False])
def test_nobody_is_twice_in_a_recording_that_grew(footage: Path, tmp_path: Path, meanwhile: bool) -> None:
    """While it was read, or after."""
    folder = tmp_path / "gate"
    folder.mkdir()
    path = folder / "2026-03-02_10-00-00.ts"
    data = transport_stream(footage / "gate/2026-03-02_10-00-00.mp4", path)
    whole = new_gallery(tmp_path / "whole")
    path.write_bytes(data)
    os.utime(path, (1e9, 1e9))
    run(folder, whole)
    path.write_bytes(data[: len(data) // 2 // 188 * 188])
    os.utime(path, (1e9, 1e9))
    gallery = new_gallery(tmp_path / "gallery")
    if meanwhile:
        report = index_footage(
            replace(find_footage(folder, SETTINGS), more_to_come=True),
            gallery,
            ShirtEmbedder(),
            Growing(path, data),
            SETTINGS,
        )
        assert [entry.reason for entry in report.skipped] == ["went away or changed while it was read; run this again"]
    else:
        assert run(folder, gallery).videos == 1
        path.write_bytes(data)
    os.utime(path, (2e9, 2e9))
    assert run(folder, gallery).notes == [f"{path.name}: grew since it was indexed, and is indexed anew"]
    assert [t.id for t in gallery.tracklets()] == [t.id for t in whole.tracklets()]
    assert [row[0] for row in contents(gallery)["video"]] == [row[0] for row in contents(whole)["video"]]
