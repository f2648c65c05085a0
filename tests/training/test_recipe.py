import re
from pathlib import Path

import pytest

from reidapp.errors import UserError
from training.recipe import Schedule, describe, good_for, list_recipes, load_recipe


@pytest.mark.parametrize("name", list_recipes())
def test_shipped_recipes_are_valid(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.loss or not recipe.method.keys() & {"supervised", "dgd"}


@pytest.mark.parametrize("name", list_recipes())
def test_a_recipe_says_what_it_is_and_what_it_is_good_for(name: str) -> None:
    assert "Good for" not in describe(name)
    assert re.fullmatch(r"\S.{20,}\.", good_for(name))


def test_overrides() -> None:
    recipe = load_recipe(
        "small",
        [
            "schedule.epochs=5",
            "schedule.lr=1e-3",
            "loss.triplet=null",
            "loss.identity={on: pooled}",
            "backbone.osnet.width=0.5",
        ],
    )
    assert recipe.schedule.epochs == 5
    assert recipe.schedule.lr == 0.001
    assert set(recipe.loss) == {"sphere", "identity"}
    assert recipe.loss["identity"] == {"on": "pooled"}  # not YAML 1.1's true
    assert recipe.backbone == {"osnet": {"width": 0.5}}


def test_options_for_a_bare_name(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("{backbone: osnet, head: bnneck, loss: {sphere: }, schedule: {lr: 1e-3}}")
    recipe = load_recipe(tmp_path / "mine.yaml", ["backbone.osnet.width=0.25"])
    assert recipe.name == "mine"
    assert recipe.backbone == {"osnet": {"width": 0.25}}
    assert recipe.head == {"bnneck": {}}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("schedule.epoch=5", 'recipe small: unknown key "epoch" under schedule; did you mean "epochs"?'),
        ("sheduel.lr=1", 'recipe small: unknown key "sheduel"; did you mean "schedule"?'),
        ("epochs=5", 'unknown key "epochs"; did you mean "schedule.epochs"?'),
        ("schedule.warmup=5", 'unknown key "warmup" under schedule; did you mean "warmup_epochs"?'),
        ("schedule.lr=fast", "recipe small: schedule.lr: Input should be a valid number"),
        ("optimizer.sgd={}", "recipe small: optimizer: one name expected, not adamw and sgd; to replace"),
        ("backbone.osnt.width=1", 'backbone: one name expected, not osnet and osnt; did you mean "osnet"?'),
        ("backbone={}", "recipe small: backbone: a name, or one name with its options, expected"),
        ("schedule.lr=.inf", "recipe small: schedule.lr: Input should be a finite number"),
        ("schedule.lr=-1", "recipe small: schedule.lr: Input should be greater than 0"),
        ("schedule.milestones=[3]", "recipe small: schedule: milestones need shape: step"),
        ("schedule.lr", 'override "schedule.lr": write KEY=VALUE'),
        ("schedule.lr.x=1", 'override "schedule.lr.x=1": lr has no keys of its own'),
        ("schedule.lr={", 'override "schedule.lr={": not valid YAML'),
    ],
)
def test_bad_overrides_are_one_clear_line(override: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load_recipe("small", [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_small_swaps_network_size_and_schedule_but_not_the_method() -> None:
    large, small = load_recipe("sphere_reid"), load_recipe("sphere_reid", ["schedule.images=100"], small=True)
    assert small.backbone == {"osnet": {"width": 0.25}}
    assert (small.input.height, small.input.width) == (128, 64)
    assert small.pretrained is None
    assert (small.head, small.loss, small.sampler) == (large.head, large.loss, large.sampler)
    assert small.schedule.images == 100  # overrides come last
    assert small.changes == ["--small", "schedule.images=100"]


def test_a_recipe_may_say_what_is_small_for_it() -> None:
    large, small = load_recipe("ise"), load_recipe("ise", small=True)
    assert (small.backbone, small.method) == ({"osnet": {"width": 0.25}}, large.method)
    assert (large.sampler["batches"], small.sampler["batches"]) == (400, 100)
    assert (large.bn_split, small.bn_split) == (4, 1)
    assert small.schedule.lr == 3.5e-4  # not that of a start from scratch


def test_pretrained_is_no_part_of_the_network() -> None:
    recipe = load_recipe("bot")
    assert recipe.pretrained == "imagenet"
    assert recipe.network()["backbone"] == {"resnet50": {"last_stride": 1}}


BOT = {0: 3.5e-6, 5: 0.00017675, 10: 3.5e-4, 39: 3.5e-4, 40: 3.5e-5, 69: 3.5e-5, 70: 3.5e-6, 119: 3.5e-6}
SPHERE_REID = {0: 5e-5, 5: 0.0002875, 10: 0.000525, 19: 0.0009525, 20: 1e-3, 79: 1e-3, 80: 1e-4, 99: 1e-4, 100: 1e-5}

JLML = {0: 1e-2, 246: 1e-2, 247: 1e-3, 369: 1e-3}


@pytest.mark.parametrize(("name", "published"), [("bot", BOT), ("sphere_reid", SPHERE_REID), ("jlml", JLML)])
def test_published_learning_rates(name: str, published: dict[int, float]) -> None:
    """From the first step of an epoch on, of however many steps."""
    schedule = load_recipe(name).schedule
    for epoch, rate in published.items():
        for batches in (1, 7, 404):
            assert schedule.rate(epoch * batches / (schedule.epochs * batches)) == pytest.approx(rate, rel=1e-9)


def test_cosine_and_exponential_schedules() -> None:
    cosine = Schedule(lr=2.0, epochs=10, warmup_epochs=1, final=0.01)
    assert cosine.rate(0.0) == pytest.approx(0.02)
    assert cosine.rate(0.05) == pytest.approx(1.01)
    assert cosine.rate(0.1) == pytest.approx(2.0)
    assert cosine.rate(0.55) == pytest.approx(1.01)
    assert cosine.rate(1.0) == pytest.approx(0.02)
    exponential = Schedule(lr=1.0, epochs=150, shape="exponential", hold_epochs=100, final=0.001)
    assert exponential.rate(0.5) == 1.0
    assert exponential.rate(125 / 150) == pytest.approx(0.001**0.5)
    assert exponential.rate(1.0) == pytest.approx(0.001)


def test_unknown_recipe() -> None:
    with pytest.raises(UserError, match='recipe "smal": no such recipe or file; did you mean "small"'):
        load_recipe("smal")


def test_a_file_that_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("just words")
    with pytest.raises(UserError, match="keys and values expected"):
        load_recipe(tmp_path / "a.yaml")


def test_yaml_round_trip(tmp_path: Path) -> None:
    recipe = load_recipe("small", ["schedule.images=1000"])
    (tmp_path / "again.yaml").write_text(recipe.to_yaml())
    assert load_recipe(tmp_path / "again.yaml") == recipe
