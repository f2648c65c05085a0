import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks import drawing, figures, scaling
from benchmarks.drawing import digest, digest_in
from benchmarks.method_rows import DOCS

FIGURES = DOCS / "figures"
DRAWN: dict[str, tuple[ModuleType, Callable[[], None]]] = {
    "speed.svg": (figures, figures.draw_speed),
    "calibration.svg": (figures, figures.draw_calibration),
    "cmc.svg": (figures, figures.draw_cmc),
    "timeline.svg": (figures, figures.draw_timeline),
    "embedding.svg": (figures, figures.draw_map),
    "scaling.svg": (scaling, scaling.draw_curves),
}
NOT_REDRAWN = {"ranked.webp"}  # its crops are in no file


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(drawing, "FIGURES", tmp_path)
    return tmp_path


def test_every_picture_of_the_docs_is_held_against_its_values() -> None:
    assert {file.name for file in FIGURES.iterdir()} == set(DRAWN) | NOT_REDRAWN


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWN)
def test_the_pictures_of_the_docs_say_what_the_files_say(name: str, out: Path) -> None:
    DRAWN[name][1]()
    assert words(out / name) == words(FIGURES / name)
    assert digest_in(out / name)
    assert digest_in(FIGURES / name) == digest_in(out / name)


def test_the_searches_of_the_docs_are_those_of_the_file() -> None:
    found = json.loads((DOCS / "gallery_figures.json").read_text("utf-8"))
    assert digest_in(FIGURES / "ranked.webp") == digest(found["ranked"])


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_of_other_values_is_told_even_if_its_words_are_the_same(
    name: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, draw = DRAWN[name]
    read = module._read
    monkeypatch.setattr(module, "_read", lambda file: a_little_more(read(file)))
    draw()
    assert digest_in(out / name) != digest_in(FIGURES / name)


def test_what_processors_compute_differently_is_no_other_value() -> None:
    assert digest([0.1 + 0.2, "a"]) == digest((0.3, "a")) != digest([0.3001, "a"])


def test_a_peer_that_was_not_run_has_no_bar(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "DOCS", tmp_path)
    found = json.loads((DOCS / "metrics.json").read_text("utf-8"))
    del found["rows"]["roboflow reid"]
    (tmp_path / "metrics.json").write_text(json.dumps(found))
    figures.draw_speed()
    labels = [word for word in words(out / "speed.svg") if word.startswith("CMC")]
    assert len(labels) == 4
    assert "CMC, mAP, mINP: reid" not in labels


@pytest.mark.slow
def test_bins_of_p_match_are_drawn_where_a_result_has_them(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "DOCS", tmp_path)
    found = json.loads((DOCS / "calibration.json").read_text("utf-8"))
    for row in found["rows"].values():
        row["reliability"] = [[0.1, 0.12], [0.8, 0.75]]
    (tmp_path / "calibration.json").write_text(json.dumps(found))
    figures.draw_calibration()
    assert "P(match) and what was right" in words(out / "calibration.svg")


@pytest.mark.slow
def test_the_same_figures_give_the_same_bytes(out: Path) -> None:
    figures.draw_speed()
    first = shutil.copy(out / "speed.svg", out / "first.svg")
    figures.draw_speed()
    assert (out / "speed.svg").read_bytes() == Path(first).read_bytes()


@pytest.mark.parametrize(
    ("options", "said"), [(["--market", "no/such"], "no/such: no such folder"), (["--runs", "."], "needs --market")]
)
def test_a_wrong_option_is_one_line(
    options: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["figures", *options])
    with pytest.raises(SystemExit) as stopped:
        figures.main()
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


def a_little_more(values: Any) -> Any:
    """All floats a thousandth larger."""
    if isinstance(values, float):
        return values * 1.001
    if isinstance(values, dict):
        return {name: a_little_more(value) for name, value in values.items()}
    return [a_little_more(value) for value in values] if isinstance(values, list) else values


def words(file: Path) -> list[str]:
    """All that is written in a drawing."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", file.read_text("utf-8"))
