from pathlib import Path

import pytest

from benchmarks import supervised, unsupervised
from benchmarks.method_rows import Row
from training.recipe import load_recipe

ROWS = [*supervised.ROWS, supervised.BEST, *unsupervised.ROWS, unsupervised.LABELS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_is_a_recipe_with_changes_that_it_takes(row: Row) -> None:
    changes, spec = row.filled({"market": Path("m"), "start": Path("s"), "footage": Path("f")})
    recipe = load_recipe(row.recipe, changes, small=row.small)
    assert spec in ("market_500_251:m", "footage:f")
    assert recipe.start in (None, "s")
    assert "{market}" not in row.command


def test_only_placeholders_are_filled_in() -> None:
    row = Row("a", "A", "triplet", ("loss={triplet_all: {}}",), ("start={start}",))
    assert row.filled({"start": Path("x"), "market": Path("y")}) == (
        ["start=x", "loss={triplet_all: {}}"],
        "market_500_251:y",
    )
    assert "start=START --set 'loss={triplet_all: {}}' --data market_500_251:MARKET" in row.command
