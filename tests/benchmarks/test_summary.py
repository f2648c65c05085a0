import json
from collections.abc import Callable

import pytest

from benchmarks import supervised, unsupervised
from benchmarks.method_rows import DOCS
from benchmarks.summary import LINES, Line, main, table_line


def test_a_benchmark_without_a_file_is_not_run() -> None:
    assert "| not run |" in table_line(Line("searching", "no_such_benchmark", "≤ 1 s", lambda found: ("", "", True)))


def test_a_goal_that_was_missed_is_shown() -> None:
    line = Line("killing", "killed", "none", lambda found: (str(found["kills"]), "", False))
    assert table_line(line) == "| [killing](killed.json) | 50 |  | none | **no** |"


@pytest.mark.parametrize("file", ["reranking", "training_step"])
def test_a_peer_that_was_not_run_is_said(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = json.loads((DOCS / f"{file}.json").read_text("utf-8"))
    if file == "reranking":
        del found["rows"]["torchreid"]
    else:
        found["rows"][-1]["times_torchreid"] = {}
    monkeypatch.setattr("pathlib.Path.read_text", lambda *_: json.dumps(found))
    (line,) = (line for line in LINES if line.file == file)
    assert "| torchreid not run |" in table_line(line)
    assert table_line(line).endswith("| |") or table_line(line).endswith("|  |")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "write"), [("benchmarks", main), ("supervised", supervised.render), ("unsupervised", unsupervised.render)]
)
def test_pages_say_what_the_files_say(page: str, write: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    written: dict[str, str] = {}
    monkeypatch.setattr("pathlib.Path.write_text", lambda self, text, *_: written.update({self.name: text}))
    write()
    assert written == {f"{page}.md": (DOCS / f"{page}.md").read_text("utf-8")}
