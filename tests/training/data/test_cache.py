from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from reidapp.errors import UserError
from reidapp.imaging import read_image, resize
from training.data.cache import decode
from training.data.datasets import Record


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    rng = np.random.default_rng(0)
    for number in range(5):
        Image.fromarray(rng.integers(0, 256, (30 + number, 20, 3), dtype=np.uint8)).save(tmp_path / f"{number}.png")
    return [Record(tmp_path / f"{number}.png", number) for number in range(5)]


@pytest.mark.parametrize("on_disk", [False, True])
def test_crops_are_resized_as_in_serving(records: list[Record], tmp_path: Path, on_disk: bool) -> None:
    before = sorted(tmp_path.iterdir())
    crops = decode(records, 16, 8, tmp_path if on_disk else None)
    assert crops.images.shape == (5, 16, 8, 3)
    for image, record in zip(crops.images, crops.records, strict=True):
        np.testing.assert_array_equal(image, resize(read_image(record.path), 16, 8))
    assert sorted(tmp_path.iterdir()) == before  # no copy of the pictures is left behind


@pytest.mark.parametrize("on_disk", [False, True])
def test_unreadable_images_are_named_and_left_out(records: list[Record], tmp_path: Path, on_disk: bool) -> None:
    records[1].path.write_text("no image")
    records[3].path.unlink()
    seen: list[int] = []
    crops = decode(records, 16, 8, tmp_path if on_disk else None, seen.append)
    assert [r.pid for r in crops.records] == [0, 2, 4]
    assert crops.images.shape[0] == 3
    for image, record in zip(crops.images, crops.records, strict=True):
        np.testing.assert_array_equal(image, resize(read_image(record.path), 16, 8))
    assert [path.name for path, _ in crops.skipped] == ["1.png", "3.png"]
    assert "not an image" in crops.skipped[0][1]
    assert sum(seen) == 5


def test_a_full_disk_is_noticed_before(records: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=1919))
    with pytest.raises(UserError, match=r"decoded images need "):
        decode(records, 16, 8, tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=1920))
    assert len(decode(records, 16, 8, tmp_path).records) == 5
