"""Chunks on a Ray cluster of three nodes, which are processes of this machine; one of them is killed at work."""

import functools
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reidapp
from reidapp import cli
from reidapp.errors import ReidappError, UserError
from reidapp.footage import cluster
from reidapp.footage.analysis import ChunkTask
from reidapp.footage.cluster import Cluster
from reidapp.footage.decoding import probe
from reidapp.footage.detection import Detection
from reidapp.footage.indexing import IndexReport, find_footage, index_footage
from reidapp.gallery.store import Gallery
from reidapp.settings import IndexSettings
from tests.small_gallery import FPS, ColourEmbedder, ShirtDetector, Walk, frame_at, write_video

SETTINGS = IndexSettings(zone="UTC", chunk_s=2.0)
AGENT_PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
HEAD = {"num_cpus": 1, "num_gpus": 1, "include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
NAMES = ("gate/2026-03-02_10-00-00.mp4", "yard/2026-03-02_10-05-00.mp4")


@dataclass(frozen=True)
class Shirts:
    """A detector of shirts that notes on which nodes it is asked, and comes to no end on one of them.

    Attributes:
        doomed: id of that node.
        crashes: a worker that sees anybody dies.
    """

    notes: Path
    doomed: str = ""
    crashes: bool = False

    def open(self) -> tuple["Noting", ColourEmbedder]:
        return Noting(self), ColourEmbedder()


class Noting(ShirtDetector):
    def __init__(self, shirts: Shirts) -> None:
        self.shirts = shirts

    def detect(self, frames: Sequence[np.ndarray]) -> list[list[Detection]]:
        import ray

        node = ray.get_runtime_context().get_node_id()
        (self.shirts.notes / node).touch()
        if node == self.shirts.doomed:
            time.sleep(600)
        if self.shirts.crashes and any(super().detect(frames)):
            os._exit(1)
        return super().detect(frames)


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody walks before the first camera, nobody before the second."""
    folder = tmp_path_factory.mktemp("footage")
    for name, walks in zip(NAMES, ([Walk("red", 1, 7, 0.1, 0.9)], []), strict=True):
        (folder / name).parent.mkdir()
        write_video(folder / name, [frame_at(walks, i / FPS) for i in range(8 * FPS)])
    return folder


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    from ray._private import services

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setattr(services, "start_ray_process", knowing_its_agent(services.start_ray_process))
        ray_cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=HEAD | ports())
        yield ray_cluster
        ray_cluster.shutdown()


def knowing_its_agent(start: Callable[..., Any]) -> Callable[..., Any]:
    """A node gives up when its agent has not told its ports within 15 seconds, which a busy machine may take (Ray's
    issue 65983). It waits for none that it knows; Ray tells it all but one."""

    def started(command: list[str], kind: str, *args: Any, **kwargs: Any) -> Any:
        if kind == "raylet":
            (port,) = re.findall(r"--listen-port=(\d+)", " ".join(command))
            command = [*command, f"--dashboard_agent_listen_port={port}"]
        return start(command, kind, *args, **kwargs)

    return started


def ports() -> dict[str, int]:
    sockets = {name: socket.create_server(("", 0)) for name in AGENT_PORTS}
    chosen = {name: listening.getsockname()[1] for name, listening in sockets.items()}
    for listening in sockets.values():
        listening.close()
    return chosen


def index(footage: Path, folder: Path, elsewhere: Cluster | None = None) -> tuple[Gallery, IndexReport]:
    embedder = ColourEmbedder()
    gallery = Gallery.create(folder, Path(__file__), embedder.card, embedder.identity)
    found = find_footage(footage, SETTINGS)
    return gallery, index_footage(found, gallery, embedder, ShirtDetector(), SETTINGS, elsewhere=elsewhere)


def contents(gallery: Gallery) -> dict[str, list]:
    tables = ("camera", "video", "chunk", "tracklet", "crop", "block")
    with gallery.engine.connect() as connection:
        rows = {t: [tuple(r) for r in connection.exec_driver_sql(f"SELECT * FROM {t} ORDER BY 1, 2")] for t in tables}
    stored = sorted(p for kind in ("crops", "vectors") for p in (gallery.path / kind).rglob("*") if p.is_file())
    return rows | {"files": [(str(p.relative_to(gallery.path)), p.read_bytes()) for p in stored]}


@pytest.mark.slow
def test_a_node_that_is_killed_at_work_changes_nothing(nodes: Any, footage: Path, tmp_path: Path) -> None:
    whole, _ = index(footage, tmp_path / "whole")
    doomed = nodes.add_node(num_cpus=1, **ports())
    nodes.add_node(num_cpus=1, **ports())
    nodes.wait_for_nodes()

    def kill() -> None:
        while not (tmp_path / doomed.node_id).exists():
            time.sleep(0.1)
        nodes.remove_node(doomed, allow_graceful=False)

    killer = threading.Thread(target=kill, daemon=True)
    with Cluster(nodes.address, "cpu") as elsewhere:
        assert str(elsewhere) == "3 machines, 3 cores"
        elsewhere.send(Shirts(tmp_path, doomed.node_id))
        killer.start()
        gallery, report = index(footage, tmp_path / "gallery", elsewhere)
    killer.join(60)
    assert not killer.is_alive()
    assert (report.videos, report.skipped) == (2, [])
    assert contents(gallery) == contents(whole)
    assert len(contents(whole)["crop"]) >= 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("chunk")]


@pytest.mark.slow
def test_a_recording_that_workers_crash_on_is_left_out(
    nodes: Any, footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_RETRIES", 0)
    with Cluster(nodes.address, "cpu") as elsewhere:
        elsewhere.send(Shirts(tmp_path, crashes=True))
        _, report = index(footage, tmp_path / "gallery", elsewhere)
    assert report.videos == 1
    assert [(entry.file, "crashed while they read it" in entry.reason) for entry in report.skipped] == [
        (NAMES[0], True)
    ]


@pytest.mark.slow
def test_gpus_are_shared_and_faults_keep_their_words(nodes: Any, footage: Path, tmp_path: Path) -> None:
    path = footage / NAMES[0]
    with Cluster(nodes.address) as elsewhere:
        analysed = functools.partial(elsewhere.analyse, at=lambda time_s: None)
        assert (elsewhere.provider, elsewhere.gpus) == ("cuda", 1)
        elsewhere.send(Shirts(tmp_path))
        task = ChunkTask(path, 0, probe(path), SETTINGS, "gate")
        assert analysed(task).detections
        assert [note.name for note in tmp_path.iterdir()] == [nodes.head_node.node_id]  # where the GPU is
        with pytest.raises(UserError, match=r"^gone\.mp4: went away while it was read$"):
            analysed(replace(task, path=tmp_path / "gone.mp4"))
        (tmp_path / "text.mp4").write_text("a text")
        with pytest.raises(UserError, match=r"^text\.mp4: not a video that can be read"):
            analysed(replace(task, path=tmp_path / "text.mp4"))
        from ray._common.usage import usage_lib

        assert not usage_lib.usage_stats_enabled()


def test_a_worker_that_is_not_set_up_says_what_is_missing() -> None:
    facts: Any = None
    unseen = ChunkTask(Path("/nowhere/a.mp4"), 0, facts, SETTINGS)
    with pytest.raises(ReidappError, match=r"/nowhere/a\.mp4: .* cannot read it; its folder must be there"):
        cluster._analyse([None], reidapp.__version__, unseen)
    with pytest.raises(ReidappError, match=r"has reidapp .*, and not 0\.0; install the same everywhere"):
        cluster._analyse([None], "0.0", unseen)


def test_without_ray_one_line_says_how_to_get_it(
    footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr(sys, "argv", ["reidapp", "index", str(footage), "-g", str(tmp_path / "g"), "--ray", "auto"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said == "reidapp: ray is not installed; `pip install '.[ray]'` in a copy of the repository\n"
    assert not (tmp_path / "g").exists()
