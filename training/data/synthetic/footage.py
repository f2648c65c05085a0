"""Recordings of generated people who walk past several cameras, with the truth of every frame."""

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from reidapp.errors import UserError

from .appearance import Appearance, draw_appearance, look_alike
from .body import Body, build_body
from .camera import Image, Look, View, draw_look, sharpened
from .parallel import spread
from .plan import Visit, plan_visits
from .pose import Pose
from .raster import Placed, draw, place, shadow
from .scene import Scene, draw_scene
from .seeds import FOOTAGE_CAMERA, FOOTAGE_FRAME, FOOTAGE_IDENTITY, FOOTAGE_PLAN, stream

CAMERA_NAMES = ("gate", "hall", "yard", "dock", "lobby", "ramp", "stairs", "passage", "court", "depot")
START = datetime(2026, 3, 2, 10, 0, 0, tzinfo=UTC)
VIDEO_NAME = "2026-03-02T10-00-00Z.mp4"
COLUMNS = (
    "camera", "video", "time_utc", "pts_s", "person", "x1", "y1", "x2", "y2", "head_x1", "head_y1", "head_x2", "head_y2", "visible",
)  # fmt: skip
# (largest height in pixels, spacing of points in metres): a near person needs more points than a far one.
DETAIL = ((150.0, 0.0075), (1e9, 0.0052))


@dataclass(frozen=True)
class FootageSummary:
    """What ``write_footage`` wrote. ``look_alikes`` are pairs of people in the same kind and colour of clothes."""

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
            f"{len(self.videos)} videos of {self.seconds:g} s from {', '.join(self.cameras)} with {self.people} people, "
            f"{self.frames} frames, in {self.folder}"
        )


@dataclass(frozen=True)
class Person:
    """A person in one frame of the truth; boxes are x1, y1, x2, y2 as fractions of the frame, clipped."""

    person: int
    box: tuple[float, float, float, float]
    head: tuple[float, float, float, float]
    visible: float


def camera_name(index: int) -> str:
    """gate, hall, yard, …; then gate-2 and so on."""
    again, place_index = divmod(index, len(CAMERA_NAMES))
    return CAMERA_NAMES[place_index] + (f"-{again + 1}" if again else "")


def look_alike_pairs(people: int) -> tuple[tuple[int, int], ...]:
    """Which people are dressed alike: a third of them, in pairs."""
    return tuple((2 * k, 2 * k + 1) for k in range(max(people // 6, 1 if people >= 4 else 0)))


def footage_appearances(seed: int, people: int) -> list[Appearance]:
    """The people of a footage, by number from 0."""
    everyone = [draw_appearance(stream(seed, FOOTAGE_IDENTITY, index)) for index in range(people)]
    for first, second in look_alike_pairs(people):
        everyone[second] = look_alike(stream(seed, FOOTAGE_IDENTITY, second), everyone[first])
    return everyone


def footage_view(size: tuple[int, int]) -> View:
    """The view of every footage camera: 2.6 m up; people are about 0.31 to 0.6 of the frame high."""
    width, height = size
    return View(width, height, 0.80 * width, 2.6, 0.17)


def footage_look(rng: np.random.Generator) -> Look:
    """A camera's look, milder than in crops: recordings are sharper than what a detector cuts out far away."""
    look = draw_look(rng)
    return replace(look, blur=min(look.blur, 0.5), noise=min(look.noise, 0.014), sharpen=min(look.sharpen, 0.6), haze=look.haze / 2)


class Studio:
    """One camera's recording: draws any frame of it, and says who is where."""

    def __init__(self, seed: int, camera: int, people: list[Appearance], visits: list[Visit], size: tuple[int, int]) -> None:
        rng = stream(seed, FOOTAGE_CAMERA, camera)
        self.seed, self.camera, self.visits = seed, camera, visits
        self.view = footage_view(size)
        self.scene: Scene = draw_scene(rng, self.view)
        self.look = footage_look(rng)
        self.people = people
        self._bodies: dict[tuple[int, float], Body] = {}
        self._poses = [_carriage(stream(seed, FOOTAGE_PLAN, camera, k), people[v.person]) for k, v in enumerate(visits)]
        self._table = self.look.table()
        self._grain = _grain(rng, size, self.look.noise)

    def present(self, t: float) -> list[tuple[int, Placed, tuple[float, float, float]]]:
        """Visit number, points and (x, z, yaw) of everyone who is on the way at second ``t``, far ones first."""
        found = []
        for number, visit in enumerate(self.visits):
            if visit.begin <= t < visit.end:
                found.append(self._placed(number, visit, t))
        return sorted(found, key=lambda item: -item[2][1])

    def _body(self, person: int, pixels: float) -> Body:
        spacing = next(s for most, s in DETAIL if pixels * 640 / self.view.width <= most) * 640 / self.view.width
        key = (person, spacing)
        if key not in self._bodies:
            self._bodies[key] = build_body(self.people[person], spacing)
        return self._bodies[key]

    def _placed(self, number: int, visit: Visit, t: float) -> tuple[int, Placed, tuple[float, float, float]]:
        share = visit.share(t)
        x, z, yaw = visit.place(share)
        who = self.people[visit.person]
        body = self._body(visit.person, self.view.focal * who.build.height / z)
        stride = who.gait.stride(body.figure.joints)
        pose = self._poses[number]
        phase = pose.phase + 2 * np.pi * share * visit.length_m / stride
        pose = replace(pose, phase=phase, effort=0.15 if visit.standing(t) else 1.0)
        return number, place(body, body.posed(pose), self.view, x, z, yaw), (x, z, yaw)

    def frame(self, t: float, skip: int | None = None) -> tuple[Image, list[Person]]:
        """The picture at second ``t`` (RGB uint8 [H, W, 3]) and who is in it; ``skip`` leaves out one person."""
        picture = self.scene.picture.copy()
        present = [item for item in self.present(t) if self.visits[item[0]].person != skip]
        drawn = [self._paint(picture, placed, where) for _, placed, where in present]
        truth = []
        for k, (number, placed, _) in enumerate(present):
            person = _truth(self.visits[number].person, placed, drawn[k], [m for m in drawn[k + 1 :] if m is not None])
            if person is not None:
                truth.append(person)
        return self._recorded(picture, t), truth

    def _paint(self, picture: Image, placed: Placed, where: tuple[float, float, float]) -> "Mask | None":
        """Draw one person with a shadow into the picture; returns the pixels covered."""
        height, width = picture.shape[:2]
        x1, y1, x2, y2 = placed.bounds()
        wide = 0.18 * (y2 - y1)
        left, top = max(int(x1 - wide), 0), max(int(y1) - 2, 0)
        right, bottom = min(int(x2 + wide) + 1, width), min(int(y2 + 0.3 * wide) + 2, height)
        if right - left < 2 or bottom - top < 2:
            return None
        region = (float(left), float(top), float(right), float(bottom))
        size = (bottom - top, right - left)
        patch = picture[top:bottom, left:right].astype(np.float32) / 255
        patch *= 1 - (self.scene.shadow * shadow(placed.posed, self.view, where, self.scene.slant, region, size))[..., None]
        fine = (round(size[0] * 1.5), round(size[1] * 1.5))
        sprite = draw(placed, region, fine, self.scene.light)
        mask = None
        if sprite is not None:
            both = np.dstack([sprite.colour, sprite.alpha])
            both = cv2.resize(both, (size[1], size[0]), interpolation=cv2.INTER_AREA)
            patch = patch * (1 - both[..., 3:]) + both[..., :3]
            mask = Mask(left, top, both[..., 3] > 0.5)
        picture[top:bottom, left:right] = np.clip(patch * 255, 0, 255)
        return mask

    def _recorded(self, picture: Image, t: float) -> Image:
        image = cv2.LUT(picture, self._table)
        image = np.clip(cv2.transform(image, self.look.mixing()), 0, 255).astype(np.uint8)
        if self.look.blur > 0.2:
            image = cv2.GaussianBlur(image, (0, 0), self.look.blur)
        image = sharpened(image, self.look.sharpen)
        rng = stream(self.seed, FOOTAGE_FRAME, self.camera, round(t * 1000))
        height, width = image.shape[:2]
        top, left = int(rng.integers(GRAIN_ROOM)), int(rng.integers(GRAIN_ROOM))
        return cv2.add(image, self._grain[top : top + height, left : left + width], dtype=cv2.CV_8U)


GRAIN_ROOM = 64


def _grain(rng: np.random.Generator, size: tuple[int, int], strength: float) -> np.ndarray:
    """A field of noise, a little larger than a frame, that each frame takes another part of (int16)."""
    field = rng.standard_normal((size[1] + GRAIN_ROOM, size[0] + GRAIN_ROOM, 1), np.float32) * strength * 255
    return np.repeat(np.round(field), 3, axis=2).astype(np.int16)


@dataclass(frozen=True)
class Mask:
    """The pixels that a drawn person covers: upper left corner and bool [h, w]."""

    left: int
    top: int
    covered: np.ndarray

    def share_hidden_by(self, others: "list[Mask]") -> float:
        """Share of these pixels that others cover."""
        mine = self.covered.copy()
        height, width = mine.shape
        for other in others:
            dx, dy = other.left - self.left, other.top - self.top
            x1, y1 = max(dx, 0), max(dy, 0)
            x2, y2 = min(dx + other.covered.shape[1], width), min(dy + other.covered.shape[0], height)
            if x1 < x2 and y1 < y2:
                mine[y1:y2, x1:x2] &= ~other.covered[y1 - dy : y2 - dy, x1 - dx : x2 - dx]
        return 1 - mine.sum() / max(self.covered.sum(), 1)


def _truth(person: int, placed: Placed, mask: Mask | None, nearer: list[Mask]) -> Person | None:
    if mask is None or not mask.covered.any():
        return None
    width, height = placed.view.width, placed.view.frame_height
    full = placed.bounds()
    box = _fractions(full, width, height)
    inside = (box[2] - box[0]) * width * (box[3] - box[1]) * height / max((full[2] - full[0]) * (full[3] - full[1]), 1e-6)
    visible = inside * (1 - mask.share_hidden_by(nearer))
    if visible <= 0:
        return None
    return Person(person, box, _fractions(placed.head_bounds(), width, height), float(min(visible, 1.0)))


def _fractions(box: tuple[float, float, float, float], width: int, height: int) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (min(max(v / n, 0.0), 1.0) for v, n in zip(box, (width, height, width, height), strict=True))
    return x1, y1, x2, y2


def _carriage(rng: np.random.Generator, who: Appearance) -> Pose:
    """What a person's arms do during one visit."""
    in_hand = who.bag in ("handbag", "carrier")
    arms = [
        "hang" if in_hand and who.bag_side == side else str(rng.choice(["swing", "pocket", "phone"], p=[0.84, 0.10, 0.06]))
        for side in (1, -1)
    ]
    return Pose(phase=float(rng.uniform(0, 2 * np.pi)), arm_right=arms[0], arm_left=arms[1], glance=float(rng.normal(0, 0.12)))


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


def _record(task: _Task) -> list[list[str]]:
    """Write one camera's video; returns its rows of the truth."""
    studio = Studio(task.seed, task.camera, footage_appearances(task.seed, task.people), list(task.visits), task.size)
    name = camera_name(task.camera)
    path = task.out / name / VIDEO_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        video = container.add_stream("libx264", rate=task.fps)
        video.width, video.height = task.size
        video.pix_fmt = "yuv420p"
        video.gop_size = 2 * task.fps
        video.options = {"preset": "veryfast", "crf": "21", "threads": "1"}
        video.time_base = Fraction(1, task.fps)
        for number in range(task.frames):
            image, truth = studio.frame(number / task.fps)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, task.fps)
            container.mux(video.encode(frame))
            rows += [_row(name, number / task.fps, person) for person in truth]
        container.mux(video.encode(None))
    return rows


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
    seed: int = 0,
    fps: int = 10,
    size: tuple[int, int] = (640, 360),
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FootageSummary:
    """Write one H.264 video per camera into ``out``/<camera>/ and ``out``/truth.csv.

    Every person passes every camera for at least 5 s. The same arguments give the same bytes, whatever the number of workers.

    Args:
        size: width and height of the frames, pixels, both even.
        workers: processes; all cores by default. One camera is one unit of work.
        progress: called with the cameras done and to do.
    """
    _check(out, cameras, people, seconds, fps, size)
    visits = plan_visits(stream(seed, FOOTAGE_PLAN), cameras=cameras, people=people, seconds=seconds, view=footage_view(size))
    frames = round(seconds * fps)
    out.mkdir(parents=True, exist_ok=True)
    tasks = [_Task(out, seed, camera, people, tuple(visits[camera]), frames, fps, size) for camera in range(cameras)]
    count = 0
    with (out / "truth.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for done, rows in enumerate(spread(_record, tasks, workers), start=1):
            writer.writerows(rows)
            count += len(rows)
            if progress is not None:
                progress(done, cameras)
    names = tuple(camera_name(camera) for camera in range(cameras))
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

