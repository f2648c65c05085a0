"""What a worker says that is not set up, and what a machine without Ray says."""

import sys
from pathlib import Path
from typing import Any

import pytest

import reidapp
from reidapp import cli
from reidapp.errors import ReidappError
from reidapp.footage import cluster
from reidapp.footage.analysis import ChunkTask
from reidapp.settings import IndexSettings


def test_a_worker_that_is_not_set_up_says_what_is_missing() -> None:
    facts: Any = None
    unseen = ChunkTask(Path("/nowhere/a.mp4"), 0, facts, IndexSettings(zone="UTC"))
    with pytest.raises(ReidappError, match=r"/nowhere/a\.mp4: .* cannot read it; its folder must be there"):
        cluster._analyse([None], reidapp.__version__, unseen)
    with pytest.raises(ReidappError, match=r"has reidapp .*, and not 0\.0; install the same everywhere"):
        cluster._analyse([None], "0.0", unseen)


def test_without_ray_one_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr(sys, "argv", ["reidapp", "index", str(tmp_path), "-g", str(tmp_path / "g"), "--ray", "auto"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "reidapp: ray is not installed; `pip install 'reidapp[ray]'`\n"
    assert not (tmp_path / "g").exists()
