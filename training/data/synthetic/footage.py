"""Recordings of generated people who walk past several cameras, with the truth of every frame."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import av

from reidapp.errors import UserError
from reidapp.files import whole_folder
from reidapp.truth import LIGHTING_FILE

from .parallel import spread
from .plan import Visit, plan_visits
from .seeds import FOOTAGE_PLAN, SEED_FILE, check_seed, stream
from .studio import Person, Studio, footage_appearances, footage_view, look_alike_pairs

CAMERA_NAMES = ("gate", "hall", "yard", "dock", "lobby", "ramp", "stairs", "passage", "court", "depot")
START = datetime(2026, 3, 2, 10, 0, 0, tzinfo=UTC)
VIDEO_NAME = "2026-03-02T10-00-00Z.mp4"
COLUMNS = (
    "camera", "video", "time_utc", "pts_s", "person", "x1", "y1", "x2", "y2", "head_x1", "head_y1", "head_x2",
    "head_y2", "visible",
)  # fmt: skip


@dataclass(frozen=True)
class FootageSummary:
    """What ``write_footage`` wrote; ``look_alikes`` are pairs of people in the same kind and colour of clothes."""

    folder: Path
    videos: tuple[Path, ...]
    truth: Path
    cameras: tuple[str, ...]
    people: int
    seconds: float
    frames: int
    rows: int
    look_alikes: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        return (
            f"{len(self.videos)} videos of {self.seconds:g} s from {', '.join(self.cameras)} with {self.people} "
            f"people, {self.frames} frames, in {self.folder}"
        )


def camera_name(index: int) -> str:
    """gate, hall, yard, …; then gate-2 and so on."""
    again, place_index = divmod(index, len(CAMERA_NAMES))
    return CAMERA_NAMES[place_index] + (f"-{again + 1}" if again else "")


@dataclass(frozen=True)
class _Task:
    out: Path
    seed: int
    camera: int
    people: int
    visits: tuple[Visit, ...]
    frames: int
    fps: int
    size: tuple[int, int]
    unseen_looks: bool


def _record(task: _Task) -> tuple[str, list[list[str]]]:
    """Write one camera's video; returns how it is lit, and its rows of the truth."""
    everyone = footage_appearances(task.seed, task.people)
    studio = Studio(task.seed, task.camera, everyone, list(task.visits), task.size, task.unseen_looks)
    name = camera_name(task.camera)
    path = task.out / name / VIDEO_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=task.fps)
        video.width, video.height = task.size
        video.pix_fmt = "yuv420p"
        video.gop_size = 2 * task.fps
        # The look's JPEG quality, 45 to 87, as x264 counts it: a cheap camera saves on both.
        video.options = {"preset": "superfast", "crf": str(30 - studio.look.jpeg[0] // 10), "threads": "1"}
        video.time_base = Fraction(1, task.fps)
        for number in range(task.frames):
            image, truth = studio.frame(number / task.fps)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, task.fps)
            container.mux(video.encode(frame))
            rows += [_row(name, number / task.fps, person) for person in truth]
        container.mux(video.encode(None))
    return studio.setting, rows


def _row(name: str, pts: float, person: Person) -> list[str]:
    time = (START + timedelta(seconds=pts)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    numbers = [f"{v:.5f}" for v in (*person.box, *person.head)]
    return [name, f"{name}/{VIDEO_NAME}", time, f"{pts:.3f}", str(person.person), *numbers, f"{person.visible:.3f}"]


def write_footage(
    out: Path,
    *,
    cameras: int = 3,
    people: int = 12,
    seconds: float = 60,
    crowd: int = 1,
    seed: int = 0,
    fps: int = 10,
    size: tuple[int, int] = (640, 360),
    unseen_looks: bool = False,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FootageSummary:
    """Write one H.264 video per camera into ``out``/<camera>/, ``out``/truth.csv, and beside it how each camera is lit,
    and the seed.

    Every person passes every camera, for at least 5 s where groups come one after another. The same arguments give the
    same bytes, whatever the number of workers.

    Args:
        crowd: groups that are in a camera's picture at the same time, crossing each other.
        size: width and height of the frames, pixels, both even.
        unseen_looks: of cameras unlike those of all other generated people and footage (`unseen_look`).
        workers: processes; all cores by default. One camera is one unit of work.
        progress: called with the cameras done and to do.
    """
    _check(out, cameras, people, seconds, fps, size)
    check_seed(seed)
    views = [footage_view(seed, camera, size) for camera in range(cameras)]
    visits = plan_visits(stream(seed, FOOTAGE_PLAN), views=views, people=people, seconds=seconds, crowd=crowd)
    frames = round(seconds * fps)
    names, lighting, count = tuple(map(camera_name, range(cameras))), [], 0
    with whole_folder(out) as folder:
        (folder / SEED_FILE).write_text(f"{seed}\n")
        tasks = [
            _Task(folder, seed, camera, people, tuple(visits[camera]), frames, fps, size, unseen_looks)
            for camera in range(cameras)
        ]
        with (folder / "truth.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for done, (lit, rows) in enumerate(spread(_record, tasks, workers), start=1):
                lighting.append(lit)
                writer.writerows(rows)
                count += len(rows)
                if progress is not None:
                    progress(done, cameras)
        with (folder / LIGHTING_FILE).open("w", newline="") as file:
            table = [("camera", "lighting"), *zip(names, lighting, strict=True)]
            csv.writer(file, lineterminator="\n").writerows(table)
    videos = tuple(out / name / VIDEO_NAME for name in names)
    return FootageSummary(
        out, videos, out / "truth.csv", names, people, frames / fps, frames * cameras, count, look_alike_pairs(people)
    )


def _check(out: Path, cameras: int, people: int, seconds: float, fps: int, size: tuple[int, int]) -> None:
    """Refuse what cannot be done, before anything is written."""
    for name, value in (("cameras", cameras), ("people", people), ("fps", fps)):
        if value < 1:
            raise UserError(f"{name} is {value}; it must be at least 1")
    if seconds <= 0:
        raise UserError(f"seconds is {seconds:g}; it must be more than 0")
    if min(size) < 64 or size[0] % 2 or size[1] % 2:
        raise UserError(f"size is {size[0]}x{size[1]}; width and height must be even and at least 64")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: already there and not an empty folder; give a new one")
