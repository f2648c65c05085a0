"""`adapt` and `reembed` as commands."""

import json
from pathlib import Path

import pytest

from reidapp.gallery.store import Gallery
from tests.conftest import World
from tests.reidapp.test_cli import as_json, refused, reidapp


def test_the_models_of_a_gallery_are_listed(world: World) -> None:
    (model,) = as_json("reembed", "--gallery", world.gallery)["models"]
    assert (model["name"], model["version"], model["active"]) == ("small", "1", True)
    assert model["crops"] == Gallery.open(world.gallery).summary().crops
    assert reidapp("reembed", "--gallery", world.gallery).stdout.startswith(f"small/1  {model['id'][:8]}  ")


def test_moving_to_the_model_it_has(world: World) -> None:
    done = reidapp("reembed", "--gallery", world.gallery, "--model", "small/1", "--json")
    assert json.loads(done.stdout)["embedded"] == 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["adapt", "--out", "run", "--recipe", "bot"], "and training needs 64"),
        (["adapt", "--out", "run", "--progress", "dots"], "bar or json"),
        (["adapt", "--quick", "--out", "run"], "must end in .onnx"),
        (["adapt", "--quick", "--out", "new.onnx", "--start", "smal"], 'did you mean "small"?'),
        (["reembed", "--model", "smal"], 'did you mean "small"?'),
    ],
)
def test_refused(world: World, arguments: list[str], why: str) -> None:
    assert why in refused(2, *arguments, "--gallery", world.gallery)
    assert not Path("new.onnx").exists()


def test_no_gallery(tmp_path: Path) -> None:
    assert "no gallery here" in refused(2, "reembed", "--gallery", tmp_path, "--model", "small")
