import shutil
from pathlib import Path

import numpy as np
import pytest

from reidapp.errors import UserError
from reidapp.imaging import read_image
from training import labelled_crops
from training.labelled_crops import LabelledCrops


def test_crops_are_of_the_people_to_train_on_spread_evenly(crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelled_crops, "_CROPS", 16)
    files = sorted((crops / "bounding_box_train").iterdir())
    expected = [read_image(path) for path in files[::3]]
    taken = LabelledCrops(f"market1501:{crops}").crops()
    assert len(files) == 48
    assert len(taken) == 16
    assert all(map(np.array_equal, taken, expected))


def test_crops_of_the_gallery_where_nobody_is_trained_on(crops: Path, tmp_path: Path) -> None:
    for part in ("query", "bounding_box_test"):
        (tmp_path / part).symlink_to(crops / part)
    taken = LabelledCrops(f"market1501:{tmp_path}").crops()
    assert all(map(np.array_equal, taken, map(read_image, sorted((crops / "bounding_box_test").iterdir()))))


def test_unreadable_crops_are_left_out(crops: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bounding_box_train"
    shutil.copytree(crops / "bounding_box_train", folder)
    first, *others = sorted(folder.iterdir())
    first.write_text("no image")
    taken = LabelledCrops(f"market1501:{tmp_path}").crops()
    assert all(map(np.array_equal, taken, map(read_image, others)))
    assert len(taken) == 47
    for path in others:
        path.write_text("no image")
    with pytest.raises(UserError, match=r"none of 48 images can be read \(the first: .*0001_c1s1_000000_01.jpg: not"):
        LabelledCrops(f"market1501:{tmp_path}").crops()


def test_bad_data_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no usable image"):
        LabelledCrops(f"market1501:{tmp_path}")
