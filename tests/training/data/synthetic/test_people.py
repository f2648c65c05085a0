import hashlib
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from reidapp.errors import UserError
from tests.training.data.synthetic.wearing import outfit
from training.data.synthetic import render_people, write_people
from training.data.synthetic.appearance import BAG_KINDS, UPPER_PATTERNS
from training.data.synthetic.people import identity_appearance

NAME = re.compile(r"(\d{4})_c(\d)s(\d)_(\d{6})_(\d{2})\.jpg")


def digest(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.jpg"))
    }


@pytest.mark.slow
def test_same_seed_same_bytes_whatever_the_workers(tmp_path: Path) -> None:
    for name, workers, seed in (("one", 1, 3), ("two", 2, 3), ("other", 1, 4)):
        write_people(tmp_path / name, identities=3, images_per_identity=4, seed=seed, workers=workers)
    one, two, other = (digest(tmp_path / name) for name in ("one", "two", "other"))
    assert len(one) == 12
    assert one == two
    assert not set(one.values()) & set(other.values())


@pytest.mark.slow
def test_layout_names_and_counts(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    summary = write_people(
        tmp_path,
        identities=5,
        cameras=4,
        images_per_identity=6,
        test_share=0.4,
        workers=1,
        progress=lambda *a: told.append(a),
    )
    assert told == [(k, 5) for k in range(1, 6)]
    files = {name: sorted((tmp_path / name).iterdir()) for name in ("bounding_box_train", "query", "bounding_box_test")}
    assert [len(found) for found in files.values()] == [
        summary.train_images,
        summary.query_images,
        summary.gallery_images,
    ]
    assert summary.images == 30
    parts = {name: [NAME.fullmatch(path.name).groups() for path in found] for name, found in files.items()}  # type: ignore[union-attr]
    assert {p[0] for p in parts["bounding_box_train"]} == {"0001", "0002", "0003"}
    assert {p[0] for p in parts["query"]} == {p[0] for p in parts["bounding_box_test"]} == {"0004", "0005"}
    asked = [p[:2] for p in parts["query"]]
    assert len(asked) == len(set(asked))
    assert {int(p[1]) for found in parts.values() for p in found} <= {1, 2, 3, 4}
    for path in files["query"]:
        assert cv2.imread(str(path)).shape == (128, 64, 3)


@pytest.mark.slow
def test_everybody_is_seen_by_two_cameras() -> None:
    seen: dict[int, set[int]] = {}
    for crop in render_people(identities=4, images_per_identity=6, seed=2):
        seen.setdefault(crop.pid, set()).add(crop.camera)
    assert min(len(cameras) for cameras in seen.values()) >= 2


def test_every_eighth_person_is_dressed_like_the_one_before() -> None:
    people = [identity_appearance(1, "train", index) for index in range(24)]
    assert [k for k in range(1, 24) if outfit(people[k]) == outfit(people[k - 1])] == [7, 15, 23]


@pytest.mark.slow
def test_everything_that_can_be_worn_or_carried_is() -> None:
    people = [identity_appearance(0, "train", index) for index in range(1500)]
    assert {p.bag for p in people} == set(BAG_KINDS)
    assert {p.hat for p in people} == {"none", "cap", "beanie", "brim", "hood"}
    assert {p.build.age for p in people} == {"child", "adult", "old"}
    assert all(p.upper.collar == "hood" for p in people if p.hat == "hood")
    assert {p.upper.cloth.pattern for p in people} >= set(UPPER_PATTERNS)


@pytest.mark.slow
def test_other_sizes() -> None:
    crop = next(render_people(identities=1, images_per_identity=1, size=(256, 128)))
    assert cv2.imdecode(np.frombuffer(crop.jpeg, np.uint8), cv2.IMREAD_COLOR).shape == (256, 128, 3)


@pytest.mark.slow
def test_crops_have_the_statistics_of_surveillance() -> None:
    images = [
        cv2.imdecode(np.frombuffer(crop.jpeg, np.uint8), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
        for crop in render_people(identities=12, images_per_identity=6, seed=11)
    ]
    detail = np.mean([np.abs(cv2.Laplacian(image, cv2.CV_32F)).mean() for image in images])
    assert 0.05 < detail < 0.11
    assert 0.05 < np.std([image.mean() for image in images]) < 0.13


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"identities": 0}, "identities"),
        ({"identities": 2, "test_share": 1.5}, "test_share"),
        ({"identities": 2, "split": "validation"}, "validation"),
        ({"identities": 2, "size": (8, 4)}, "8x4"),
        ({"identities": 2, "seed": -1}, "seed"),
    ],
)
def test_bad_options_are_named_and_nothing_is_written(tmp_path: Path, options: dict, told: str) -> None:
    with pytest.raises(UserError, match=told):
        write_people(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    with pytest.raises(UserError, match="not an empty folder"):
        write_people(tmp_path, identities=1)
