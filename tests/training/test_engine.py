import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.run_folder import last_epoch, load_network
from reidapp.errors import ReidappError, UserError
from training import engine
from training.engine import TrainResult, learning_rate, train
from training.methods.supervised import Supervised
from training.recipe import Recipe, Schedule, list_recipes, load_recipe


def run(crops: Path, out: Path, tiny: list[str], *changes: str, **options: object) -> TrainResult:
    recipe = load_recipe("small", [*tiny, "schedule.epochs=3", *changes])
    return train(recipe, f"market1501:{crops}", out, quiet=True, **options)  # type: ignore[arg-type]


def weights(run: Path) -> dict[str, Tensor]:
    return load_network(run).state_dict()


@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_learns(name: str, crops: Path, tiny: list[str], tmp_path: Path) -> None:
    plain = [f"augmentation.{change}=0" for change in ("flip", "shift", "zoom", "colour")]
    recipe = load_recipe(name, [*tiny, *plain, "schedule.epochs=12"])
    result = train(recipe, f"market1501:{crops}", tmp_path / "run", quiet=True)
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert len(log) == result.epochs == 12
    assert log[-1]["loss"] < 0.7 * log[0]["loss"]
    assert log[-1]["accuracy"] > 0.6  # chance is 0.125
    assert not result.warnings
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path / "run").values())


def test_run_folder_says_how_to_repeat_it(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    result = run(crops, tmp_path / "a", tiny, seed=3)
    assert str(result).startswith(f"{tmp_path / 'a'}: 3 epochs, 144 images")
    facts = json.loads((tmp_path / "a" / "run.json").read_text())
    assert facts["seed"] == 3
    assert facts["data"] == f"market1501:{crops}"
    assert "torch" in facts["versions"]
    again = load_recipe(tmp_path / "a" / "recipe.yaml")
    train(again, facts["data"], tmp_path / "b", seed=facts["seed"], quiet=True)
    assert_equal(weights(tmp_path / "a"), weights(tmp_path / "b"))


def test_a_resumed_run_equals_one_that_was_not_stopped(
    crops: Path,
    tiny: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(crops, tmp_path / "whole", tiny)
    stop_in_epoch(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        run(crops, tmp_path / "parts", tiny)
    assert "epoch-002 is kept" in " ".join(capsys.readouterr().err.split())
    monkeypatch.undo()
    assert last_epoch(tmp_path / "parts") == tmp_path / "parts" / "epoch-002"
    run(crops, tmp_path / "parts", tiny, resume=True)
    assert_equal(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    assert (tmp_path / "whole/log.jsonl").read_text() == (tmp_path / "parts/log.jsonl").read_text()
    result = run(crops, tmp_path / "parts", tiny, resume=True)  # nothing left to do
    assert math.isfinite(result.loss)


def test_only_the_last_epoch_is_kept_and_nothing_half_written(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    run(crops, tmp_path / "run", tiny)
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert names - {"tensorboard"} == {"run.json", "recipe.yaml", "log.jsonl", "epoch-003"}
    assert {p.name for p in (tmp_path / "run" / "epoch-003").iterdir()} == {
        "trunk.safetensors",
        "classifier.safetensors",
        "optimizer.pt",
    }


def test_a_budget_of_images(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    result = run(crops, tmp_path / "run", tiny, "schedule.images=100")
    assert result.images == 104  # the next whole batch of 8
    assert result.epochs == 3  # 48 images each, the last one cut short


def test_bfloat16(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    result = run(crops, tmp_path / "run", tiny, "precision=bfloat16", "schedule.epochs=1")
    assert math.isfinite(result.loss)


def test_unreadable_images_are_left_out_and_named(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "data" / "bounding_box_train"
    folder.mkdir(parents=True)
    for path in (crops / "bounding_box_train").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "0001_c1s1_000099_01.jpg").write_text("no image")
    result = run(tmp_path / "data", tmp_path / "run", tiny, "schedule.epochs=1")
    assert len(result.warnings) == 1
    assert "1 images left out" in result.warnings[0]
    assert "0001_c1s1_000099_01.jpg" in result.warnings[0]


def test_nan_stops_with_the_last_good_checkpoint(
    crops: Path, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_loss(monkeypatch, from_epoch=2, factor=math.nan)
    with pytest.raises(ReidappError, match=r"epoch 2\): the loss is not a number; .*epoch-001") as caught:
        run(crops, tmp_path / "run", tiny)
    assert "\n" not in str(caught.value)
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path / "run").values())


def test_a_collapsed_triplet_loss_is_said(
    crops: Path, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def same_for_all(self: nn.Module, feature_map: Tensor) -> dict[str, Tensor]:
        pooled = feature_map.mean((0, 2, 3)).expand(len(feature_map), -1)
        return {"pooled": pooled, "features": self.neck(self.project(feature_map.mean((2, 3))))}

    monkeypatch.setattr("models.heads.bnneck.BNNeck.forward", same_for_all)
    result = run(crops, tmp_path / "run", tiny, "loss.triplet.on=pooled")
    assert len(result.warnings) == 1
    assert "collapsed" in result.warnings[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("loss.spheer={}", 'unknown name "spheer"; did you mean "sphere"'),
        ("loss.sphere.scal=3", 'loss.sphere: unknown key "scal"; did you mean "scale"'),
        ("loss.sphere.on=feature", 'loss.sphere: no output "feature"; did you mean "features"'),
        ("loss={}", "no loss"),
        ("backbone.osnet.widht=1", 'backbone.osnet: unknown key "widht"; did you mean "width"'),
        ("head=bneck", 'heads: unknown name "bneck"; did you mean "bnneck"'),
        ("method=supervized", 'unknown name "supervized"; did you mean "supervised"'),
        ("augmentation.flips=1", 'augmentation: unknown key "flips"; did you mean "flip"'),
        ("sampler.identity=1", 'sampler: unknown key "identity"; did you mean "identities"'),
        ("optimizer.adamw.lr=1", "optimizer.adamw: the rate belongs under schedule.lr"),
        ("optimizer=adamv", 'unknown optimizer "adamv"; did you mean "adam'),
        ("optimizer.adamw.weight_dekay=1", 'optimizer.adamw: unknown key "weight_dekay"'),
    ],
)
def test_misspelt_names_are_one_clear_line(
    crops: Path, tiny: list[str], tmp_path: Path, change: str, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        run(crops, tmp_path / "run", tiny, change)
    assert message in str(caught.value)
    if "optimizer" not in change:
        assert not (tmp_path / "run").exists()


def test_what_cannot_be_trained_on(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.jpg").write_bytes(next((crops / "query").iterdir()).read_bytes())
    with pytest.raises(UserError, match="one identity only"):
        train(load_recipe("small", tiny), f"folder:{tmp_path}", tmp_path / "run", quiet=True)
    with pytest.raises(UserError, match="not a training run"):
        run(crops, tmp_path / "nowhere", tiny, resume=True)


def test_a_run_is_not_overwritten_or_mixed_up(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    run(crops, tmp_path / "run", tiny, "schedule.epochs=1")
    with pytest.raises(UserError, match="holds a training run already"):
        run(crops, tmp_path / "run", tiny, "schedule.epochs=1")
    with pytest.raises(UserError, match="another recipe and another seed"):
        run(crops, tmp_path / "run", tiny, "schedule.epochs=2", seed=1, resume=True)


def test_a_pickle_with_code_is_not_run(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    run(crops, tmp_path / "run", tiny, "schedule.epochs=1")
    torch.save({"optimizer": Harmful(tmp_path / "harm")}, tmp_path / "run" / "epoch-001" / "optimizer.pt")
    with pytest.raises(UserError, match="not a saved optimizer"):
        run(crops, tmp_path / "run", tiny, "schedule.epochs=1", resume=True)
    assert not (tmp_path / "harm").exists()


class Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


def test_learning_rate() -> None:
    schedule = Schedule(lr=2.0, warmup=0.1, final=0.01)
    assert learning_rate(schedule, 0.0) == pytest.approx(0.02)
    assert learning_rate(schedule, 0.05) == pytest.approx(1.01)
    assert learning_rate(schedule, 0.1) == pytest.approx(2.0)
    assert learning_rate(schedule, 0.55) == pytest.approx(1.01)
    assert learning_rate(schedule, 1.0) == pytest.approx(0.02)
    assert learning_rate(Schedule(lr=1.0, warmup=0.0), 0.0) == pytest.approx(1.0)


def test_recipe_is_frozen() -> None:
    recipe: Recipe = load_recipe("small")
    with pytest.raises(ValueError, match="frozen"):
        recipe.name = "other"  # type: ignore[misc]


def assert_equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def stop_in_epoch(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Ctrl-C after the first step of an epoch."""
    original, calls = Supervised.epoch, []

    def epoch(self, rng):  # type: ignore[no-untyped-def]
        calls.append(rng)
        for batch in original(self, rng):
            yield batch
            if len(calls) == number:
                raise KeyboardInterrupt

    monkeypatch.setattr(Supervised, "epoch", epoch)


def change_loss(monkeypatch: pytest.MonkeyPatch, from_epoch: int, factor: float) -> None:
    original, started = Supervised.loss, []
    generators = engine._generators

    def note(seed: int, epoch: int, device: torch.device):  # type: ignore[no-untyped-def]
        started.append(epoch)
        return generators(seed, epoch, device)

    def loss(self, outputs, batch):  # type: ignore[no-untyped-def]
        value, parts = original(self, outputs, batch)
        return (value * factor if started[-1] >= from_epoch else value), parts

    monkeypatch.setattr(engine, "_generators", note)
    monkeypatch.setattr(Supervised, "loss", loss)
