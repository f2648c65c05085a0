import json
from pathlib import Path

import pytest

from benchmarks import run_all
from benchmarks.machine import machine
from benchmarks.run_all import BENCHMARKS, Benchmark, main
from benchmarks.summary import LINES

SMALL = Benchmark(1, "--rows 500 --dim 16 --distributions people --queries 2")
BROKEN = Benchmark(1, "--rows many")


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for results in place of docs/results, and no pages after them."""
    monkeypatch.setattr(run_all, "DOCS", tmp_path)
    monkeypatch.setattr(run_all, "PAGES", ())
    return tmp_path


@pytest.mark.slow
def test_one_that_fails_is_said_and_the_others_still_run(
    results: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_all, "BENCHMARKS", BENCHMARKS | {"users": BROKEN, "search": SMALL})
    (results / "users.json").write_text('{"rows": 7}')
    assert main(["--only", "users,search"]) == 1
    said = capfd.readouterr().out
    assert "users: failed, exit code 2; its old result stays" in said
    assert "1 benchmark measured, 1 failed" in said
    assert json.loads((results / "users.json").read_text()) == {"rows": 7}
    found = json.loads((results / "search.json").read_text())
    assert found["results"][0]["rows"] == 500
    assert found["run"]["seconds"] > 0
    assert found["command"] == f"python -m benchmarks.search {SMALL.options}"
    assert [file.name for file in results.iterdir() if file.suffix != ".json"] == []


@pytest.mark.slow
def test_what_was_measured_with_this_commit_on_such_a_machine_is_not_run_again(
    results: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_all, "measured_commit", lambda: "abc1234")
    monkeypatch.setattr(run_all, "BENCHMARKS", BENCHMARKS | {"search": BROKEN})
    file = results / "search.json"
    file.write_text(json.dumps({"machine": machine(), "run": {"commit": "abc1234", "seconds": 600}}))
    assert main(["--only", "search"]) == 0
    assert "search: not rerun, its result is of this commit, abc1234" in capfd.readouterr().out
    assert main(["--only", "search", "--again"]) == 1
    file.write_text(json.dumps({"machine": machine() | {"processor": "another"}, "run": {"commit": "abc1234"}}))
    assert main(["--only", "search"]) == 1


def test_changes_in_no_commit_are_never_taken_for_one(
    results: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_all, "_git", lambda command, *_: " M reidapp/box.py" if command == "status" else "abc1234")
    (results / "search.json").write_text(json.dumps({"machine": machine(), "run": {"commit": "abc1234"}}))
    assert main(["--only", "search", "--list"]) == 0
    assert "to run" in capfd.readouterr().out


def test_what_lacks_its_peer_or_its_data_is_said_and_left(
    results: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "peers" / "torchreid").mkdir(parents=True)
    (results / "metrics.json").write_text('{"queries": 3368}')
    assert main(["--only", "metrics,training_step", "--peers", str(tmp_path / "peers")]) == 0
    said = capfd.readouterr().out
    assert "metrics: not rerun, it needs PEERS/fast-reid, PEERS/reid; its old result stays" in said
    assert "training_step: not rerun, it needs MARKET=DIR; it has no result yet" in said
    assert (results / "metrics.json").read_text() == '{"queries": 3368}'


def test_a_command_has_no_folder_of_this_machine() -> None:
    places = {"detector": "yolox:/somewhere/nano.onnx", "market": "/data/market", "torchreid": "/peers/torchreid"}
    said = {name: benchmark.said(name, places) for name, benchmark in BENCHMARKS.items()}
    assert said["indexing"] == "python -m benchmarks.indexing --detector yolox:nano.onnx"
    assert said["training_step"] == (
        "python -m benchmarks.training_step --data market_500_251:MARKET --torchreid TORCHREID"
    )
    assert said["users"] == "python -m benchmarks.users"


def test_the_list_says_how_long_each_takes(results: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (results / "decoding.json").write_text('{"run": {"seconds": 720}}')
    assert main(["--list", "--only", "decoding,indexing"]) == 0
    decoding, indexing, total = capfd.readouterr().out.splitlines()
    assert "12 min  to run" in decoding
    assert "it needs DETECTOR=yolox:FILE" in indexing
    assert total == "about 0.2 hours"


def test_every_line_of_the_table_has_its_benchmark() -> None:
    assert list(BENCHMARKS) == list(dict.fromkeys(line.file for line in LINES))


@pytest.mark.parametrize(
    ("wrong", "said"), [(["--only", "serch"], "--only serch: no such benchmark"), (["--peers", "no/folder"], "no such")]
)
def test_a_wrong_option_is_one_line(wrong: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(wrong)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
