from pathlib import Path

import pytest

from reidapp.errors import UserError
from training.recipe import list_recipes, load_recipe


@pytest.mark.parametrize("name", list_recipes())
def test_shipped_recipes_are_valid(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.loss


def test_overrides() -> None:
    recipe = load_recipe(
        "small",
        [
            "schedule.epochs=5",
            "schedule.lr=1e-3",
            "loss.triplet=null",
            "loss.identity={on: logits}",
            "backbone.osnet.width=0.5",
        ],
    )
    assert recipe.schedule.epochs == 5
    assert recipe.schedule.lr == 0.001
    assert set(recipe.loss) == {"sphere", "identity"}
    assert recipe.loss["identity"] == {"on": "logits"}  # not YAML 1.1's true
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
        ("schedule.epoch=5", 'small.yaml: unknown key "epoch" under schedule; did you mean "epochs"?'),
        ("sheduel.lr=1", 'small.yaml: unknown key "sheduel"; did you mean "schedule"?'),
        ("schedule.lr=fast", "small.yaml: schedule.lr: Input should be a valid number"),
        ("optimizer.sgd={}", "small.yaml: optimizer: a name, or one name with its options, expected"),
        ("schedule.lr=-1", "small.yaml: schedule.lr: Input should be greater than 0"),
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
