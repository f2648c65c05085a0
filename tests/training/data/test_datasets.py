import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from reidapp.errors import UserError
from training.data.datasets import NO_CAMERA, load_dataset, load_datasets


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


def test_folder_of_another_layout(tmp_path: Path) -> None:
    touch(tmp_path, "bounding_box_train/0001_c1s1_000001_01.jpg", "query/0002_c1s1_000001_01.jpg")
    with pytest.raises(UserError, match=rf"layout of Market-1501; write market1501:{tmp_path}$"):
        load_dataset(f"folder:{tmp_path}")


MSMT17_LISTS = {
    "train": "0000/0000_000_01_0303morning_0008_0.jpg 0\n0001/0001_003_14_0302noon_0100_1.jpg 1\n",
    "val": "0001/0001_004_02_0302noon_0101_1.jpg 1\n\nnonsense\n",
    "query": "0000/0000_000_01_0303morning_0016_0.jpg 0\n",
    "gallery": "0000/0000_001_09_0303morning_0017_0.jpg 0\n",
}


@pytest.mark.parametrize(
    ("made", "read"), [(("train", "test"), "train"), (("mask_train_v2", "mask_test_v2"), "mask_train_v2")]
)
def test_msmt17(tmp_path: Path, made: tuple[str, str], read: str) -> None:
    for name in made:
        (tmp_path / name).mkdir()
    for name, text in MSMT17_LISTS.items():
        (tmp_path / f"list_{name}.txt").write_text(text)
    data = load_dataset(f"msmt17:{tmp_path}")
    assert [(r.pid, r.camid) for r in data.train] == [(0, 1), (1, 14), (1, 2)]  # train and val
    assert [(r.pid, r.camid) for r in data.query + data.gallery] == [(0, 1), (0, 9)]
    assert data.train[0].path == tmp_path / read / "0000/0000_000_01_0303morning_0008_0.jpg"
    assert data.query[0].path.parts[-3] == made[1]
    assert [why.split('"')[1] for _, why in data.skipped] == ["nonsense"]


def cuhk03_split(folder: Path, kind: str, camera_from: int = 0) -> None:
    """As extracted on another machine, whose folder the split still names."""
    names = {"train": "1_001_1_01.png", "query": "2_007_1_02.png", "gallery": "2_007_2_06.png"}
    touch(folder / f"images_{kind}", *names.values())
    split = {
        part: [[f"/elsewhere/cuhk03/images_{kind}/{name}", pid, int(name[6]) - 1 + camera_from]]
        for pid, (part, name) in enumerate(names.items())
    }
    (folder / f"splits_new_{kind}.json").write_text(json.dumps([split | {"num_train_pids": 1}]))


@pytest.mark.parametrize("camera_from", [0, 1])
def test_cuhk03_with_a_split(tmp_path: Path, camera_from: int) -> None:
    cuhk03_split(tmp_path, "detected", camera_from)
    data = load_dataset(f"cuhk03:{tmp_path}")
    assert [(r.pid, r.camid) for r in data.train + data.query + data.gallery] == [(0, 1), (1, 1), (2, 2)]
    assert all(r.path.is_file() for r in data.train + data.query + data.gallery)


def test_cuhk03_asks_which_boxes(tmp_path: Path) -> None:
    cuhk03_split(tmp_path, "detected")
    cuhk03_split(tmp_path, "labeled")
    with pytest.raises(UserError, match=r"name one, for example cuhk03:.*images_labeled"):
        load_dataset(f"cuhk03:{tmp_path}")
    data = load_dataset(f"cuhk03:{tmp_path}/images_detected")
    assert data.train[0].path.parent.name == "images_detected"


def test_cuhk03_np(tmp_path: Path) -> None:
    touch(tmp_path / "detected/bounding_box_train", "0003_c1_21.png", "0003_c2_22.png")
    touch(tmp_path / "detected/query", "0001_c1s1_01_00.png")
    for folder in (tmp_path, tmp_path / "detected"):
        data = load_dataset(f"cuhk03:{folder}")
        assert [(r.pid, r.camid) for r in data.train + data.query] == [(3, 1), (3, 2), (1, 1)]


def test_cuhk03_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither images_labeled"):
        load_dataset(f"cuhk03:{tmp_path}")
    touch(tmp_path, "cuhk03_release/cuhk-03.mat")
    with pytest.raises(UserError, match=r"only the original cuhk-03.mat is there; extract it first"):
        load_dataset(f"cuhk03:{tmp_path}")
    touch(tmp_path, "images_detected/1_001_1_01.png")
    with pytest.raises(UserError, match=r"no splits_new_labeled.json or splits_new_detected.json"):
        load_dataset(f"cuhk03:{tmp_path}")
    (tmp_path / "splits_new_detected.json").write_text('[{"train": [["a.png", 1]]}]')
    with pytest.raises(UserError, match=r"splits_new_detected.json: not a split"):
        load_dataset(f"cuhk03:{tmp_path}")


def manifest(folder: Path, text: str) -> str:
    file = folder / "crops.csv"
    file.write_text(text, encoding="utf-8")
    return f"manifest:{file}"


def test_manifest(tmp_path: Path) -> None:
    rows = ["a/1.jpg,70,3,train,x", "b/1.jpg,-1,,,", "a/1.jpg,70,3,train,again", "a/2.jpg,9,4,query,"]
    data = load_dataset(manifest(tmp_path, "\ufeffpath, pid,camera,split,note\n" + "\n".join(rows)))
    assert [(r.path, r.pid, r.camid) for r in data.train] == [
        (tmp_path / "a/1.jpg", 70, 3),
        (tmp_path / "b/1.jpg", -1, NO_CAMERA),
    ]
    assert [(r.pid, r.camid) for r in data.query] == [(9, 4)]
    assert data.gallery == []
    assert data.skipped == [(tmp_path / "a/1.jpg", "listed again in row 3")]


def test_manifest_of_names(tmp_path: Path) -> None:
    data = load_dataset(
        manifest(tmp_path, "path,pid,camera\n1.jpg,zoe,lobby\n2.jpg,12,\n3.jpg,-1,door\n4.jpg,,lobby\n")
    )
    assert [(r.pid, r.camid) for r in data.train] == [(2, 2), (1, NO_CAMERA), (-1, 1), (-1, 2)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'no column "path" in it'),
        ("file,pid\n1.jpg,1\n", 'no column "path" in file, pid; path, pid, camera, split are read'),
        ("path,pid\n1.jpg,1\n,2\n", "row 2 has no path"),
        ("path,pid,split\n1.jpg,1,galery\n", 'row 1: unknown split "galery"; did you mean "gallery"'),
        ("path,pid\n", "no usable image"),
    ],
)
def test_bad_manifests(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_dataset(manifest(tmp_path, text))


def test_manifest_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "crops.csv").write_bytes(b"path,pid\n\xff\xfe.jpg,1\n")
    with pytest.raises(UserError, match="not a CSV file in UTF-8"):
        load_dataset(f"manifest:{tmp_path / 'crops.csv'}")
    with pytest.raises(UserError, match="no such file"):
        load_dataset(f"manifest:{tmp_path}")


def test_parquet_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for pyarrow, which is optional."""
    file = tmp_path / "crops.parquet"
    file.touch()
    rows = [{"path": "1.jpg", "pid": 7, "camera": 2.0}, {"path": "2.jpg", "pid": 8, "camera": float("nan")}]
    table = SimpleNamespace(column_names=list(rows[0]), to_pylist=lambda: rows)
    pyarrow = SimpleNamespace(ArrowInvalid=ValueError, parquet=SimpleNamespace(read_table=lambda path: table))
    monkeypatch.setitem(sys.modules, "pyarrow", pyarrow)
    data = load_dataset(f"manifest:{file}")
    assert [(r.path, r.pid, r.camid) for r in data.train] == [(tmp_path / "1.jpg", 7, 2), (tmp_path / "2.jpg", 8, -1)]

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"needs pyarrow: pip install '\.\[parquet\]' in .*, or save it as CSV"):
        load_dataset(f"manifest:{file}")


def test_unlabelled(tmp_path: Path) -> None:
    touch(tmp_path, "0.jpg", "cam2/day/1.jpg", "Camera 3/1.jpg", "c4/x_c5s1.jpg", "carol/1.jpg", "carol/notes.txt")
    data = load_dataset(f"unlabelled:{tmp_path}")
    assert {r.pid for r in data.train} == {-1}
    cameras = {str(r.path.relative_to(tmp_path)): r.camid for r in data.train}
    assert cameras == {"0.jpg": -1, "Camera 3/1.jpg": 3, "c4/x_c5s1.jpg": 5, "cam2/day/1.jpg": 2, "carol/1.jpg": -1}
    assert not data.query
    assert not data.gallery


def test_several_data_sets(tmp_path: Path) -> None:
    touch(tmp_path / "a", "x/c1_1.jpg", "y/c2_1.jpg")
    touch(tmp_path / "b/bounding_box_train", "0001_c1s1_1_00.jpg", "0009_c2s1_1_00.jpg")
    touch(tmp_path / "c", "1.jpg")
    specs = [f"folder:{tmp_path}/a", f"market1501:{tmp_path}/b", f"unlabelled:{tmp_path}/c"]
    data = load_datasets(specs)
    assert [r.domain for r in data.train] == [0, 0, 1, 1, 2]
    assert [r.pid for r in data.train] == [0, 1, 2, 3, -1]
    assert [r.camid for r in data.train] == [0, 1, 2, 3, NO_CAMERA]
    assert all(spec in data.spec for spec in specs)
    alone, single = load_datasets(specs[1:2]), load_dataset(specs[1])
    assert (alone.train, alone.spec) == (single.train, single.spec)
    with pytest.raises(UserError, match="none given"):
        load_datasets([])
    with_source = load_datasets(specs[2:], specs[:1])
    assert [(r.pid, r.source) for r in with_source.train] == [(-1, False), (0, True), (1, True)]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("market1501", "write KIND:DIR.*kinds: cuhk03, folder, footage, gallery, manifest, market1501"),
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
