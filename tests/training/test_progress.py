import json
import time
from pathlib import Path

import pytest

from training.progress import Lines, Log, Notes


def test_as_json_every_line_is_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    notes = Notes(lines=True)
    notes.say("it begins")
    for _ in range(2):
        notes.warn("poor light", "epoch 3: ")
    with notes.bar("training", 10, quiet=False, completed=4) as advance:
        advance(2, "2/5 epochs")
        advance(1)  # within the same second: not shown
        advance(3)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert [json.loads(line) for line in printed.err.splitlines()] == [
        {"note": "it begins"},
        {"warning": "epoch 3: poor light"},
        {"step": "training", "done": 6, "total": 10, "text": "2/5 epochs"},
        {"step": "training", "done": 10, "total": 10, "text": "2/5 epochs"},
    ]
    assert notes.warnings == ["poor light"]


def test_a_log_gets_a_line_more_and_more_seldom(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with Notes().bar("training", 10_000, quiet=False) as advance:
        for second in range(3600):
            now = float(second)
            advance(1, f"minute {second // 60}")
    lines = capsys.readouterr().err.splitlines()
    assert lines[:4] == [
        "training: 0%  minute 0",
        "training: 1%  minute 1",
        "training: 2%  minute 3",
        "training: 5%  minute 7",
    ]
    assert len(lines) == 9  # after ten minutes each ten


@pytest.mark.parametrize("lines", [False, True])
def test_a_silent_process_shows_nothing_but_remembers(
    lines: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = Notes(silent=True, lines=lines)
    notes.say("it begins")
    notes.warn("poor light")
    monkeypatch.setattr("training.progress.FIRST_LINE_S", 0.0)
    with notes.bar("training", 10, quiet=False) as advance:
        advance(10)
    assert capsys.readouterr() == ("", "")
    assert notes.warnings == ["poor light"]


def test_of_a_download_whose_size_nobody_knows_it_is_said_how_much_is_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.progress.FIRST_LINE_S", 0.0)
    Log("pulling")(5.0, None)
    Lines("pulling")(5.0, None)
    assert capsys.readouterr().err.splitlines() == [
        "pulling: 5",
        '{"step": "pulling", "done": 5.0, "total": null, "text": ""}',
    ]


def test_the_first_images_left_out_are_named_and_the_list_of_all() -> None:
    skipped = [(Path(f"{number}.jpg"), "no image") for number in range(6)]
    for count, ends in ((5, "4.jpg: no image"), (6, "4.jpg: no image; all are in run/left_out.txt")):
        notes = Notes(silent=True)
        notes.warn_left_out(skipped[:count], Path("run/left_out.txt"))
        assert notes.warnings[0].startswith(f"{count} images left out: 0.jpg: no image; 1.jpg")
        assert notes.warnings[0].endswith(ends)
