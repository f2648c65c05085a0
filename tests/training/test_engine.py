import functools
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from models.export import export_run
from models.network import Network
from models.run_folder import epochs, last_epoch, load_network
from reidapp.embedding import Embedder
from reidapp.errors import ReidappError, UserError
from tests.training.conftest import TINY
from training import engine
from training.engine import TrainResult, train
from training.methods.supervised import Supervised
from training.recipe import Recipe, load_recipe

STILL = [f"augmentation.{change}=0" for change in ("flip", "shift", "zoom", "colour", "erase")]


def run(crops: Path, out: Path, tiny: list[str], *changes: str, **options: object) -> TrainResult:
    recipe = load_recipe("small", [*tiny, "schedule.epochs=3", *changes])
    return train(recipe, f"market1501:{crops}", out, quiet=True, **options)  # type: ignore[arg-type]


def weights(run: Path) -> dict[str, Tensor]:
    return load_network(run).state_dict()


@pytest.mark.slow
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


@pytest.mark.slow
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
    said = "".join(capsys.readouterr().err.split())  # a narrow terminal breaks words
    assert "epoch-002iskept,andthesamecommandwith--resumegoesonfromit" in said
    monkeypatch.undo()
    assert last_epoch(tmp_path / "parts") == tmp_path / "parts" / "epoch-002"
    run(crops, tmp_path / "parts", tiny, resume=True)
    assert_equal(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    assert (tmp_path / "whole/log.jsonl").read_text() == (tmp_path / "parts/log.jsonl").read_text()
    capsys.readouterr()
    result = run(crops, tmp_path / "parts", tiny, resume=True)
    assert "parts: was finished already; nothing is left to train" in " ".join(capsys.readouterr().err.split())
    assert math.isfinite(result.loss)


@pytest.mark.slow
def test_only_the_last_epoch_is_kept_and_nothing_half_written(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    run(crops, tmp_path / "run", tiny)
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert names - {"tensorboard"} == {"run.json", "recipe.yaml", "log.jsonl", "epoch-003"}
    assert {p.name for p in (tmp_path / "run" / "epoch-003").iterdir()} == {
        "trunk.safetensors",
        "classifier.safetensors",
        "optimizer.pt",
    }


@pytest.mark.slow
def test_epochs_can_be_kept_and_used_by_themselves(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    run(crops, tmp_path / "run", tiny, "schedule.epochs=4", "keep_every=2")
    assert {path.name for path in epochs(tmp_path / "run")} == {"epoch-002", "epoch-004"}
    assert_equal(weights(tmp_path / "run"), weights(tmp_path / "run" / "epoch-004"))
    early, late = (weights(tmp_path / "run" / f"epoch-00{number}") for number in (2, 4))
    assert any((early[name] != late[name]).any() for name in early)
    export_run(tmp_path / "run" / "epoch-002", tmp_path / "model.onnx")
    pictures = [np.random.default_rng(0).integers(0, 256, (40, 20, 3), dtype=np.uint8)]
    expected = load_network(tmp_path / "run" / "epoch-002").embed_crops(pictures)
    np.testing.assert_allclose(Embedder(tmp_path / "model.onnx").embed(pictures), expected, atol=1e-4)


@pytest.mark.slow
def test_a_run_is_not_called_like_an_epoch(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    """Else it would take itself for an older epoch, and be removed with what is in it."""
    run(crops, tmp_path / "run", tiny, "schedule.epochs=1")
    for out, resume in ((tmp_path / "epoch-5", False), (tmp_path / "run" / "epoch-001", True)):
        with pytest.raises(
            UserError, match=f"--out {out}: epochs in a run folder are called so; name the run's folder"
        ):
            run(crops, out, tiny, "schedule.epochs=1", resume=resume)
    assert not (tmp_path / "epoch-5").exists()
    with pytest.raises(UserError, match="run/epoch-009: no such epoch; those of this run: epoch-001"):
        load_network(tmp_path / "run" / "epoch-009")


@pytest.mark.slow
def test_a_budget_of_images(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    result = run(crops, tmp_path / "run", tiny, "schedule.images=100")
    assert result.images == 104  # the next whole batch of 8
    assert result.epochs == 3  # 48 images each, the last one cut short


@pytest.mark.slow
def test_accumulated_batches_equal_one_large_batch(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    """But for batch norm, which here is told to see the large batch in the small one's parts."""
    plain = [
        *STILL,
        "loss={identity: {}}",
        "optimizer={sgd: {}}",
        "sampler={batch: 8}",
        "schedule={images: 16, lr: 0.1, final: 1}",
    ]
    run(crops, tmp_path / "small", tiny, *plain, "accumulate=2")
    run(crops, tmp_path / "large", tiny, *plain, "sampler={batch: 16}", "bn_split=2")
    small, large = weights(tmp_path / "small"), weights(tmp_path / "large")
    for name in small:
        if "running" not in name and "tracked" not in name:
            torch.testing.assert_close(small[name], large[name], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_an_epochs_last_batches_are_averaged_over_those_there_are(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    for accumulate in (2, 5):
        run(crops, tmp_path / str(accumulate), tiny, "schedule.images=16", f"accumulate={accumulate}")
    assert_equal(weights(tmp_path / "2"), weights(tmp_path / "5"))


@pytest.mark.slow
def test_clipping_bounds_the_step(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    one_step = ["schedule.images=8", "optimizer={sgd: {}}", "schedule.lr=1.0", "schedule.warmup_epochs=0"]
    moved = {}
    for clip in ("1e-3", "null"):
        torch.manual_seed(0)
        start = Network(load_recipe("small", tiny).network()).state_dict()
        run(crops, tmp_path / clip, tiny, *one_step, f"clip={clip}")
        now = weights(tmp_path / clip)
        learnt = [name for name, p in load_network(tmp_path / clip).named_parameters() if p.requires_grad]
        moved[clip] = math.sqrt(sum(float((now[name] - start[name]).square().sum()) for name in learnt))
    assert moved["1e-3"] <= 1.001e-3
    assert moved["null"] > 1e-2


@pytest.mark.slow
def test_the_moving_average_is_the_runs_model(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    changes = ["schedule.images=8", "optimizer={sgd: {}}", "schedule.lr=0.1", "schedule.warmup_epochs=0"]
    run(crops, tmp_path / "plain", tiny, *changes)
    run(crops, tmp_path / "ema", tiny, *changes, "schedule.images=16", "ema=0.75")
    run(crops, tmp_path / "two", tiny, *changes, "schedule.images=16")
    first, second, average = (weights(tmp_path / name)["head.project.weight"] for name in ("plain", "two", "ema"))
    torch.testing.assert_close(average, 0.75 * first + 0.25 * second)


@pytest.mark.slow
def test_a_run_with_a_moving_average_resumes_exactly(
    crops: Path, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(crops, tmp_path / "whole", tiny, "ema=0.9")
    stop_in_epoch(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        run(crops, tmp_path / "parts", tiny, "ema=0.9")
    monkeypatch.undo()
    run(crops, tmp_path / "parts", tiny, "ema=0.9", resume=True)
    assert_equal(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_mixup_and_cutmix_train(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    mixing = ["loss={identity: {}}", "method={supervised: {mixup: 0.2, cutmix: 1.0}}", "schedule.epochs=1"]
    assert math.isfinite(run(crops, tmp_path / "run", tiny, *mixing).loss)


@pytest.mark.slow
def test_a_class_weight_can_be_regularised(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    plain = ["loss={identity: {}}", "schedule.epochs=2"]
    group = "loss.group_sparsity={on: identity.features.weight, weight: 10}"
    sizes = []
    for name, changes in (("a", plain), ("b", [*plain, group])):
        run(crops, tmp_path / name, tiny, *changes)
        classifier = load_file(tmp_path / name / "epoch-002" / "classifier.safetensors")
        sizes.append(float(classifier["losses.identity.classifier.weight"].abs().sum()))
    assert sizes[1] < 0.9 * sizes[0]


def test_people_without_an_identity_feed_the_queue(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    lines = ["path,pid,camera"]
    for path in sorted((crops / "bounding_box_train").iterdir()):
        pid = int(path.name[:4])
        lines.append(f"{path},{pid if pid < 6 else -1},1")
    (tmp_path / "crops.csv").write_text("\n".join(lines))
    changes = ["loss={oim: {queue: 10}}", "sampler.unlabelled=3", "schedule.epochs=1"]
    train(load_recipe("small", [*tiny, *changes]), f"manifest:{tmp_path / 'crops.csv'}", tmp_path / "run", quiet=True)
    memory = load_file(tmp_path / "run" / "epoch-001" / "classifier.safetensors")
    assert memory["losses.oim.lut"].shape[0] == 5
    assert memory["losses.oim.queue"].norm(dim=1).sort().values[-3:] == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
def test_a_backbone_starts_from_the_weights_given(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    run(crops, tmp_path / "first", tiny)
    still = ["schedule.images=8", "schedule.backbone_lr=0", "schedule.warmup_epochs=0"]
    run(crops, tmp_path / "second", tiny, *still, f"backbone.osnet.pretrained={tmp_path / 'first'}")
    first, second = weights(tmp_path / "first"), weights(tmp_path / "second")
    trunk = [name for name in first if name.startswith("backbone") and name.endswith("weight")]
    assert_equal({name: first[name] for name in trunk}, {name: second[name] for name in trunk})


CLUSTERS = ["sampler.batches=2", "sampler.images=4", "schedule.epochs=2"]


def clustered(crops: Path, out: Path, *changes: str, **options: object) -> TrainResult:
    dbscan = "method.cluster_contrast.clustering={dbscan: {min_samples: 2, k1: 6, k2: 2, eps: 0.9}}"
    recipe = load_recipe("cluster_contrast", [*TINY, *CLUSTERS, dbscan, *changes], small=True)
    return train(recipe, f"market1501:{crops}", out, quiet=True, **options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_numbers_of_an_epochs_clusters_are_logged_and_shown(crops: Path, tmp_path: Path) -> None:
    clustered(crops, tmp_path / "run", "method.cluster_contrast.camera_norm=true")
    line = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])
    assert {"clusters", "outliers", "largest", "ari"} <= line.keys()
    assert line["clusters"] >= 2
    assert engine._summary(2, 2, line).endswith(f", {line['clusters']:.0f} clusters, ARI {line['ari']:.2f}")


@pytest.mark.slow
def test_a_run_starts_from_another_ones_whole_network(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    run(crops, tmp_path / "first", tiny, "schedule.epochs=1", "head.bnneck.dim=32")
    frozen = ["schedule.lr=1e-12", f"start={tmp_path / 'first'}"]
    clustered(crops, tmp_path / "second", *frozen)
    first, second = weights(tmp_path / "first"), weights(tmp_path / "second")
    assert first["head.project.weight"].shape[0] == 32  # its head, not the recipe's
    for name in first:
        if name.endswith("weight"):
            torch.testing.assert_close(first[name], second[name])
    clustered(crops, tmp_path / "parts", *frozen, "schedule.epochs=1")
    with pytest.raises(UserError, match=r"its schedule\.epochs was 1, not 2"):
        clustered(crops, tmp_path / "parts", *frozen, resume=True)
    facts = json.loads((tmp_path / "first" / "run.json").read_text())
    facts["network"]["projection"] = 8
    (tmp_path / "first" / "run.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match=r"start: .*first was made by HER; name the run it was made from"):
        clustered(crops, tmp_path / "third", *frozen)


@pytest.mark.slow
def test_labelled_source_data_are_for_methods_that_take_them(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    source = [f"market1501:{crops}"]
    clustered(crops, tmp_path / "run", source=source)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["source"] == source
    with pytest.raises(UserError, match="method supervised takes no --source; give labelled data as --data"):
        run(crops, tmp_path / "other", tiny, source=source)
    with pytest.raises(
        UserError, match=r"its source was \['market1501:.*'\], not \[\].* --source market1501:.* --resume"
    ):
        clustered(crops, tmp_path / "run", resume=True)


@pytest.mark.slow
def test_clusters_that_teach_nothing_later_on_say_what_is_kept(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = []

    def check(clusters: np.ndarray, outliers_count: bool) -> np.ndarray:
        checked.append(clusters)
        if len(checked) == stop_in:
            raise UserError("one giant cluster; lower eps")
        return clusters

    monkeypatch.setattr("training.methods._clustered.check", check)
    stop_in = 2
    with pytest.raises(UserError) as caught:
        clustered(crops, tmp_path / "run")
    run = tmp_path / "run"
    assert str(caught.value) == (
        f"epoch 2: one giant cluster; lower eps. {run}/epoch-001 is kept: evaluate or export it, or begin a new run "
        f"from it with other settings and start={run}"
    )
    checked.clear()
    stop_in = 1
    with pytest.raises(UserError, match=r"^one giant cluster; lower eps$"):
        clustered(crops, tmp_path / "first")


def test_a_method_with_a_loss_of_its_own_takes_no_other(crops: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="method cluster_contrast has a loss of its own; take triplet away"):
        clustered(crops, tmp_path / "run", "loss={triplet: {}}")


@pytest.mark.slow
def test_a_run_stopped_in_its_first_epoch_starts_from_the_weights_given_again(
    crops: Path, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(crops, tmp_path / "first", tiny, "schedule.epochs=1")
    changes = ["schedule.epochs=1", f"backbone.osnet.pretrained={tmp_path / 'first'}"]
    run(crops, tmp_path / "whole", tiny, *changes)
    stop_in_epoch(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        run(crops, tmp_path / "parts", tiny, *changes)
    monkeypatch.undo()
    run(crops, tmp_path / "parts", tiny, *changes, resume=True)
    assert_equal(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


@pytest.mark.slow
def test_milestones_that_are_never_reached_are_said(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    schedule = "schedule={lr: 1e-3, shape: step, epochs: 2, milestones: [1, 2, 40]}"
    (warning,) = run(crops, tmp_path / "run", tiny, schedule).warnings
    assert warning.startswith("schedule.milestones: [2.0, 40.0] are not reached in 2 epochs")
    assert not run(crops, tmp_path / "all", tiny, schedule, "schedule.epochs=41", "schedule.images=8").warnings


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision(precision: str, crops: Path, tiny: list[str], tmp_path: Path) -> None:
    result = run(crops, tmp_path / "run", tiny, f"precision={precision}", "schedule.epochs=1", "ema=0.5", "clip=1")
    assert math.isfinite(result.loss)
    assert all(weight.dtype != torch.float16 for weight in weights(tmp_path / "run").values())


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_on_a_gpu(precision: str, crops: Path, tiny: list[str], tmp_path: Path) -> None:
    changes = [f"precision={precision}", "loss.oim={queue: 0}", "loss.center={on: pooled, weight: 1e-3}"]
    assert math.isfinite(run(crops, tmp_path / "run", tiny, *changes, "schedule.epochs=2", device="cuda").loss)


@pytest.mark.slow
def test_the_network_is_compiled_if_asked_for(
    crops: Path, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it is handed over, and only then; what a real compiler makes of it: see below."""
    handed: list[nn.Module] = []
    monkeypatch.setattr(torch, "compile", lambda module: handed.append(module) or module)
    run(crops, tmp_path / "plain", tiny, "schedule.epochs=1")
    assert not handed
    run(crops, tmp_path / "compiled", tiny, "schedule.epochs=1", "compile=true")
    assert isinstance(handed[0], Network)


@pytest.mark.slow
def test_a_compiled_network_trains_as_the_plain_one(
    crops: Path, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced, with its backward pass and batch norm's buffers; only the code is not generated, which takes minutes."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    changes = [*STILL, "optimizer={sgd: {}}", "schedule={images: 16, lr: 1e-2}"]
    plain = run(crops, tmp_path / "plain", tiny, *changes)
    compiled = run(crops, tmp_path / "compiled", tiny, *changes, "compile=true")
    assert compiled.loss == pytest.approx(plain.loss, rel=1e-3)
    expected, found = weights(tmp_path / "plain"), weights(tmp_path / "compiled")
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-2, atol=1e-3)


def test_unreadable_images_are_left_out_and_named(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "data" / "bounding_box_train"
    folder.mkdir(parents=True)
    for path in (crops / "bounding_box_train").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    for number in range(93, 100):
        (folder / f"0001_c1s1_0000{number}_01.jpg").write_text("no image")
    (warning,) = run(tmp_path / "data", tmp_path / "run", tiny, "schedule.epochs=1").warnings
    assert warning.startswith(f"7 images left out: {folder}/0001_c1s1_000093_01.jpg: not an image")
    assert warning.endswith(f"; all are in {tmp_path}/run/left_out.txt")
    lines = (tmp_path / "run" / "left_out.txt").read_text().splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{folder}/0001_c1s1_0000{n}_01.jpg" for n in range(93, 100)]


def test_none_readable_is_one_line_and_leaves_no_folder(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "data" / "bounding_box_train"
    folder.mkdir(parents=True)
    for path in (crops / "bounding_box_train").iterdir():
        (folder / path.name).write_text("no image")
    message = r"none of the 48 images can be read \(the first: 0001_c1s1_000000_01.jpg: not an image"
    with pytest.raises(UserError, match=message) as caught:
        run(tmp_path / "data", tmp_path / "run", tiny)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match=message):
        run(tmp_path / "data", tmp_path / "mine", tiny)
    assert (tmp_path / "mine").exists()


def test_ctrl_c_while_images_are_read_says_that_nothing_is_kept(
    crops: Path,
    tiny: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "decode", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(crops, tmp_path / "run", tiny)
    assert "interrupted; no epoch was finished, so there is nothing to go on from" in " ".join(
        capsys.readouterr().err.split()
    )
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--out .*file: a file; name a folder"):
        run(crops, tmp_path / "file", tiny)
    with pytest.raises(UserError, match=r"--out .*run: cannot be made \(Not a directory\); name another folder"):
        run(crops, tmp_path / "file" / "run", tiny)


@pytest.mark.slow
def test_the_bar_fits_80_columns_and_ends_with_the_last_epochs_numbers(
    crops: Path, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # a terminal, says rich
    recipe = load_recipe("small", [*tiny, "schedule.images=808"])  # 17 epochs of 48 images
    result = train(recipe, f"market1501:{crops}", tmp_path / "run")
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    *_, last = filter(None, re.split(r"[\r\n]", shown))
    assert last.startswith("training ━")
    assert last.endswith(f"17/17 epochs, loss {result.loss:.3f}, accuracy {result.accuracy:.1%}")
    assert "100%" in last
    assert len(last) <= 80


@pytest.mark.slow
def test_nan_stops_with_the_last_good_checkpoint(
    crops: Path, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_loss(monkeypatch, from_epoch=2, factor=math.nan)
    with pytest.raises(ReidappError, match=r"epoch 2\): the loss is not a number; .*epoch-001") as caught:
        run(crops, tmp_path / "run", tiny)
    assert "\n" not in str(caught.value)
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path / "run").values())


@pytest.mark.slow
def test_a_weight_that_is_no_number_is_not_saved(
    crops: Path, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of an epoch's last step may be fine, and its gradient not."""
    original, steps = Supervised.forward, []

    def forward(self, *inputs):  # type: ignore[no-untyped-def]
        value, numbers = original(self, *inputs)
        steps.append(value)
        if len(steps) == 12:  # the second epoch's last
            value.register_hook(lambda gradient: gradient * math.nan)
        return value, numbers

    monkeypatch.setattr(Supervised, "forward", forward)
    with pytest.raises(ReidappError, match=r"step 12 \(epoch 2\): a weight is not a number; .* is .*epoch-001"):
        run(crops, tmp_path / "run", tiny)
    assert last_epoch(tmp_path / "run") == tmp_path / "run" / "epoch-001"
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 1
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path / "run").values())


@pytest.mark.slow
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
        ("method={supervised: {mixup: 0.2}}", "mixup and cutmix need losses that take soft labels; triplet does not"),
        ("method=dgd", "domain-guided dropout needs two data sets or more"),
        ("loss.sphere.scal=3", 'loss.sphere: unknown key "scal"; did you mean "scale"'),
        ("loss.sphere.on=feature", 'loss.sphere: no output "feature"; did you mean "features"'),
        ("loss.sphere.weight=much", "loss.sphere: weight is much; a number of at least 0 expected"),
        ("loss.group_sparsity={on: triplet.features.weight}", 'no output "triplet.features.weight"'),
        ("loss={}", "no loss"),
        ("sampler.batches=0", "batches: input should be greater than or equal to 1, not 0"),
        ("backbone.osnet.widht=1", 'backbone.osnet: unknown key "widht"; did you mean "width"'),
        ("head=bneck", 'heads: unknown name "bneck"; did you mean "bnneck"'),
        ("method=supervized", 'unknown name "supervized"; did you mean "supervised"'),
        ("augmentation.flips=1", 'augmentation: unknown key "flips"; did you mean "flip"'),
        ("sampler.identity=1", 'sampler: unknown key "identity"; did you mean "identities"'),
        ("optimizer.adamw.lr=1", "optimizer.adamw: the rate belongs under schedule.lr"),
        ("optimizer=adamv", 'unknown optimizer "adamv"; did you mean "adam'),
        ("optimizer.adamw.weight_dekay=1", 'optimizer.adamw: unknown key "weight_dekay"'),
        ("optimizer={sgd: {nesterov: true}}", "optimizer.sgd: Nesterov momentum requires a momentum"),
    ],
)
def test_misspelt_names_are_one_clear_line(
    crops: Path, tiny: list[str], tmp_path: Path, change: str, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        run(crops, tmp_path / "run", tiny, change)
    assert message in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("backbone.osnet.width=0", "backbone.osnet: width is 0.0; from 0.015625 on, every layer has a channel"),
        ("backbone.osnet.width=0.01", "backbone.osnet: width is 0.01; from 0.015625 on"),
        ("backbone={jlml: {width: 0.05}}", "backbone.jlml: width is 0.05; from 0.0625 on"),
        ("backbone={vit_small: {drop_path: 1}}", "drop_path: input should be less than 1, not 1"),
        ("head={bnneck: {dim: 0}}", "head.bnneck: dim: input should be greater than or equal to 1, not 0"),
        ("head={bn_dropout_fc_bn: {dim: 0}}", "head.bn_dropout_fc_bn: dim: input should be greater"),
        ("head={bn_dropout_fc_bn: {dropout: 5}}", "head.bn_dropout_fc_bn: dropout: input should be less than 1, not 5"),
        ("loss.identity.smoothing=5", "recipe small, loss.identity: smoothing: input should be less than 1, not 5"),
        ("loss.oim.momentum=3", "loss.oim: momentum: input should be less than 1, not 3"),
        ("loss.oim.tau=0", "loss.oim: tau: input should be greater than 0, not 0"),
        ("loss.oim.queue=-1", "loss.oim: queue: input should be greater than or equal to 0, not -1"),
        ("loss.sphere.scale=-1", "loss.sphere: scale: input should be greater than 0, not -1"),
        ("loss.arcface.scale=.inf", "loss.arcface: scale: input should be a finite number, not inf"),
        ("loss.circle.margin=.nan", "loss.circle: margin: input should be a finite number, not nan"),
        ("loss.triplet.margin=-1", "loss.triplet: margin: input should be greater than or equal to 0 or input should"),
        ("loss.triplet.margin=big", "recipe small, loss.triplet: margin: input should be a valid number"),
        ("loss.triplet.margin=big", "or input should be 'soft', not 'big'"),
        ("loss.identity.weight=-1", "loss.identity: weight is -1; a number of at least 0 expected"),
        ("loss.identity.weight=.nan", "loss.identity: weight is nan; a number of at least 0 expected"),
        ("loss.identity.on=3", "loss.identity: on is 3; an output's name, or a list of them, expected"),
        ("method={supervised: {mixup: -1}}", "method: mixup: input should be greater than or equal to 0, not -1"),
        ("augmentation.flip=3", "augmentation: flip: input should be less than or equal to 1, not 3"),
        ("augmentation.erase=-1", "augmentation: erase: input should be greater than or equal to 0, not -1"),
        ("augmentation.zoom=1", "augmentation: zoom: input should be less than 1, not 1"),
        ("sampler.identities=500", "500 identities a batch, but there are 8; set sampler.identities=8"),
        ("bn_split=3", "batch norm: 8 images do not make 3 equal parts of two or more; choose a batch size"),
        ("bn_split=8", "batch norm: 8 images do not make 8 equal parts of two or more"),
        (
            "loss={identity: {}, exclusive_sparsity: {on: identity.features.weight, groups: 5}}",
            "exclusive_sparsity: 256 columns cannot be cut into 5 equal groups",
        ),
        ("sampler={batch: 49}", "sampler: 49 images a batch, but there are 48; set sampler.batch=48"),
        ("sampler.images=1", "recipe small, loss.triplet: it compares the images of a batch; set sampler.identities"),
        ("sampler.identities=1", "recipe small, loss.triplet: it compares the images of a batch"),
    ],
)
def test_a_value_out_of_range_is_one_clear_line(
    crops: Path, tiny: list[str], tmp_path: Path, change: str, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        run(crops, tmp_path / "run", tiny, change)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("loss", ["triplet_mcp", "triplet_weighted", "verification_ce", "circle_pairs"])
def test_losses_that_compare_images_need_two_of_a_person(
    loss: str, crops: Path, tiny: list[str], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"loss.{loss}: it compares"):
        run(crops, tmp_path / "run", tiny, f"loss={{identity: {{}}, {loss}: {{}}}}", "sampler.images=1")


def test_what_cannot_be_trained_on(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.jpg").write_bytes(next((crops / "query").iterdir()).read_bytes())
    with pytest.raises(UserError, match="one identity only"):
        train(load_recipe("small", tiny), f"folder:{tmp_path}", tmp_path / "run", quiet=True)
    with pytest.raises(UserError, match="not a training run"):
        run(crops, tmp_path / "nowhere", tiny, resume=True)


@pytest.mark.slow
def test_a_run_is_not_overwritten_or_mixed_up(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    run(crops, tmp_path / "run", tiny, "schedule.epochs=1")
    with pytest.raises(UserError, match="holds a training run already; add --resume"):
        run(crops, tmp_path / "run", tiny, "schedule.epochs=1")
    with pytest.raises(UserError, match=r"run: its schedule.epochs was 1, not 2. To go on with it: .* --resume"):
        run(crops, tmp_path / "run", tiny, "schedule.epochs=2", seed=1, resume=True)
    with pytest.raises(UserError, match="run: its seed was 0, not 1"):
        run(crops, tmp_path / "run", tiny, "schedule.epochs=1", seed=1, resume=True)
    result = train(load_recipe(tmp_path / "run" / "recipe.yaml"), f"market1501:{crops}", tmp_path / "run", resume=True)
    assert result.epochs == 1


@pytest.mark.slow
def test_a_pickle_with_code_is_not_run(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    run(crops, tmp_path / "run", tiny, "schedule.epochs=1")
    torch.save({"optimizer": Harmful(tmp_path / "harm")}, tmp_path / "run" / "epoch-001" / "optimizer.pt")
    with pytest.raises(UserError, match="not a saved optimizer"):
        run(crops, tmp_path / "run", tiny, "schedule.epochs=1", resume=True)
    assert not (tmp_path / "harm").exists()


@pytest.mark.slow
def test_a_run_that_lacks_something_is_one_clear_line(crops: Path, tiny: list[str], tmp_path: Path) -> None:
    run(crops, tmp_path / "run", tiny, "schedule.epochs=1")
    for state in ({"weights": torch.zeros(3)}, [1, 2]):
        torch.save(state, tmp_path / "run" / "epoch-001" / "optimizer.pt")
        with pytest.raises(UserError, match=r"optimizer\.pt: not a saved optimizer"):
            run(crops, tmp_path / "run", tiny, "schedule.epochs=1", resume=True)
    (tmp_path / "run" / "log.jsonl").unlink()
    with pytest.raises(UserError, match=r"log\.jsonl: not there; put it back, or begin a new run from this one"):
        run(crops, tmp_path / "run", tiny, "schedule.epochs=1", resume=True)


class Harmful:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


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

    def epoch(self, rng, done, extract):  # type: ignore[no-untyped-def]
        calls.append(rng)
        for batch in original(self, rng, done, extract):
            yield batch
            if len(calls) == number:
                raise KeyboardInterrupt

    monkeypatch.setattr(Supervised, "epoch", epoch)


def change_loss(monkeypatch: pytest.MonkeyPatch, from_epoch: int, factor: float) -> None:
    original, started = Supervised.forward, []
    generators = engine._generators

    def note(seed, epoch, team):  # type: ignore[no-untyped-def]
        started.append(epoch)
        return generators(seed, epoch, team)

    def forward(self, *inputs):  # type: ignore[no-untyped-def]
        value, numbers = original(self, *inputs)
        return (value * factor if started[-1] >= from_epoch else value), numbers

    monkeypatch.setattr(engine, "_generators", note)
    monkeypatch.setattr(Supervised, "forward", forward)
