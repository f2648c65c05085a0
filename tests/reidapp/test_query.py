import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.orm import Session

from reidapp.box import Box
from reidapp.errors import UserError
from reidapp.footage.detection import Detection
from reidapp.gallery import schema
from reidapp.imaging import cut
from reidapp.query import QueryImage, embed_query, read_query
from reidapp.settings import CameraSettings
from tests.small_gallery import ColourEmbedder, ShirtDetector, Walk, frame_at, make_gallery, query_crop

RED, BLUE = Walk("red", 0, 1, 0.7, 0.7), Walk("blue", 0, 1, 0.2, 0.2)


class Blind:
    provider = "none"

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Detection]]:
        return [[] for _ in frames]


def read(image: np.ndarray) -> QueryImage:
    return read_query(image, ShirtDetector())


def test_crop_is_taken_whole() -> None:
    image = query_crop("red")
    query = read(image)
    assert (query.is_crop, query.people) == (True, [])
    assert query.crop() is image
    assert not query.nobody


def test_crop_of_somebody_whom_the_detector_does_not_know() -> None:
    image = query_crop("red")
    assert read_query(image, Blind()).is_crop
    assert read_query(image, Blind()).crop() is image


class SeesPeopleEverywhere:
    provider = "none"

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Detection]]:
        return [[Detection(Box(0.2, 0.5, 0.8, 0.9), 0.9), Detection(Box(0.1, 0.1, 0.5, 0.6), 0.8)] for _ in frames]


@pytest.mark.parametrize(("height", "width"), [(148, 60), (384, 190), (380, 260), (1200, 600)])
def test_no_detector_cuts_a_crop_again(height: int, width: int) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    assert read_query(image, SeesPeopleEverywhere()).crop() is image


def test_crop_has_no_numbers() -> None:
    with pytest.raises(UserError, match="a crop of one person already; leave the number out"):
        read(query_crop("red")).crop(1)


def test_one_person_in_a_frame() -> None:
    image = frame_at([RED], 0.5)
    query = read(image)
    assert not query.is_crop
    (person,) = query.people
    assert person.box.iou(RED.box(0.5)) > 0.8
    np.testing.assert_array_equal(query.crop(), cut(image, person.box))
    np.testing.assert_array_equal(query.crop(1), query.crop())


def test_upright_picture_with_a_small_person_is_no_crop() -> None:
    image = np.vstack([np.full((400, 380, 3), 150, np.uint8), frame_at([RED], 0.5)[:, 100:]])
    query = read(image)
    assert not query.is_crop
    assert len(query.people) == 1
    assert query.crop().shape[0] < 250


def test_upright_picture_of_two_is_no_crop() -> None:
    small = frame_at([Walk("red", 0, 1, 0.44, 0.44), Walk("blue", 0, 1, 0.58, 0.58)], 0.5)[:, 160:340]
    query = read(small.repeat(2, axis=0).repeat(2, axis=1))
    assert not query.is_crop
    assert len(query.people) == 2


def test_wide_picture_of_one_who_fills_it_is_no_crop() -> None:
    image = frame_at([RED], 0.5)[66:246, 240:440]
    query = read(image)
    assert not query.is_crop
    assert query.crop().shape[1] < 80


def test_nobody_in_a_frame() -> None:
    image = frame_at([], 0.5)
    query = read(image)
    assert (query.is_crop, query.people) == (False, [])
    assert query.crop() is image
    assert query.nobody
    with pytest.raises(UserError, match=r"person 1: there are 0 people in the picture \(none\)"):
        query.crop(1)


def test_people_are_numbered_from_the_left() -> None:
    image = frame_at([RED, BLUE], 0.5)
    query = read(image)
    assert len(query.people) == 2
    blue, red = query.crop(1), query.crop(2)
    assert blue[len(blue) // 3].mean(0).argmax() == 2
    assert red[len(red) // 3].mean(0).argmax() == 0


def test_several_people_must_be_chosen_from() -> None:
    query = read(frame_at([RED, BLUE], 0.5))
    with pytest.raises(UserError) as error:
        query.crop()
    assert str(error.value).startswith("2 people in the picture; say which --person by its number (1: x 7")
    assert "; 2: x 31" in str(error.value)
    for number in (0, -1, 3):
        with pytest.raises(UserError, match=f"person {number}: there are 2 people"):
            query.crop(number)


def test_listing_is_in_pixels() -> None:
    people = [Detection(Box(0.0, 0.5, 0.1, 1.0), 0.9)]
    assert QueryImage(np.zeros((200, 100, 3), np.uint8), people, False).listing() == "1: x 0–10, y 100–200"


class Listening(ColourEmbedder):
    """Remembers of which cameras and sizes it was given crops."""

    def __init__(self) -> None:
        self.heard: list[tuple[str | None, tuple[int, ...]]] = []

    def embed(self, crops: Sequence[np.ndarray], camera: str | None = None) -> np.ndarray:
        self.heard += [(camera, crop.shape[:2]) for crop in crops]
        return super().embed(crops, camera)


def test_a_stored_crop_is_embedded_as_its_cameras(tmp_path: Path) -> None:
    """Whole, whatever a detector would find in it; a copy of it is a picture from anywhere."""
    gallery, embedder = make_gallery(tmp_path), Listening()
    tracklets = gallery.tracklets()
    stored = [tracklets[0].crops[0].file, tracklets[-1].crops[0].file]
    copy = tmp_path / stored[0].name
    shutil.copy(stored[0], copy)
    embeddings = embed_query([*stored, copy], gallery, embedder, SeesPeopleEverywhere())
    assert [camera for camera, _ in embedder.heard] == [tracklets[0].camera, tracklets[-1].camera, None]
    assert embedder.heard[0][1] == embedder.heard[2][1]
    assert embeddings.shape == (3, 64)
    with pytest.raises(UserError, match="a crop of one person already"):
        embed_query(stored, gallery, embedder, SeesPeopleEverywhere(), person=1)


def test_a_crop_of_a_renamed_camera_has_the_name_that_the_model_knows(tmp_path: Path) -> None:
    gallery = make_gallery(tmp_path)
    one = gallery.tracklets()[0]
    card = replace(ColourEmbedder().card, cameras=[one.camera])
    with gallery.writing() as writer:
        writer.change_camera(one.camera, CameraSettings(name="Main gate"))
    assert gallery.camera_of_crop(one.crops[0].file) == "Main gate"
    with Session(gallery.engine) as session, session.begin():
        session.get_one(schema.Model, gallery.model_id).card = asdict(card)
    assert gallery.camera_of_crop(one.crops[0].file) == one.camera


def test_only_the_best_shots_of_the_gallery_have_a_camera(tmp_path: Path) -> None:
    gallery = make_gallery(tmp_path)
    (crop, *_) = gallery.tracklets()[0].crops
    beside = crop.file.with_name("other.webp")
    shutil.copy(crop.file, beside)
    assert gallery.camera_of_crop(crop.file) == gallery.tracklets()[0].camera
    assert gallery.camera_of_crop(crop.file.parent / ".." / crop.file.parent.name / crop.file.name) is not None
    assert gallery.camera_of_crop(beside) is None
