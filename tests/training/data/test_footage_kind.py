"""``footage:DIR``: generated footage as data to train on."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from reidapp.errors import UserError
from reidapp.imaging import read_image
from training.data.datasets import load_dataset
from training.data.datasets.footage import Footage
from training.data.synthetic.footage import COLUMNS, write_footage
from training.data.synthetic.seeds import SEED_FILE, bench_seed

START = datetime(2026, 3, 2, 10, tzinfo=UTC)
FPS, SECONDS = 6, 2
COLOURS = {3: (220, 30, 30), 8: (30, 200, 30)}


def film(folder: Path, cameras: tuple[str, ...] = ("gate", "hall"), hidden: int | None = None) -> Path:
    """Two people in one colour each, who stand still before every camera, and the truth of them."""
    rows = [",".join(COLUMNS)]
    for camera in cameras:
        (folder / camera).mkdir(parents=True)
        with av.open(str(folder / camera / "a.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=FPS)
            stream.width, stream.height, stream.pix_fmt, stream.time_base = 160, 96, "yuv420p", Fraction(1, FPS)
            for number in range(FPS * SECONDS):
                image = np.full((96, 160, 3), 90, np.uint8)
                for place, (person, colour) in enumerate(COLOURS.items()):
                    x = 24 + 72 * place
                    image[16:80, x : x + 24] = colour
                    time = (START + timedelta(seconds=number / FPS)).isoformat(timespec="milliseconds")
                    box = [x / 160, 16 / 96, (x + 24) / 160, 80 / 96]
                    numbers = [f"{v:.5f}" for v in (*box, *box)]
                    visible = "0.4" if person == hidden else "1.0"
                    rows.append(
                        ",".join(
                            [camera, f"{camera}/a.mp4", time, f"{number / FPS:.3f}", str(person), *numbers, visible]
                        )
                    )
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, FPS)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    (folder / "truth.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("footage"))


def test_everybody_three_times_a_second_with_camera_and_time(filmed: Path) -> None:
    dataset = load_dataset(f"footage:{filmed}")
    assert not dataset.query
    assert not dataset.gallery
    assert sorted({(r.pid, r.camid) for r in dataset.train}) == [(3, 1), (3, 2), (8, 1), (8, 2)]
    times = sorted({r.time_s for r in dataset.train if r.time_s is not None})
    expected = START.timestamp() + np.arange(3 * SECONDS) / 3
    np.testing.assert_allclose(times, expected, atol=1e-3)
    assert len(dataset.train) == 4 * len(times)


def test_a_crop_shows_its_person_as_a_detector_would_cut_him_out(filmed: Path) -> None:
    sizes = set()
    for record in load_dataset(f"footage:{filmed}").train:
        crop = read_image(record.path)
        height, width = crop.shape[:2]
        sizes.add((height, width))
        middle = crop[height // 4 : 3 * height // 4, 2 * width // 5 : 3 * width // 5].mean((0, 1))
        assert np.abs(middle - COLOURS[record.pid]).max() < 40
        assert 56 <= height <= 74
        assert 17 <= width <= 40
    assert len(sizes) > 5


def test_crops_are_cut_out_once_and_alike(filmed: Path, tmp_path: Path) -> None:
    first = {r.path.name: (r.path.read_bytes(), r.path.stat().st_mtime_ns) for r in Footage(filmed).train}
    again = {r.path.name: (r.path.read_bytes(), r.path.stat().st_mtime_ns) for r in Footage(filmed).train}
    assert again == first
    other = {r.path.name: r.path.read_bytes() for r in Footage(film(tmp_path)).train}
    assert other == {name: data for name, (data, _) in first.items()}


def test_an_interruption_leaves_nothing_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film(tmp_path)
    calls = []

    def encode(crop: np.ndarray) -> bytes:
        calls.append(crop)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return b"RIFF"

    monkeypatch.setattr("training.data.datasets.footage.encode_crop", encode)
    with pytest.raises(KeyboardInterrupt):
        Footage(tmp_path)
    monkeypatch.undo()
    assert {path.name for path in tmp_path.iterdir()} == {"gate", "hall", "truth.csv", ".crops.lock"}
    assert len(Footage(tmp_path).train) == 24


def test_who_is_hidden_by_more_than_half_is_left_out(tmp_path: Path) -> None:
    assert {r.pid for r in Footage(film(tmp_path, ("gate",), hidden=8)).train} == {3}


def test_a_strange_image_among_the_crops_is_named(tmp_path: Path) -> None:
    (tmp_path / "crops").mkdir()
    for name in ("0003_c1_1000.webp", "holiday.jpg"):
        (tmp_path / "crops" / name).write_bytes(b"")
    dataset = Footage(tmp_path)
    assert [(r.pid, r.camid, r.time_s) for r in dataset.train] == [(3, 1, 1.0)]
    assert [path.name for path, _ in dataset.skipped] == ["holiday.jpg"]


def test_no_footage(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no truth\.csv in it; `reidapp synth footage` makes footage with its truth"):
        load_dataset(f"footage:{tmp_path}")
    assert not list(tmp_path.iterdir())
    (film(tmp_path) / "hall" / "a.mp4").unlink()
    with pytest.raises(UserError, match=r"a\.mp4: not a video that can be read"):
        load_dataset(f"footage:{tmp_path}")


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (film(tmp_path) / ".crops.lock").mkdir()  # a folder without the right to write stops only those without all rights
    with pytest.raises(UserError, match="crops cannot be written there"):
        load_dataset(f"footage:{tmp_path}")


def test_worlds_of_the_bench_are_not_trained_on(tmp_path: Path) -> None:
    """Nor are crops that an earlier version has cut out of one."""
    film(tmp_path)
    Footage(tmp_path)
    for seed, refused in ((5, False), (bench_seed(0), True)):
        (tmp_path / SEED_FILE).write_text(f"{seed}\n")
        if refused:
            with pytest.raises(UserError, match="a world of `reidapp bench`, and no model may learn"):
                load_dataset(f"footage:{tmp_path}")
        else:
            assert load_dataset(f"footage:{tmp_path}").train


def test_generated_footage_says_its_seed(tmp_path: Path) -> None:
    write_footage(tmp_path / "f", cameras=1, people=1, seconds=10, size=(64, 64), fps=1, seed=bench_seed(3), workers=1)
    with pytest.raises(UserError, match="a world of `reidapp bench`"):
        load_dataset(f"footage:{tmp_path / 'f'}")


@pytest.mark.slow
def test_it_loads_no_torch() -> None:
    code = "import sys, training.data.datasets.footage; print({'torch', 'faiss', 'onnxruntime'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
