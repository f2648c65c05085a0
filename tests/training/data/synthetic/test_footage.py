import csv
import hashlib
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from reidapp.errors import UserError
from tests.training.data.synthetic.wearing import marks, outfit
from training.data.synthetic import FootageSummary, write_footage
from training.data.synthetic.camera import Look, draw_look
from training.data.synthetic.plan import plan_visits
from training.data.synthetic.seeds import FOOTAGE_PLAN, stream
from training.data.synthetic.studio import Studio, footage_appearances, footage_view, look_alike_pairs

SMALL = {"cameras": 2, "people": 4, "seconds": 16, "fps": 5, "size": (320, 180)}


def truth(folder: Path) -> list[dict[str, str]]:
    with (folder / "truth.csv").open() as file:
        return list(csv.DictReader(file))


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> FootageSummary:
    return write_footage(tmp_path_factory.mktemp("footage") / "small", workers=1, **SMALL)


@pytest.mark.slow
def test_same_seed_same_bytes_whatever_the_workers(small: FootageSummary, tmp_path: Path) -> None:
    write_footage(tmp_path / "two", workers=2, **SMALL)
    write_footage(tmp_path / "other", workers=1, seed=1, **SMALL)
    assert digest(tmp_path / "two") == digest(small.folder)
    assert not set(digest(tmp_path / "other").values()) & set(digest(small.folder).values())


def test_files_and_their_names(small: FootageSummary) -> None:
    assert set(digest(small.folder)) == {
        "cameras.csv",
        "seed.txt",
        "truth.csv",
        "gate/2026-03-02T10-00-00Z.mp4",
        "hall/2026-03-02T10-00-00Z.mp4",
    }
    assert small.cameras == ("gate", "hall")
    assert small.frames == 160
    assert small.rows == len(truth(small.folder))


def test_times_of_the_video_are_times_of_the_truth(small: FootageSummary) -> None:
    rows = truth(small.folder)
    for name in small.cameras:
        with av.open(str(small.folder / name / "2026-03-02T10-00-00Z.mp4")) as container:
            video = container.streams.video[0]
            assert video.codec_context.name == "h264"
            assert video.codec_context.pix_fmt == "yuv420p"
            times = [round(float(frame.time) * 1000) for frame in container.decode(video=0)]
        assert times == [200 * k for k in range(80)]
        mine = [row for row in rows if row["camera"] == name]
        assert {round(float(row["pts_s"]) * 1000) for row in mine} <= set(times)
        for row in mine:
            seconds = (
                datetime.fromisoformat(row["time_utc"]) - datetime.fromisoformat("2026-03-02T10:00:00Z")
            ).total_seconds()
            assert seconds == pytest.approx(float(row["pts_s"]))
            assert row["video"] == f"{name}/2026-03-02T10-00-00Z.mp4"


def test_browsers_can_seek(small: FootageSummary) -> None:
    for path in small.videos:
        data = path.read_bytes()
        assert data.index(b"moov") < data.index(b"mdat")
        with av.open(str(path)) as container:
            keys = [
                float(packet.pts * packet.time_base)
                for packet in container.demux(video=0)
                if packet.is_keyframe and packet.pts is not None
            ]
        assert max(np.diff([*keys, 16.0])) <= 2.01


def test_boxes_are_fractions_of_the_frame(small: FootageSummary) -> None:
    for row in truth(small.folder):
        x1, y1, x2, y2 = (float(row[name]) for name in ("x1", "y1", "x2", "y2"))
        hx1, hy1, hx2, hy2 = (float(row[f"head_{name}"]) for name in ("x1", "y1", "x2", "y2"))
        assert 0 <= x1 <= x2 <= 1
        assert 0 <= y1 <= y2 <= 1
        assert x1 <= hx1 <= hx2 <= x2
        assert y1 <= hy1 <= hy2 <= y2
        assert 0 < float(row["visible"]) <= 1


@pytest.mark.slow
def test_what_is_drawn_is_inside_its_box_and_fills_it() -> None:
    size = (640, 360)
    views = [footage_view(0, camera, size) for camera in range(2)]
    visits = plan_visits(stream(0, FOOTAGE_PLAN), views=views, people=6, seconds=30)
    studio = Studio(0, 0, footage_appearances(0, 6), visits[0], size)
    studio.scene = replace(studio.scene, shadow=0.0)
    studio.look = replace(studio.look, blur=0.0, sharpen=0.0)
    checked = 0
    for t in np.arange(0.5, 30, 1.5):
        picture, people = studio.frame(float(t))
        for person in people:
            without, _ = studio.frame(float(t), skip=person.person)
            changed = np.abs(picture.astype(int) - without).max(2) > 12
            if not changed.any():
                continue
            rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
            drawn = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
            box = np.array(person.box) * [640, 360, 640, 360]
            assert (drawn[:2] >= box[:2] - 2).all()
            assert (drawn[2:] <= box[2:] + 2).all()
            if person.visible > 0.99:
                assert np.abs(drawn - box).max() < 8
                checked += 1
    assert checked >= 10


@pytest.mark.slow
def test_everybody_passes_every_camera_for_five_seconds_and_the_place_is_never_crowded(tmp_path: Path) -> None:
    summary = write_footage(tmp_path / "out", fps=4, size=(320, 180), seed=7)
    rows = truth(tmp_path / "out")
    seconds = Counter((row["camera"], row["person"]) for row in rows if float(row["visible"]) >= 0.5)
    assert len(seconds) == 3 * 12
    assert min(seconds.values()) / 4 >= 5
    crowd = Counter((row["camera"], row["pts_s"]) for row in rows if float(row["visible"]) >= 0.5)
    assert max(crowd.values()) <= 4
    assert len(crowd) < summary.frames
    heights = [float(row["y2"]) - float(row["y1"]) for row in rows if float(row["visible"]) > 0.95]
    assert np.quantile(heights, 0.02) * 360 > 100
    assert np.quantile(heights, 0.98) * 360 < 240


@pytest.mark.slow
@pytest.mark.parametrize("crowd", [1, 2, 3])
def test_nobody_is_in_two_places_at_once(crowd: int) -> None:
    for seed in range(4):
        views = [footage_view(seed, camera, (640, 360)) for camera in range(3)]
        visits = plan_visits(stream(seed, FOOTAGE_PLAN), views=views, people=12, seconds=130, crowd=crowd)
        for person in range(12):
            mine = sorted((v.begin, v.end, c) for c, row in enumerate(visits) for v in row if v.person == person)
            assert {camera for _, _, camera in mine} == {0, 1, 2}
            for (_, end, here), (begin, _, there) in pairwise(mine):
                assert begin >= end - 1e-9 or here == there


@pytest.mark.slow
def test_a_crowd_has_several_groups_before_a_camera_at_once() -> None:
    views = [footage_view(0, camera, (640, 360)) for camera in range(2)]

    def most(crowd: int) -> int:
        visits = plan_visits(stream(0, FOOTAGE_PLAN), views=views, people=24, seconds=120, crowd=crowd)
        return max(sum(v.begin <= t < v.end for v in row) for row in visits for t in np.arange(0, 120, 0.5))

    assert most(1) <= 3
    assert most(2) >= 4
    assert most(3) >= 6


def test_every_camera_has_a_view_and_a_look_of_its_own() -> None:
    studios = [Studio(0, camera, footage_appearances(0, 1), [], (320, 180)) for camera in range(4)]
    assert len({studio.view for studio in studios}) == len({studio.look for studio in studios}) == 4


@pytest.mark.slow
def test_unseen_looks_are_outside_of_all_others_and_change_nothing_else() -> None:
    """What a model learns from has none of them."""

    def far_out(look: Look) -> bool:
        warm = abs(np.log(look.gains[0] / look.gains[2])) / 2
        return warm > 0.2 or look.haze > 0.18 or look.exposure < 0.75 or not 0.5 <= look.saturation <= 1

    people = footage_appearances(0, 1)
    for camera in range(60):
        usual, unseen = (Studio(0, camera, people, [], (64, 64), unseen=unseen) for unseen in (False, True))
        assert (usual.view, usual.setting) == (unseen.view, unseen.setting)
        assert (far_out(usual.look), far_out(unseen.look)) == (False, True)
        assert not far_out(draw_look(np.random.default_rng(camera), usual.setting))


def test_what_stands_before_everybody_hides_them() -> None:
    size = (320, 180)
    views = [footage_view(0, 0, size)]
    studio = Studio(
        0,
        0,
        footage_appearances(0, 3),
        plan_visits(stream(0, FOOTAGE_PLAN), views=views, people=3, seconds=20)[0],
        size,
    )
    t = next(t for t in np.arange(0, 20, 0.2) if studio.frame(float(t))[1])
    studio.scene = replace(studio.scene, front=np.ones((180, 320), bool))
    assert studio.frame(float(t))[1] == []


def test_look_alikes_wear_the_same_and_differ_visibly() -> None:
    pairs = look_alike_pairs(12)
    assert len({person for pair in pairs for person in pair}) >= 4
    for seed in range(5):
        people = footage_appearances(seed, 12)
        for first, second in pairs:
            assert outfit(people[first]) == outfit(people[second])
            ours, theirs = marks(people[first]), marks(people[second])
            assert sum(ours[mark] != theirs[mark] for mark in ours) >= 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"people": 12, "seconds": 10}, "at least 30"),
        ({"cameras": 0}, "cameras"),
        ({"size": (641, 360)}, "641x360"),
        ({"people": 3, "crowd": 4}, "crowd is 4"),
    ],
)
def test_bad_options_are_named_and_nothing_is_written(tmp_path: Path, options: dict, told: str) -> None:
    with pytest.raises(UserError, match=told):
        write_footage(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_importing_loads_no_torch() -> None:
    code = "import sys, training.data.synthetic; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
