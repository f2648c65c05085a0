import json
from pathlib import Path

import pytest

from training.progress import Notes


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


@pytest.mark.parametrize("lines", [False, True])
def test_a_silent_process_shows_nothing_but_remembers(lines: bool, capsys: pytest.CaptureFixture[str]) -> None:
    notes = Notes(silent=True, lines=lines)
    notes.say("it begins")
    notes.warn("poor light")
    assert capsys.readouterr() == ("", "")
    assert notes.warnings == ["poor light"]


def test_the_first_images_left_out_are_named_and_the_list_of_all() -> None:
    skipped = [(Path(f"{number}.jpg"), "no image") for number in range(6)]
    for count, ends in ((5, "4.jpg: no image"), (6, "4.jpg: no image; all are in run/left_out.txt")):
        notes = Notes(silent=True)
        notes.warn_left_out(skipped[:count], Path("run/left_out.txt"))
        assert notes.warnings[0].startswith(f"{count} images left out: 0.jpg: no image; 1.jpg")
        assert notes.warnings[0].endswith(ends)
