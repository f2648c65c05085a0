"""`reidapp models` as a user meets it: a server on this machine, exit codes, and what is left on the disk."""

import dataclasses
import functools
import hashlib
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from models import catalogue, zoo
from reidapp import detector_files, doctor, registry
from reidapp.cli import app
from reidapp.detector_files import Record, releases
from reidapp.download import download
from reidapp.errors import UserError
from reidapp.footage.detection import open_detector
from reidapp.model_card import METADATA_KEY, ModelCard, read_card
from tests.reidapp.commands import ROOT, as_json, refused, reidapp
from tests.reidapp.file_server import Server


def graph_file(inputs: dict[str, Any], outputs: dict[str, Any], card: ModelCard | None = None) -> bytes:
    """An ONNX file whose outputs are constants: {name: (type, shape)} and {name: value}."""
    nodes = [
        helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(value))
        for name, value in outputs.items()
    ]
    types = [helper.make_tensor_value_info(name, TensorProto.FLOAT, v.shape) for name, v in outputs.items()]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info(n, *t) for n, t in inputs.items()], types)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if card:
        helper.set_model_props(model, {"another": "entry", METADATA_KEY: card.to_json()})
    data: bytes = model.SerializeToString()
    return data


def yolox(seed: int = 0) -> bytes:
    """A detector in YOLOX's form that sees nobody."""
    grid = np.random.default_rng(seed).uniform(0, 0.1, (1, 84, 85)).astype(np.float32)
    return graph_file({"images": (TensorProto.FLOAT, [1, 3, 64, 64])}, {"output": grid})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of pulled detectors, of this test only."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    place = detector_files.default_folder()
    assert place.is_relative_to(tmp_path)
    return place


@pytest.fixture
def release(server: Server, folder: Path) -> Server:
    """The server, with a detector to pull from it."""
    server.data = yolox()
    server.stop_after = len(server.data)
    return server


def left(folder: Path) -> set[str]:
    """All files of the folder but the locks, which stay."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"}


WHOLE = {"yolox-nano.onnx", "yolox-nano.json"}


def test_pulled_listed_verified_used(release: Server, folder: Path) -> None:
    digest = hashlib.sha256(release.data).hexdigest()
    done = reidapp("models", "pull", "yolox-nano", "--from", release.url)
    assert done.returncode == 0, done.stderr
    assert f"sha256 {digest}, recorded 20" in done.stdout
    assert "--detector yolox-nano" in done.stdout
    assert left(folder) == WHOLE
    record = Record.read(folder, "yolox-nano")
    assert record is not None
    assert (record.url, record.size, record.sha256) == (release.url, len(release.data), digest)

    again = as_json("models", "pull", "yolox-nano", "--from", release.url)
    assert again["fetched"] is False
    assert len(release.asked) == 1
    entry = {e.name: e for e in catalogue.entries()}["yolox-nano"]
    assert (entry.state, entry.sha256, entry.where) == ("pulled", digest, str(folder / "yolox-nano.onnx"))
    facts = catalogue.info("yolox-nano")
    assert facts["recorded"]["url"] == release.url
    assert facts["inputs"] == {"images": "tensor(float) [1, 3, 64, 64]"}
    assert "yolox-nano: sha256" in reidapp("models", "verify").stdout
    assert "yolox-nano in" in doctor.check_detectors().detail
    assert open_detector("yolox-nano").detect([np.zeros((8, 8, 3), np.uint8)]) == [[]]
    line = refused(2, "index", folder / "nothing", "--gallery", folder / "g", "--detector", "yolox-nano")
    assert line == f"reidapp: {folder / 'nothing'}: no such file or folder"  # the detector was found


def test_a_password_is_not_recorded(release: Server, folder: Path) -> None:
    url = release.url.replace("//", "//me:secret@")
    done = reidapp("models", "pull", "yolox-nano", "--from", url)
    assert done.returncode == 0, done.stderr
    record = Record.read(folder, "yolox-nano")
    assert record is not None
    assert record.url == release.url
    assert "secret" not in done.stdout + done.stderr + (folder / "yolox-nano.json").read_text()


def test_what_cannot_be_the_detector_is_not_fetched(release: Server, folder: Path) -> None:
    release.data, release.length = bytes(16_000_000), False
    release.stop_after = len(release.data)
    with pytest.raises(UserError, match=r"not fetched: more than 14\.8 MB; is that the right file"):
        catalogue.pull("yolox-nano", url=release.url)
    assert left(folder) == set()


def test_what_is_not_pulled_is_not_there(folder: Path) -> None:
    line = refused(2, "index", "x", "-g", "y", "--detector", "yolox-nano")
    assert line.endswith("not on this machine; `reidapp models pull yolox-nano` fetches it")
    with pytest.raises(UserError, match="`reidapp models pull yolox-nano` fetches it"):
        catalogue.verify("yolox-nano")
    assert "models pull yolox-nano" in doctor.check_detectors().detail
    assert not folder.exists()


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_ended_half_way(release: Server, folder: Path, how: signal.Signals) -> None:
    release.stop_after, release.stalls = 20_000, True
    partial = folder / "partial-downloads" / "yolox-nano.onnx"
    command = [sys.executable, "-m", "reidapp", "models", "pull", "yolox-nano", "--from", release.url]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    while not (partial.is_file() and partial.stat().st_size == 20_000):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(how)
    assert process.wait() == (130 if how == signal.SIGINT else -how)

    assert left(folder) == {"partial-downloads/yolox-nano.onnx", "partial-downloads/yolox-nano.onnx.json"}
    assert catalogue.info("yolox-nano")["state"] == "to pull"
    with pytest.raises(UserError, match="models pull yolox-nano"):
        open_detector("yolox-nano")

    release.stop_after, release.stalls = len(release.data), False
    assert as_json("models", "pull", "yolox-nano", "--from", release.url)["fetched"] is True
    assert release.asked[1:] == ["bytes=20000-"]
    assert left(folder) == WHOLE
    assert (folder / "yolox-nano.onnx").read_bytes() == release.data


def test_faults_are_one_line_and_leave_nothing(release: Server, folder: Path) -> None:
    release.status = 404
    assert "the server answers 404 Not Found" in refused(2, "models", "pull", "yolox-nano", "--from", release.url)
    release.status = 200
    for data in (b"<html>Please sign in to this network</html>", yolox()[:20_000]):
        release.data = data
        with pytest.raises(UserError, match="not kept: what came is no detector that runs here") as caught:
            catalogue.pull("yolox-nano", url=release.url)
        assert "\n" not in str(caught.value)
    assert left(folder) == set()


@pytest.mark.parametrize(
    ("name", "url", "words"),
    [
        ("yolo-nano", None, 'nothing to pull by that name; did you mean "yolox-nano"?'),
        ("small", None, "comes with reidapp, there is nothing to pull"),
        ("hog", None, "comes with reidapp, there is nothing to pull"),
        ("ssdlite", "http://127.0.0.1/x", "fetched by torchvision from its own address; leave it out"),
    ],
)
def test_what_cannot_be_pulled(name: str, url: str | None, words: str, folder: Path) -> None:
    with pytest.raises(UserError) as caught:
        catalogue.pull(name, url=url)
    assert words in str(caught.value)
    assert not folder.exists()


def test_silence_leaves_what_can_be_gone_on_from(release: Server, folder: Path) -> None:
    release.stop_after, release.stalls = 10_000, True
    line = refused(2, "models", "pull", "yolox-nano", "--from", release.url, "--timeout", 0.5)
    assert "no answer within 0.5 s" in line
    assert f"kept in {folder / 'partial-downloads'}" in line


def pull_here(server: Server, **changes: Any) -> tuple[Record, bool]:
    wanted = dataclasses.replace(releases()["yolox-nano"], **changes)
    return detector_files.pull(wanted, functools.partial(download, server.url), url=server.url)


def test_other_bytes_than_the_recorded_ones(release: Server, folder: Path, tmp_path: Path) -> None:
    first, _ = pull_here(release)
    (folder / "yolox-nano.onnx").unlink()
    release.data, release.tag = yolox(seed=1), '"two"'
    for where in ([], ["--to", tmp_path / "stick"]):
        line = refused(2, "models", "pull", "yolox-nano", "--from", release.url, *where)
        assert f"{first.sha256} was recorded on {first.date[:10]}" in line
        assert str(folder / "yolox-nano.json") in line
    assert left(folder) == {"yolox-nano.json"}
    assert left(tmp_path / "stick") == set()
    release.data = yolox()
    assert pull_here(release) == (first, True)


def test_other_bytes_than_the_pinned_ones(release: Server, folder: Path) -> None:
    with pytest.raises(UserError, match=f"not kept: its sha256 is [0-9a-f]{{64}}, while {'0' * 64} is pinned"):
        pull_here(release, sha256="0" * 64)
    assert left(folder) == set()
    pull_here(release, sha256=hashlib.sha256(release.data).hexdigest())
    assert left(folder) == WHOLE


def test_a_damaged_file_is_found_and_mended(release: Server, folder: Path) -> None:
    pull_here(release)
    damaged = bytearray(release.data)
    damaged[5000] ^= 1
    (folder / "yolox-nano.onnx").write_bytes(damaged)

    done = reidapp("models", "verify", "--json")
    assert done.returncode == 2
    found = json.loads(done.stdout)
    assert [line.partition(":")[0] for line in found["sound"]] == [*zoo.names(), "hog"]
    assert "pull yolox-nano again" in found["wrong"][0]
    check = doctor.check_detectors()
    assert (check.status, check.remedy) == ("fail", "reidapp models pull yolox-nano")
    pull_here(release)
    assert "is the recorded one; runs as yolox" in catalogue.verify("yolox-nano")


def test_all_that_is_here_is_verified_whatever_is_wrong_with_some(
    release: Server, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pull_here(release)
    (folder / "yolox-nano.onnx").write_bytes(b"")
    shipped = tmp_path / "zoo"
    shutil.copytree(zoo.FOLDER, shipped)
    (shipped / "base.onnx").write_bytes(b"half a mod")
    monkeypatch.setattr(zoo, "FOLDER", shipped)
    with pytest.raises(UserError) as error:
        app(["models", "verify"], standalone_mode=False)
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == ["small", "hog"]
    assert f"{shipped / 'base.onnx'}: its sha256 is " in str(error.value)
    assert "pull yolox-nano again" in str(error.value)


def test_a_file_that_is_no_model_any_more_spoils_no_list(release: Server, folder: Path) -> None:
    pull_here(release)
    (folder / "yolox-nano.onnx").write_bytes(b"")
    entry = {e.name: e for e in catalogue.entries()}["yolox-nano"]
    assert (entry.state, entry.kind, entry.size) == ("pulled", "detector", 0)
    with pytest.raises(UserError, match=r"the recorded one is .*; pull yolox-nano again"):
        catalogue.verify("yolox-nano")


def test_a_record_that_is_none(release: Server, folder: Path) -> None:
    pull_here(release)
    (folder / "yolox-nano.json").write_text("{}")
    with pytest.raises(UserError, match="not a record of a download; delete it"):
        catalogue.verify("yolox-nano")


@pytest.mark.slow
def test_pulls_at_the_same_time_wait_for_each_other(release: Server, folder: Path) -> None:
    command = [sys.executable, "-m", "reidapp", "models", "pull", "yolox-nano", "--from", release.url]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert release.asked == [""]
    assert left(folder) == WHOLE


def test_to_another_folder(release: Server, folder: Path, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    done = reidapp("models", "pull", "yolox-nano", "--from", release.url, "--to", stick)
    assert done.returncode == 0, done.stderr
    assert f"--detector yolox:{stick / 'yolox-nano.onnx'}" in done.stdout
    assert left(stick) == WHOLE
    assert not folder.exists()
    assert "is the recorded one; runs as yolox" in catalogue.verify(str(stick / "yolox-nano.onnx"))


def test_a_folder_that_cannot_be_written(release: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = refused(1, "models", "pull", "yolox-nano", "--from", release.url, "--to", tmp_path / "file")
    assert line.endswith("Not a directory")


@pytest.mark.slow
def test_torchvision_fetches_and_the_export_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import WeightsEnum

    from tests.models.test_export_detector import lively

    def random_weights(self: WeightsEnum, **_: object) -> Any:
        assert socket.getdefaulttimeout() == 7
        return lively(str(self)).state_dict()

    monkeypatch.setattr(WeightsEnum, "get_state_dict", random_weights)
    record, fetched = catalogue.pull("ssdlite", timeout_s=7)
    assert fetched
    assert socket.getdefaulttimeout() is None
    assert left(folder) == {"ssdlite.onnx", "ssdlite.json"}
    assert record.url == releases()["ssdlite"].weights
    assert len(open_detector("ssdlite").detect([np.zeros((90, 160, 3), np.uint8)])) == 1
    assert "runs as torchvision" in catalogue.verify("ssdlite")


@pytest.mark.slow
def test_without_torch_nothing_begins(folder: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from reidapp.cli import main; main()"
    command = [sys.executable, "-c", code, "models", "pull", "ssdlite"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("reidapp: torch is not installed; this command needs `pip install '.[train]'`")
    assert not folder.exists()


# --- what ships ---


def test_shipped_models_are_the_pinned_ones_and_work(folder: Path) -> None:
    assert {f"{name}.onnx" for name in zoo.names()} == {line.split()[1] for line in zoo.PINS.read_text().splitlines()}
    for name in zoo.names():
        line = catalogue.verify(name)
        assert "is the pinned one; card readable; embeddings of length one" in line


def test_info_is_the_whole_card(folder: Path) -> None:
    facts = catalogue.info("small")
    path = zoo.path_of("small")
    card = read_card(path)
    assert card is not None
    assert facts["card"] == json.loads(card.to_json())
    assert facts["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    text = reidapp("models", "info", path).stdout
    for value in (card.training_data, card.licence, card.recipe, card.notes, facts["identity"], f"dim: {card.dim}"):
        assert value in text
    for protocol, scores in card.scores.items():
        assert protocol in text
        assert all(f"{key}: {value}" in text for key, value in scores.items())


def test_list_names_everything(folder: Path) -> None:
    text = reidapp("models", "list").stdout
    for name in (*zoo.names(), "hog", *releases()):
        assert re.search(rf"^{name} ", text, re.MULTILINE)
    assert hashlib.sha256(zoo.path_of("small").read_bytes()).hexdigest()[:12] in text


def test_a_damaged_shipped_model_spoils_no_list(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "small.onnx").write_bytes(b"half a mod")
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    entry = {e.name: e for e in catalogue.entries()}["small"]
    assert (entry.kind, entry.state) == ("model", "shipped")
    assert "damaged" in str(entry)
    with pytest.raises(UserError, match=r"the pinned one is .*; install reidapp again"):
        catalogue.verify("small")


def test_card_is_the_one_that_onnx_runtime_reads() -> None:
    path = zoo.path_of("small")
    text = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map[METADATA_KEY]
    assert read_card(path) == ModelCard.from_json(text, "")


CARD = ModelCard(name="mine", version="1", height=4, width=2, dim=3)
IMAGES = {"images": (TensorProto.UINT8, ["N", 4, 2, 3])}


def embeddings(length: float, card: ModelCard = CARD) -> bytes:
    return graph_file(IMAGES, {"embeddings": np.array([[length, 0, 0]] * 16, np.float32)}, card)


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("long", lambda: embeddings(2.0), "its embeddings are not of length one"),
        ("nan", lambda: embeddings(float("nan")), "its embeddings are not of length one"),
        ("other", lambda: embeddings(1.0, dataclasses.replace(CARD, dim=4)), "does not fit its card"),
        ("rule", lambda: embeddings(1.0, dataclasses.replace(CARD, resize="odd")), 'resize rule "odd" is unknown'),
        (
            "bare",
            lambda: graph_file(IMAGES, {"embeddings": np.eye(3, dtype=np.float32)}),
            "neither a model with a",
        ),
        ("text", lambda: b"no model", "not an ONNX model"),
    ],
)
def test_files_that_are_not_sound(name: str, make: Callable[[], bytes], words: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.onnx"
    path.write_bytes(make())
    with pytest.raises(UserError) as caught:
        catalogue.verify(str(path))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_sound_file_of_ones_own(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "mine.onnx"
    path.write_bytes(embeddings(1.0))
    assert "(none recorded to compare with); card readable" in reidapp("models", "verify", path).stdout
    bare = tmp_path / "bare.onnx"
    bare.write_bytes(yolox())
    facts = catalogue.info(str(bare))
    assert "card" not in facts
    assert facts["outputs"] == {"output": "tensor(float) [1, 84, 85]"}
    assert 'no such file, model or detector; did you mean "small"?' in refused(2, "models", "info", "smal")


def test_releases_say_what_a_user_must_know() -> None:
    for release in releases().values():
        assert bool(release.url) != bool(release.weights)
        assert release.url.startswith("https://github.com/") or release.weights
        assert release.source.startswith("https://")
        assert release.licence
        assert release.detector in registry.names("reidapp.footage.detection")
        assert re.fullmatch(r"([0-9a-f]{64})?", release.sha256)
