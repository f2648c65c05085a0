"""`reidapp bench footage` end to end, on worlds of four people."""

import contextlib
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reidapp.bench import WorldSize, run_bench
from reidapp.bench_page import page
from reidapp.bench_report import BenchReport
from reidapp.errors import ReidappError, UserError
from reidapp.files import locked
from reidapp.measures import CalibrationScores
from tests.conftest import World
from training.data.synthetic.people import identity_appearance, write_people
from training.data.synthetic.seeds import FIRST_BENCH_SEED, NAMESPACES, bench_seed, entropy
from training.data.synthetic.studio import footage_appearances

ROOT = Path(__file__).parents[2]
SMALL = WorldSize(cameras=2, people=4, seconds=16)


class Steps:
    """Progress bars that remember what was begun, and may press Ctrl-C in one of the steps."""

    def __init__(self, stop_in: str = "") -> None:
        self.begun: list[str] = []
        self.stop_in = stop_in

    @contextlib.contextmanager
    def __call__(self, title: str, unit: str) -> Iterator[Callable[..., None]]:
        self.begun.append(title)

        def advance(done: float, total: float, label: str = "") -> None:
            if title == self.stop_in:
                raise KeyboardInterrupt

        yield advance


def run(out: Path, steps: Steps, seeds: tuple[int, ...] = (0, 1)) -> BenchReport:
    return run_bench(out, seeds=seeds, size=SMALL, sampling="1fps", bars=steps)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def report(out: Path) -> BenchReport:
    """Of two worlds; the first run is stopped while it indexes the second one."""
    with pytest.raises(KeyboardInterrupt):
        run(out, Steps(stop_in="world 1: indexing"))
    steps = Steps()
    result = run(out, steps)
    assert steps.begun == ["world 1: indexing", "world 1: searching"]
    return result


@pytest.mark.slow
def test_what_is_measured(report: BenchReport) -> None:
    facts = report.to_dict()
    assert [world["world"] for world in facts["worlds"]] == ["world 0", "world 1"]
    for world in facts["worlds"]:
        assert world["tracklets"]["appearances"] == world["retrieval"]["queries"] == 8
        assert 0.3 < world["retrieval"]["mAP"] <= 1
        assert 0.3 < world["detection"]["recall"] <= 1
        assert 0.5 < world["detection"]["overlap"] <= 1
        assert 0.5 < world["tracklets"]["purity"] <= 1
        assert 0 <= world["times"]["start_error_s"] < 5
        assert world["calibration"] is None
        assert world["cost"]["video_s"] == pytest.approx(32, abs=3)
        assert world["cost"]["memory_mb"] > 50


@pytest.mark.slow
def test_errors_by_camera_and_lighting(report: BenchReport) -> None:
    groups = report.to_dict()["groups"]
    assert [group["name"] for group in groups["camera"]] == [
        f"world {world}, {camera}" for world in (0, 1) for camera in ("gate", "hall")
    ]
    assert {group["name"] for group in groups["lighting"]} <= {"day", "dusk", "indoor"}
    for kind in ("camera", "lighting"):
        assert sum(group["queries"] for group in groups[kind]) == 16
        queries = sum(group["rank1"]["value"] * group["queries"] for group in groups[kind])
        assert queries == pytest.approx(8 * sum(world.retrieval.rank1 or 0 for world in report.worlds), abs=1e-2)
        for group in groups[kind]:
            assert group["rank1"]["low"] <= group["rank1"]["value"] <= group["rank1"]["high"]
    for text in (str(report), page(report)):
        assert "world 1, hall" in text
        assert groups["lighting"][0]["name"] in text


@pytest.mark.slow
def test_mean_and_spread(report: BenchReport) -> None:
    facts = report.to_dict()
    recalls = [world["detection"]["recall"] for world in facts["worlds"]]
    assert facts["mean"]["detection"]["recall"] == pytest.approx(statistics.mean(recalls), abs=1e-4)
    assert facts["spread"]["detection"]["recall"] == pytest.approx(statistics.stdev(recalls), abs=1e-4)
    one = replace(report, worlds=report.worlds[:1]).to_dict()
    assert one["spread"] is None
    assert one["mean"]["detection"]["recall"] == recalls[0]


@pytest.mark.slow
def test_what_one_world_alone_has_is_averaged_over_it(report: BenchReport) -> None:
    """Only one of the worlds has a calibration, and a class of people that the other one lacks."""
    first, second = report.worlds
    calibrated = replace(first, calibration=CalibrationScores(0.1, 0.2, 5, ((0.5, 0.4, 5),)))
    facts = replace(report, worlds=[calibrated, second]).to_dict()
    assert facts["mean"]["calibration"] == {"brier": 0.1, "ece": 0.2, "hits": 5}
    assert "Brier score of P(match)" in str(replace(report, worlds=[calibrated, second]))


@pytest.mark.slow
def test_a_finished_world_is_not_done_again(out: Path, report: BenchReport) -> None:
    steps = Steps()
    assert run(out, steps) == report
    assert steps.begun == []


@pytest.mark.slow
def test_another_setting_is_measured_anew_on_the_same_footage(
    out: Path, report: BenchReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And, though the folder was named from where the command ran, its page can be written from anywhere."""
    steps = Steps()
    monkeypatch.chdir(out.parent)
    run_bench(Path(out.name), seeds=[0], size=SMALL, sampling="0.5fps", bars=steps)
    assert steps.begun == ["world 0: indexing", "world 0: searching"]
    monkeypatch.chdir("/")
    again = run_bench(out, seeds=[0], size=SMALL, sampling="0.5fps", bars=steps)
    assert len(steps.begun) == 2
    assert "<article>" in page(again)


@pytest.mark.slow
def test_the_table_names_what_is_missing(report: BenchReport) -> None:
    text = str(report)
    for title in ("mAP across cameras", "recall, half of the body visible", "purity", "mean error of the start"):
        assert re.search(rf"^  {title} .*± ", text, re.MULTILINE), title
    assert "P(match) is not measured" in text


@pytest.mark.slow
def test_the_page_needs_nothing_else(report: BenchReport) -> None:
    html = page(report)
    assert "<script" not in html
    assert re.findall(r"(?:src|href)=\"(?!data:image/jpeg;base64,)", html) == []
    assert "url(" not in html
    for title in ("Missed people", "Impure tracklets", "Worst queries", "Largest errors of time"):
        assert f"<h2>{title}</h2>" in html
    assert html.count("<article>") >= 2


@pytest.mark.slow
def test_the_command(world: World, tmp_path: Path) -> None:
    asked = ["--json", "--report", tmp_path / "page"]
    command = ["bench", "footage", "--world", world.footage, "--out", tmp_path / "bench", *asked]
    done = subprocess.run(
        [sys.executable, "-m", "reidapp", *map(str, command)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["worlds"][0]["retrieval"]["queries"] == 8
    assert facts["settings"]["detector"] == "hog"
    assert (tmp_path / "page/index.html").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--world", "nowhere"], "nowhere: no truth.csv in it"),
        (["--world", "nowhere", "--seeds", "1", "2"], "--world and --seeds exclude each other"),
        (["3"], "worlds are named by --seeds 3"),
        (["--seeds", "1", "two"], "Invalid value for '--seeds'"),
        (["--detector", "hogg"], 'unknown detector "hogg"'),
        (["--model", "smal"], 'did you mean "small"'),
        (["--sampling", "often"], 'unknown sampling "often"'),
        (["--people", "90", "--seconds", "20"], "90 people need at least 112.5 to pass 4 cameras, 2 groups at a time"),
        (["--out", "README.md"], "README.md: not a folder"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    options: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    refused_here: Callable[..., str],
) -> None:
    monkeypatch.chdir(ROOT)
    out = [] if "--out" in options else ["--out", tmp_path / "bench"]
    assert says in refused_here(2, "bench", "footage", *options, *out)


def test_two_runs_in_one_folder_do_not_undo_each_other(tmp_path: Path) -> None:
    with locked(tmp_path / ".lock"), pytest.raises(ReidappError, match="another `reidapp bench` works here"):
        run(tmp_path, Steps())
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_several_videos_of_a_camera_would_be_mixed_up(tmp_path: Path) -> None:
    rows = [f"gate,gate/{name}.mp4,2026-03-02T1{hour}:00:00Z,0.1,7,0,0,1,1,1" for hour, name in enumerate("ab")]
    header = "camera,video,time_utc,pts_s,person,x1,y1,x2,y2,visible"
    (tmp_path / "truth.csv").write_text("\n".join([header, *rows]))
    with pytest.raises(UserError, match="2 videos of camera gate; a world has one of each"):
        run_bench(tmp_path / "out", world=tmp_path, bars=Steps())
    assert not (tmp_path / "out").exists()


def test_worlds_share_nothing_with_what_models_learn_from(tmp_path: Path) -> None:
    """Two walls: seeds of their own, and namespaces of their own in every seed."""
    seeds = [bench_seed(world) for world in range(3)]
    assert min(seeds) == FIRST_BENCH_SEED
    with pytest.raises(UserError, match="kept for `reidapp bench`"):
        write_people(tmp_path / "people", identities=2, seed=seeds[0], workers=1)
    assert not (tmp_path / "people").exists()
    learning = {entropy(seed, name, i) for seed in range(5) for name in NAMESPACES for i in range(20)}
    measuring = {entropy(seed, name, i) for seed in seeds for name in NAMESPACES for i in range(20)}
    assert not learning & measuring
    trained_on = {identity_appearance(seed, "train", i).seed for seed in (0, 1) for i in range(50)}
    assert not trained_on & {who.seed for seed in seeds for who in footage_appearances(seed, 24)}


def test_footage_of_a_world_cannot_be_made_to_train_on(tmp_path: Path, refused_here: Callable[..., str]) -> None:
    line = refused_here(2, "synth", "footage", tmp_path / "f", "--seed", bench_seed(0))
    assert "kept for `reidapp bench`" in line
    assert not (tmp_path / "f").exists()
