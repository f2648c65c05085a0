"""What the documentation promises and counts is what there is."""

import json
import re
from typing import Any

import numpy as np
import pytest

from docs.code_blocks import ROOT, pages

DOCS = ROOT / "docs"


@pytest.mark.parametrize("page", ["faults.md", "security.md", "../CONTRIBUTING.md"])
def test_what_holds_a_promise_is_there(page: str) -> None:
    """A file that is named without its folder is in the one of the file before it, or lies anywhere."""
    named = re.findall(r"`(?:tests/)?([\w./]*test_[a-z0-9_]+\.py)`", (DOCS / page).read_text("utf-8"))
    assert len(named) > 10
    tests = {path.relative_to(ROOT / "tests").as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    assert [name for name in named if not any(path == name or path.endswith(f"/{name}") for path in tests)] == []


def test_what_falls_short_is_what_was_measured() -> None:
    """By figures that stand in the rows of what was measured, which are made of the results."""
    table = (DOCS / "limits.md").read_text("utf-8").partition("## Short of its goals")[2].partition("\n## ")[0]
    said = [row.split("|")[2].strip() for row in table.splitlines() if row.startswith("|")][2:]
    measured = "\n".join(
        row for row in (DOCS / "results/benchmarks.md").read_text("utf-8").splitlines() if row.startswith("|")
    )
    assert len(said) > 4
    assert [figure for figure in said if figure not in measured] == []


def test_nobody_is_told_to_install_reidapp_by_its_name() -> None:
    """It is on no package index, where anybody could take the name."""
    told = [
        *pages(),
        *(file for package in ("reidapp", "training", "models", "ui") for file in (ROOT / package).rglob("*.py")),
    ]
    assert [str(file) for file in told if "reidapp[" in file.read_text("utf-8")] == []


def test_how_often_it_fails_is_what_was_measured() -> None:
    result = json.loads((DOCS / "results/bench_footage.json").read_text("utf-8"))
    mean, found = result["mean"], result["mean"]["detection"]
    rank1 = [world["retrieval"]["rank1"] for world in result["worlds"]]
    failures = {
        "the first hit from another camera": 1 - mean["retrieval"]["rank1"],
        "somebody of whom at least half": 1 - found["recall"],
        "… 64 to 128 pixels": 1 - found["recall_by_height"]["64–128 px"]["recall"],
        "… 128 to 192 pixels": 1 - found["recall_by_height"]["128–192 px"]["recall"],
        "… 192 pixels and more": 1 - found["recall_by_height"]["192 and more px"]["recall"],
        "nine tenths and more": 1 - found["recall_by_visible"]["90% and more visible"]["recall"],
        "half to nine tenths": 1 - found["recall_by_visible"]["50%–90% visible"]["recall"],
        "less than half": 1 - found["recall_by_visible"]["0%–50% visible"]["recall"],
        "a detection shows nobody": 1 - found["precision"],
        "a whole stay": mean["tracklets"]["missed"],
        "a tracklet has several": mean["tracklets"]["mixed"],
        "a tracklet is of nobody": mean["tracklets"]["of_nobody"],
    }
    text = (DOCS / "responsible-use.md").read_text("utf-8")
    for beginning, share in failures.items():
        row = re.search(rf"^\| {re.escape(beginning)}.*\| ([\d.]+) %", text, re.MULTILINE)
        assert row, beginning
        assert float(row[1]) == pytest.approx(100 * share, abs=0.06), beginning
    assert ", ".join(f"{100 * (1 - each):.1f}" for each in rank1) in text


def test_how_often_it_fails_by_lighting_and_by_camera_is_what_was_measured() -> None:
    groups = json.loads((DOCS / "results/bench_footage.json").read_text("utf-8"))["groups"]
    text = (DOCS / "responsible-use.md").read_text("utf-8")

    def failures(group: dict[str, Any]) -> list[tuple[float, float, float]]:
        missed = group["missed"]
        ways = [(missed["value"], missed["low"], missed["high"])]
        for name in ("rank1", "recall"):
            found = group[name]
            ways.append((1 - found["value"], 1 - found["high"], 1 - found["low"]))
        return [ways[1], ways[0], ways[2]]

    for group in groups["lighting"]:
        cells = [f"{100 * rate:.1f} ({100 * low:.0f} to {100 * high:.0f})" for rate, low, high in failures(group)]
        assert " | ".join([f"| {group['name']}", str(group["cameras"]), *cells]) + " |" in text
    rates = np.array([[rate for rate, _, _ in failures(group)] for group in groups["camera"]])
    for least, most in zip(100 * rates.min(axis=0), 100 * rates.max(axis=0), strict=True):
        assert re.search(rf"{least:.1f} to\s{most:.1f} %", text)


def test_what_adapting_gains_is_what_was_measured() -> None:
    result = json.loads((DOCS / "results/adapting.json").read_text("utf-8"))
    told = re.findall(r"^\| (unseen|usual), (\d) \| (.+) \|$", (DOCS / "adapting.md").read_text("utf-8"), re.MULTILINE)
    assert len(told) == len(result["worlds"])
    for (looks, number, cells), world in zip(told, result["worlds"], strict=True):
        assert (looks == "unseen", int(number)) == (world["unseen_looks"], world["world"])
        scores = [f"{100 * world[way]['mAP']:.1f}" for way in ("before", "quick", "ise", "cluster_contrast")]
        assert cells.split(" | ") == [str(world["crops"]), *scores]
