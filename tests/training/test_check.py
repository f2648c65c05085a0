"""`reidapp train --show` checks a recipe as training does, without data."""

import re

import pytest

from reidapp.errors import UserError
from training.engine import check
from training.recipe import kinds, list_recipes, load_recipe


@pytest.mark.slow
@pytest.mark.parametrize("name", list_recipes())
def test_shipped_recipes_pass(name: str) -> None:
    check(load_recipe(name, small=True))


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("bot", "loss.triplet.margn=0.5", 'loss.triplet: unknown key "margn"; did you mean "margin"?'),
        ("bot", "loss.triplet.margin=wide", "loss.triplet: margin: "),
        ("bot", "loss.tripletta={}", 'losses: unknown name "tripletta"; did you mean "triplet"?'),
        ("bot", "loss.triplet.on=feature", 'loss.triplet: no output "feature"; did you mean "features"?'),
        ("bot", "sampler.images=1", "loss.triplet: it compares the images of a batch"),
        ("bot", "head={bnnek: {}}", 'heads: unknown name "bnnek"; did you mean "bnneck"?'),
        ("bot", "augmentation.flipp=0.5", 'augmentation: unknown key "flipp"'),
        ("bot", "optimizer={sgd: {momentom: 0.9}}", 'unknown key "momentom"'),
        ("spcl", "method.spcl.clustering={dbscan: {epz: 0.6}}", 'method.clustering.dbscan: unknown key "epz"'),
        ("spcl", "loss.triplet={}", "method spcl has a loss of its own"),
    ],
)
def test_what_training_would_refuse_is_refused(name: str, change: str, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        check(load_recipe(name, [change], small=True))


def test_large_batches_and_people_without_identity_are_no_fault() -> None:
    check(load_recipe("oim", ["sampler.identities=128", "sampler.unlabelled=16"], small=True))


def test_every_recipe_is_of_one_kind() -> None:
    found = kinds()
    assert sorted(name for names in found.values() for name in names) == list_recipes()
    for kind, names in found.items():
        methods = {next(iter(load_recipe(name).method)) for name in names}
        assert names
        assert ("supervised" in methods) == (kind == "labelled crops")
        assert (methods & {"dgd", "cycas"} != set()) == (
            kind in ("labelled crops of several data sets", "whole frames")
        )
