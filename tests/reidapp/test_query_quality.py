"""Warnings of poor query pictures: none of good ones, the right one of each kind of bad."""

import cv2
import numpy as np
import pytest

from reidapp.box import Box
from reidapp.query_quality import quality_warnings

INSIDE = Box(0.4, 0.2, 0.5, 0.6)


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    from reidapp.imaging import read_image
    from training.data.synthetic.people import write_people

    folder = tmp_path_factory.mktemp("people")
    write_people(folder, identities=8, cameras=3, images_per_identity=4, seed=2, test_share=0.0, workers=1)
    return [read_image(file) for file in sorted(folder.rglob("*.jpg"))]


def kinds(crop: np.ndarray, box: Box | None = None) -> set[str]:
    return {warning.kind for warning in quality_warnings(crop, box)}


def test_good_pictures_are_not_complained_of(crops: list[np.ndarray]) -> None:
    assert len(crops) > 20
    assert sum(bool(kinds(crop)) for crop in crops) == 0


def test_bad_pictures_are(crops: list[np.ndarray]) -> None:
    def share(kind: str, change: object) -> float:
        return float(np.mean([kinds(change(crop)) == {kind} for crop in crops]))  # type: ignore[operator]

    assert share("small", lambda crop: cv2.resize(crop, (24, 48), interpolation=cv2.INTER_AREA)) == 1
    assert share("blurred", lambda crop: cv2.GaussianBlur(crop, (0, 0), 3)) > 0.9
    assert share("cut", lambda crop: cv2.resize(crop[: len(crop) // 2], (128, 128))) > 0.9
    assert share("grey", lambda crop: np.repeat(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)) == 1


@pytest.mark.parametrize(
    ("box", "words"),
    [
        (INSIDE, None),
        (INSIDE._replace(x1=0.0), "frame's left"),
        (INSIDE._replace(y2=1.0), "frame's bottom"),
        (Box(0.0, 0.0, 0.2, 0.9), "left and top"),
    ],
)
def test_a_person_at_the_frames_edge_is_cut(crops: list[np.ndarray], box: Box, words: str | None) -> None:
    found = quality_warnings(crops[0], box)
    assert [warning.kind for warning in found] == (["cut"] if words else [])
    assert words is None or words in found[0].text


def test_nobody_in_a_picture_is_one_warning() -> None:
    wide = np.random.default_rng(0).integers(0, 256, (270, 480, 3), dtype=np.uint8)
    assert [warning.kind for warning in quality_warnings(wide, nobody=True)] == ["nobody"]
