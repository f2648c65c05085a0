import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import drawing, figures
from benchmarks.method_rows import DOCS

DRAWN = {"speed.svg": figures.draw_speed, "calibration.svg": figures.draw_calibration, "cmc.svg": figures.draw_cmc}


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(drawing, "FIGURES", tmp_path)
    return tmp_path


@pytest.mark.parametrize(("name", "draw"), DRAWN.items())
def test_the_pictures_of_the_docs_say_what_the_files_say(name: str, draw: Callable[[], None], out: Path) -> None:
    draw()
    assert words(out / name) == words(DOCS / "figures" / name)


def test_a_peer_that_was_not_run_has_no_bar(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "DOCS", tmp_path)
    found = json.loads((DOCS / "metrics.json").read_text("utf-8"))
    del found["rows"]["roboflow reid"]
    (tmp_path / "metrics.json").write_text(json.dumps(found))
    figures.draw_speed()
    labels = [word for word in words(out / "speed.svg") if word.startswith("CMC")]
    assert len(labels) == 4
    assert "CMC, mAP, mINP: reid" not in labels


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


def words(file: Path) -> list[str]:
    """All that is written in a drawing."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", file.read_text("utf-8"))
