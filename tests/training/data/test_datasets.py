from pathlib import Path

import pytest

from reidapp.errors import UserError
from training.data.datasets import NO_CAMERA, load_dataset


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")  # scanning opens no file


def test_market1501(tmp_path: Path) -> None:
    touch(tmp_path / "bounding_box_train", "0002_c1s1_000451_03.jpg", "0007_c3s3_077419_03.jpg", "Thumbs.db")
    touch(tmp_path / "query", "0001_c1s1_001051_00.jpg")
    touch(tmp_path / "bounding_box_test", "-1_c1s1_000401_03.jpg", "0000_c1s1_000151_01.jpg", "0001_c12s1_1_00.jpg")
    touch(tmp_path / "bounding_box_test", "holiday.jpg")
    data = load_dataset(f"market1501:{tmp_path}")
    assert [(r.pid, r.camid) for r in data.train] == [(2, 1), (7, 3)]
    assert [(r.pid, r.camid) for r in data.gallery] == [(0, 1), (1, 12)]  # −1 is dropped, 0 stays
    assert len(data.query) == 1
    assert [path.name for path, _ in data.skipped] == ["holiday.jpg"]
    assert "2 training images of 2 people, 1 queries, 2 gallery images" in str(data)


def test_market_500_251_by_names_only(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{pid:04d}_c{c}s1_{i:06d}_00.jpg" for pid in range(1, 521) for c in (1, 2) for i in (5, 6)))
    data = load_dataset(f"market_500_251:{tmp_path}")
    assert (len(data.train), len(data.gallery), len(data.query)) == (2000, 80, 40)
    assert {r.pid for r in data.train} == set(range(1, 501))
    assert data.query[0].path.name == "0501_c1s1_000005_00.jpg"
    settings = load_dataset(f"market_400_100:{tmp_path}")
    assert {r.pid for r in settings.train} == set(range(1, 401))
    assert {r.pid for r in settings.gallery} == set(range(401, 501))


def test_folder_with_cameras(tmp_path: Path) -> None:
    touch(tmp_path, "anna/c1_1.jpg", "anna/c1_2.jpg", "anna/x_c2s1.jpg", "bo/c1_1.jpg", "readme.txt")
    data = load_dataset(f"folder:{tmp_path}")
    assert [(r.pid, r.camid) for r in data.train] == [(0, 1), (0, 1), (0, 2), (1, 1)]
    assert [r.path.name for r in data.query] == ["c1_1.jpg", "x_c2s1.jpg", "c1_1.jpg"]
    assert data.gallery == data.train


def test_folder_without_cameras(tmp_path: Path) -> None:
    touch(tmp_path, "anna/1.jpg", "anna/2.jpg", "bo/1.jpg", "bo/2.jpg", "bo/3.jpg", "cy/1.jpg")
    data = load_dataset(f"folder:{tmp_path}")
    assert {r.camid for r in data.train} == {NO_CAMERA}
    assert [(r.path.parent.name, r.path.name) for r in data.query] == [("anna", "1.jpg"), ("bo", "1.jpg")]
    assert not set(data.query) & set(data.gallery)
    assert len(data.query) + len(data.gallery) == len(data.train)


def test_folder_with_parts(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/c1_1.jpg", "query/b/c1_1.jpg", "gallery/b/c2_1.jpg", "gallery/c/c2_1.jpg")
    data = load_dataset(f"folder:{tmp_path}")
    assert [r.pid for r in data.train + data.query + data.gallery] == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("market1501", "write KIND:DIR.*kinds: folder, market1501"),
        ("market150:{0}", 'unknown name "market150"; did you mean "market1501"'),
        ("folder:{0}/nowhere", "no such folder"),
        ("market1501:{0}", "no usable image"),
        ("market_500_251:{0}", r"no usable image in it \(1 left out; the first: a.jpg: not named like"),
    ],
)
def test_bad_specs(tmp_path: Path, spec: str, message: str) -> None:
    touch(tmp_path, "a.jpg")
    with pytest.raises(UserError, match=message):
        load_dataset(spec.format(tmp_path))
