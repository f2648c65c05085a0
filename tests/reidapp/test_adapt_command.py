"""`adapt` and `reembed` as commands."""

from pathlib import Path

import pytest

from reidapp.gallery.store import Gallery
from tests.conftest import World
from tests.reidapp.test_cli import as_json, refused, reidapp


def test_the_models_of_a_gallery_are_listed(world: World) -> None:
    (model,) = as_json("reembed", "--gallery", world.gallery)["models"]
    assert (model["name"], model["active"]) == ("small", True)
    assert model["crops"] == Gallery.open(world.gallery).summary().crops
    line = reidapp("reembed", "--gallery", world.gallery).stdout
    assert line.startswith(f"small/{model['version']}  {model['id'][:8]}  ")


def test_moving_to_the_model_it_has(world: World) -> None:
    (model,) = Gallery.open(world.gallery).models()
    name = f"small/{model.card.version}"
    assert as_json("reembed", "--gallery", world.gallery, "--model", name)["embedded"] == 0
    line = refused(2, "reembed", "--gallery", world.gallery, "--model", "large")
    assert line.endswith(f'model "large": no such file or model; shipped: small; {world.gallery} has {name}')


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
