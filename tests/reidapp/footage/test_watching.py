"""A folder into which recordings come, by a clock that the test moves."""

import errno
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from reidapp.errors import UserError
from reidapp.footage import decoding, watching
from reidapp.footage.indexing import Footage, index_footage
from reidapp.footage.report import IndexReport
from reidapp.footage.watching import QUIET_S, Watcher, watch
from reidapp.gallery.store import Gallery
from reidapp.gallery.writer import MovedError
from reidapp.settings import CameraSettings, IndexSettings
from tests.reidapp.footage.test_indexing import Interrupting, ShirtEmbedder, new_gallery
from tests.small_gallery import FPS, ShirtDetector, Walk, frame_at, write_video

SETTINGS = IndexSettings(zone="UTC")


class Clock:
    """Stands for the module `time`."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1_800_000_000.0 + self.now


class Script(threading.Event):
    """At each wait between two looks, the clock goes on and the next thing happens; after the last, the watch ends."""

    def __init__(self, clock: Clock, *steps: Callable[[], object]) -> None:
        super().__init__()
        self.clock = clock
        self.steps = iter(steps)

    def wait(self, timeout: float | None = None) -> bool:
        self.clock.now += timeout or 0
        if step := next(self.steps, None):
            step()
        else:
            self.set()
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watching, "time", clock)
    return clock


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two seconds of one person each."""
    folder = tmp_path_factory.mktemp("videos")
    for shirt in ("red", "blue"):
        walk = Walk(shirt, 0, 2, 0.3, 0.6)
        write_video(folder / f"{shirt}.mp4", [frame_at([walk], i / FPS) for i in range(2 * FPS)])
    return {path.stem: path for path in folder.iterdir()}


def names(footage: Footage) -> list[str]:
    return [source.path.name for source in footage.sources]


def test_a_file_is_ready_once_it_is_old_or_has_been_quiet(tmp_path: Path, clock: Clock) -> None:
    old, young = tmp_path / "old.ts", tmp_path / "young.ts"
    for path, age_s in ((old, 61), (young, 3)):
        path.touch()
        set_date(path, clock.time() - age_s)
    watcher = Watcher(tmp_path, SETTINGS)
    assert names(ready(watcher)) == ["old.ts"]
    clock.now += QUIET_S - 1
    young.write_bytes(b"more")
    set_date(young, clock.time() - 3)
    assert names(ready(watcher)) == []
    clock.now += QUIET_S - 1
    assert names(ready(watcher)) == []
    clock.now += 1
    assert names(ready(watcher)) == ["young.ts"]
    assert names(ready(watcher)) == []
    old.write_bytes(b"overwritten")
    set_date(old, clock.time() + 3600)  # by a share whose clock is ahead
    assert names(ready(watcher)) == []
    clock.now += QUIET_S
    assert names(ready(watcher)) == ["old.ts"]


def test_what_went_away_is_taken_again_when_it_is_back(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "a.ts"
    path.touch()
    set_date(path, 0)
    watcher = Watcher(tmp_path, SETTINGS)
    assert names(ready(watcher)) == ["a.ts"]
    path.rename(tmp_path / "away")
    assert names(ready(watcher)) == []
    (tmp_path / "away").rename(path)
    assert names(ready(watcher)) == ["a.ts"]


def test_what_is_left_out_is_named_once(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "holiday.mp4").touch()
    watcher = Watcher(tmp_path, IndexSettings(zone="UTC", template="{camera}_{start}"))
    assert [entry.file for entry in ready(watcher).skipped] == ["holiday.mp4"]
    assert ready(watcher).skipped == []


def test_there_must_be_a_folder_at_the_beginning(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such file or folder"):
        Watcher(tmp_path / "nowhere", SETTINGS)


def set_date(path: Path, time_s: float) -> None:
    os.utime(path, (time_s, time_s))


def ready(watcher: Watcher) -> Footage:
    footage = watcher.ready()
    watcher.taken(footage)
    return footage


def indexing(gallery: Gallery, detector: ShirtDetector | None = None) -> Callable[[Footage], IndexReport]:
    return lambda footage: index_footage(footage, gallery, ShirtEmbedder(), detector or ShirtDetector(), SETTINGS)


@pytest.mark.slow
def test_recordings_are_indexed_as_they_come_and_faults_are_named_once(
    tmp_path: Path, clock: Clock, videos: dict[str, Path]
) -> None:
    folder, gallery = tmp_path / "footage", new_gallery(tmp_path / "gallery")
    folder.mkdir()
    first, late = folder / "gate_2026-03-02_10-00-00.mp4", folder / "yard_2026-03-02_10-05-00.mp4"
    whole = videos["blue"].read_bytes()
    script = Script(
        clock,
        lambda: shutil.copy(videos["red"], first),
        lambda: late.write_bytes(whole[: len(whole) // 3]),  # MP4: cannot be read before it is complete
        lambda: None,
        lambda: None,  # quiet for long enough to be tried, and to fail
        lambda: None,
        lambda: late.write_bytes(whole),
        *[lambda: None] * 3,
    )
    passes: list[IndexReport] = []
    total = watch(Watcher(folder, SETTINGS), indexing(gallery), passes.append, pytest.fail, stop=script)
    done = [(report.videos, [entry.file for entry in report.skipped]) for report in passes]
    assert done[0] == (0, [])
    assert (1, []) in done
    assert [videos for videos, _ in done].count(1) == 2
    assert (total.videos, total.unchanged, total.interrupted) == (2, 0, False)
    assert len(total.skipped) + len(total.incomplete) == sum(len(r.skipped) + len(r.incomplete) for r in passes) <= 1
    assert {camera.name for camera in gallery.cameras()} == {"gate", "yard"}
    assert total.crops == gallery.summary().crops


@pytest.mark.slow
def test_a_file_whose_disk_fails_for_a_while_is_tried_again_and_named_once(
    tmp_path: Path, clock: Clock, videos: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, gallery = tmp_path / "footage", new_gallery(tmp_path / "gallery")
    folder.mkdir()
    for name, shirt in (("gate", "red"), ("yard", "blue")):
        path = folder / f"{name}_2026-03-02_10-00-00.mp4"
        shutil.copy(videos[shirt], path)
        set_date(path, 0)
    opened: list[float] = []
    read = decoding.av.open

    def failing(file: str, *args: object, **options: object) -> object:
        if "gate" in file and len(opened) < 2:
            opened.append(clock.now)
            raise av.error.OSError(errno.EIO, "Input/output error", file)
        return read(file, *args, **options)

    monkeypatch.setattr(decoding.av, "open", failing)
    passes: list[IndexReport] = []
    script = Script(clock, *[lambda: None] * 6)
    total = watch(Watcher(folder, SETTINGS), indexing(gallery), passes.append, pytest.fail, stop=script)
    assert opened[1] - opened[0] >= QUIET_S
    assert [(report.videos, len(report.skipped)) for report in passes] == [(1, 1), (1, 0)]
    assert (total.videos, len(total.skipped)) == (2, 1)
    assert "Input/output error" in total.skipped[0].reason


@pytest.mark.slow
def test_a_gallery_that_is_busy_and_a_folder_that_went_away_are_waited_for(
    tmp_path: Path, clock: Clock, videos: dict[str, Path]
) -> None:
    folder, gallery = tmp_path / "footage", new_gallery(tmp_path / "gallery")
    folder.mkdir()
    shutil.copy(videos["red"], folder / "gate_2026-03-02_10-00-00.mp4")
    set_date(folder / "gate_2026-03-02_10-00-00.mp4", 0)
    other = gallery.writing()
    other.__enter__()
    said: list[str] = []
    script = Script(
        clock,
        lambda: None,
        lambda: other.__exit__(None, None, None),
        lambda: folder.rename(tmp_path / "away"),
        lambda: None,
        lambda: (tmp_path / "away").rename(folder),
        lambda: shutil.copy(videos["blue"], folder / "gate_2026-03-02_10-05-00.mp4"),
        *[lambda: None] * 2,
    )
    total = watch(Watcher(folder, SETTINGS), indexing(gallery), lambda report: None, said.append, stop=script)
    assert ["such as `reidapp index`, is writing" in said[0], "no such file or folder" in said[1]] == [True, True]
    assert len(said) == 2
    assert (total.videos, total.unchanged) == (2, 1)  # the first was looked up again when the folder was back


def test_a_gallery_that_moves_to_another_model_is_gone_on_with(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "gate_2026-03-02_10-00-00.mp4").touch()
    set_date(tmp_path / "gate_2026-03-02_10-00-00.mp4", 0)
    seen, said = [], list[str]()

    def index(footage: Footage) -> IndexReport:
        seen.append(names(footage))
        if len(seen) == 1:
            raise MovedError("moved just now")
        return IndexReport(videos=1)

    total = watch(Watcher(tmp_path, SETTINGS), index, lambda report: None, said.append, stop=Script(clock, *[bool] * 2))
    assert seen == [["gate_2026-03-02_10-00-00.mp4"]] * 2
    assert (total.videos, said) == (1, ["moved just now"])


def test_ctrl_c_ends_it_with_the_sum(tmp_path: Path, clock: Clock, videos: dict[str, Path]) -> None:
    folder, gallery = tmp_path / "footage", new_gallery(tmp_path / "gallery")
    folder.mkdir()
    shutil.copy(videos["red"], folder / "gate_2026-03-02_10-00-00.mp4")
    set_date(folder / "gate_2026-03-02_10-00-00.mp4", 0)

    def interrupt() -> None:
        raise KeyboardInterrupt

    passes: list[IndexReport] = []
    at_work = watch(Watcher(folder, SETTINGS), indexing(gallery, Interrupting(0)), passes.append, pytest.fail)
    assert (at_work.interrupted, at_work.videos) == (True, 0)
    waiting = watch(
        Watcher(folder, SETTINGS), indexing(gallery), passes.append, pytest.fail, stop=Script(clock, interrupt)
    )
    assert (waiting.interrupted, waiting.videos) == (False, 1)
    assert waiting.to_dict() == passes[-1].to_dict()


@pytest.mark.slow
def test_what_is_corrected_meanwhile_stays(tmp_path: Path, clock: Clock, videos: dict[str, Path]) -> None:
    """What the user says of a camera goes into the gallery once in a run."""
    folder, gallery = tmp_path / "gate", new_gallery(tmp_path / "gallery")
    folder.mkdir()
    shutil.copy(videos["red"], folder / "2026-03-02_10-00-00.mp4")

    def correct_and_go_on() -> None:
        with gallery.writing() as writer:
            writer.change_camera("gate", CameraSettings(zone="Europe/Berlin"))
        shutil.copy(videos["blue"], folder / "2026-03-02_11-00-00.mp4")

    watcher = Watcher(folder, SETTINGS, {"gate": CameraSettings(zone="Asia/Tokyo")}, quiet_s=0)
    script = Script(clock, correct_and_go_on, lambda: None)
    report = watch(watcher, indexing(gallery), lambda report: None, print, stop=script)
    assert report.videos == 2
    assert [camera.zone for camera in gallery.cameras()] == ["Europe/Berlin"]


def test_looking_takes_a_tenth_of_the_time_at_most(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher, waits = Watcher(tmp_path, SETTINGS), list[float]()

    class Waiting(Script):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0)
            return super().wait(timeout)

    def slow(*args: object) -> tuple[list, list]:
        clock.now += 5
        return [], []

    monkeypatch.setattr(watching, "scan", slow)
    watch(watcher, lambda footage: IndexReport(), lambda report: None, pytest.fail, stop=Waiting(clock))
    assert waits == [50.0]


def test_each_hour_a_pass_is_made_though_nothing_has_come(tmp_path: Path, clock: Clock) -> None:
    """It deletes what is older than the gallery keeps it, and is told of only if something was."""
    at, told = list[float](), list[str]()

    def index(footage: Footage) -> IndexReport:
        at.append(clock.now - 1_000)
        return IndexReport(notes=["deleted"] if len(at) == 3 else [])

    def took(report: IndexReport) -> None:
        told.extend(report.notes or ["nothing"])

    watch(Watcher(tmp_path, SETTINGS), index, took, pytest.fail, every_s=600, stop=Script(clock, *[bool] * 13))
    assert at == [0, 3600, 7200]
    assert told == ["nothing", "deleted"]
