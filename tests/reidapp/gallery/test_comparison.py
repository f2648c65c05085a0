"""Which of several models is better on a gallery's own crops: by the people who have names, and without labels."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reidapp.errors import UserError
from reidapp.gallery.comparison import compare, compare_named
from reidapp.gallery.identities import Identities
from reidapp.gallery.store import Gallery
from tests.conftest import World
from tests.reidapp.commands import another_model, as_json
from tests.small_gallery import FOOTAGE, ColourEmbedder, make_gallery


class Blind(ColourEmbedder):
    """Sees how high a crop is, and nothing else."""

    card = replace(ColourEmbedder.card, name="blind", dim=2)

    def embed(self, crops: Sequence[np.ndarray], camera: str | None = None) -> np.ndarray:
        angles = np.array([len(crop) for crop in crops], np.float32)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return make_gallery(tmp_path)


def name_shirts(gallery: Gallery, *shirts: str) -> None:
    """The tracklets of a camera are in the order of their walks' beginnings, in which they are not in `FOOTAGE`."""
    worn = [walk.shirt for (_, _), walks in FOOTAGE.items() for walk in sorted(walks, key=lambda walk: walk.start_s)]
    tracklets = [tracklet.id for tracklet in sorted(gallery.tracklets(), key=lambda tracklet: tracklet.start)]
    for shirt in shirts:
        Identities(gallery, "test").new(shirt, [id_ for id_, its in zip(tracklets, worn, strict=True) if its == shirt])


def test_the_model_that_knows_the_named_people_is_seen_to(gallery: Gallery) -> None:
    name_shirts(gallery, "red", "blue", "green")
    before = gallery.generation
    told: list[tuple[float, float, str]] = []
    compared = compare(gallery, [ColourEmbedder(), Blind()], progress=lambda *at: told.append(at))
    colours, blind = compared.models
    assert colours.named is not None
    assert blind.named is not None
    assert (colours.named.queries, colours.named.rank1, colours.named.mAP) == (3, 1.0, 1.0)  # red, by three cameras
    assert blind.named.mAP < 1
    assert colours.named.unscored  # the two whom one camera saw
    assert (compared.crops, compared.people) == (6, 1)
    assert told[-1] == (12, 12, "blind/1")
    assert gallery.generation == before
    text = str(compared)
    assert "1 named, from camera to camera: Rank-1" in text
    assert "100.0%" in text
    assert all(len(line) == len(text.splitlines()[1]) for line in text.splitlines()[1:])  # a table


def test_without_names_only_the_rest_is_told(gallery: Gallery) -> None:
    compared = compare(gallery, [ColourEmbedder()])
    assert compared.models[0].named is None
    assert compared.models[0].label_free.same_camera is not None
    assert compared.to_dict()["models"][0]["named"] is None
    name_shirts(gallery, "green")  # seen by one camera
    assert compare(gallery, [ColourEmbedder()]).models[0].named is None


def test_by_names_alone_the_scores_are_the_same(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    models = [ColourEmbedder(), Blind()]
    with monkeypatch.context() as patch:  # no crop is read where there is nobody to find
        patch.delattr("reidapp.gallery.comparison.read_image")
        assert compare_named(gallery, models) is None
        name_shirts(gallery, "green", "blue")  # each seen by one camera
        assert compare_named(gallery, models) is None
    name_shirts(gallery, "red")
    named = compare_named(gallery, models)
    assert named is not None
    assert (named.people, named.models) == (1, [scores.named for scores in compare(gallery, models).models])
    assert str(named).startswith("100.0% → ")


def test_all_crops_of_named_people_and_a_part_of_the_others(gallery: Gallery) -> None:
    name_shirts(gallery, "red")
    assert compare(gallery, [ColourEmbedder()], crops=1).crops == 3 + 1
    assert compare(gallery, [ColourEmbedder()], crops=100).crops == 6


def test_an_empty_gallery_has_nothing_to_compare_on(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no crop in it to compare models on; index footage first"):
        compare(make_gallery(tmp_path, empty=True), [ColourEmbedder()])


def test_the_command_sets_the_gallerys_own_model_first(world: World, tmp_path: Path) -> None:
    file = another_model(tmp_path / "another.onnx")
    facts = as_json("models", "compare", file, "-g", world.gallery)
    own, other = facts["models"]
    assert own["model"].startswith("small/")
    assert other["dim"] == own["dim"]
    assert other["crops_per_second"] > 0
    assert facts["crops"] > 0
