"""`adapt` and `reembed` as commands."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from models.camera_statistics import CameraStatistics
from reidapp.cli import main
from reidapp.embedding import Embedder
from reidapp.gallery.label_free import LabelFreeScores
from reidapp.gallery.store import Gallery
from tests.conftest import World
from tests.reidapp.commands import as_json, reidapp
from training import adapting
from training.adapting import AdaptResult
from training.adapting_crops import Tried


def test_the_models_of_a_gallery_are_listed(world: World) -> None:
    (model,) = as_json("reembed", "--gallery", world.gallery)["models"]
    assert (model["name"], model["active"]) == ("small", True)
    assert model["crops"] == Gallery.open(world.gallery).summary().crops
    line = reidapp("reembed", "--gallery", world.gallery).stdout
    assert line.startswith(f"small/{model['version']}  {model['id'][:8]}  ")


def test_moving_to_the_model_it_has(world: World, refused_here: Callable[..., str]) -> None:
    (model,) = Gallery.open(world.gallery).models()
    name = f"small/{model.card.version}"
    assert as_json("reembed", "--gallery", world.gallery, "--model", name)["embedded"] == 0
    line = refused_here(2, "reembed", "--gallery", world.gallery, "--model", "large")
    assert line.endswith(f'model "large": no such file or model; shipped: base, small; {world.gallery} has {name}')


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
def test_refused(world: World, refused_here: Callable[..., str], arguments: list[str], why: str) -> None:
    assert why in refused_here(2, *arguments, "--gallery", world.gallery)
    assert not Path("new.onnx").exists()


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_what_is_not_better_is_applied_by_force_alone(
    world: World, force: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery = Gallery.open(world.gallery)
    scores = LabelFreeScores(25, 0.8, 0.4, 0.9, 0.5, 0.3)
    card = Embedder(gallery.model_file).card
    chosen = Tried("common statistics", CameraStatistics([], {}), scores)
    result = AdaptResult(gallery.model_file, card, {}, scores, chosen)
    monkeypatch.setattr(adapting, "adapt_quick", lambda *arguments: result)
    command = ["adapt", "--quick", "--gallery", str(world.gallery), "--out", "new.onnx", "--apply", "--json", *force]
    monkeypatch.setattr(sys, "argv", ["reidapp", *command])
    with pytest.raises(SystemExit) as end:
        main()
    said = capsys.readouterr()
    facts = json.loads(said.out)
    assert facts["improved"] is False
    if force:
        assert not end.value.code
        assert facts["reembed"]["embedded"] == 0
    else:
        assert end.value.code == 1
        assert "reembed" not in facts
        line = f"{world.gallery}: stays with its model, since {gallery.model_file} is not better; --force moves it"
        assert said.err.splitlines()[-1] == f"reidapp: {line}"


def test_no_gallery(tmp_path: Path, refused_here: Callable[..., str]) -> None:
    assert "no gallery here" in refused_here(2, "reembed", "--gallery", tmp_path, "--model", "small")
