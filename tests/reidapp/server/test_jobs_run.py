"""Jobs as they are: a server in a process of its own, its child processes at work on a small gallery, over HTTP."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.reidapp.commands import ROOT
from tests.reidapp.server.live import follow
from tests.small_gallery import FOOTAGE, frame_at, make_crowd, write_video
from training.data.synthetic.footage import write_footage

API = "/api/v1"
LONG_S = 190  # four chunks

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Served:
    """A server, what it may index, and somebody who has come by its link."""

    client: httpx.Client
    footage: Path

    def begin(self, **wanted: Any) -> dict[str, Any]:
        answer = self.client.post(f"{API}/jobs", json=wanted)
        assert answer.status_code == 202, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def done(self, **wanted: Any) -> dict[str, Any]:
        """The last event of a job that is to succeed."""
        *_, last = follow(self.client, self.begin(**wanted)["events_url"])
        assert last["state"] == "done", last
        return last

    def get(self, path: str) -> dict[str, Any]:
        answer = self.client.get(f"{API}/{path}")
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = Path(tmp_path_factory.mktemp("jobs"))
    gallery, footage = make_crowd(folder), folder / "footage"
    write_footage(footage / "world", cameras=2, people=2, seconds=16, fps=4, seed=5, workers=1)
    (footage / "world" / "gate" / "2026-03-02T11-00-00Z.mp4").write_bytes(b"no video at all")
    (footage / "broken" / "gate").mkdir(parents=True)
    (footage / "broken" / "gate" / "2026-03-02T10-00-00Z.mp4").write_bytes(b"nor this")
    (footage / "long" / "yard").mkdir(parents=True)
    frame = frame_at(FOOTAGE["Gate", "Europe/Berlin"], 5.2)
    write_video(footage / "long" / "yard" / "2026-03-02T10-00-00Z.mp4", [frame] * 10 * LONG_S)
    command = [sys.executable, "-u", "-m", "reidapp", "serve", "--port", "0"]
    command += ["--gallery", str(gallery.path), "--footage", str(footage)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    link = process.stdout.readline().split()[1]
    with httpx.Client(base_url=link.partition("?")[0], follow_redirects=True, timeout=60) as client:
        assert client.get(link).status_code == 200
        yield Served(client, footage)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)


def test_a_folder_is_tried_then_indexed_with_its_progress_and_its_errors(served: Served) -> None:
    options, folder = served.get("footage-options"), str(served.footage / "world")
    assert options["folders"] == [str(served.footage)]
    assert "frigate" in options["recorders"]
    assert options["detectors"][0] == "hog"
    plan = served.client.post(f"{API}/footage-plans", json={"folder": folder, "limit": 2, "probe": True}).json()
    assert (plan["files"], plan["left_out"], len(plan["plan"]["files"])) == (3, 0, 1)  # of the first two one is broken
    assert {camera["name"] for camera in plan["plan"]["cameras"]} == {"gate", "hall"}
    assert (plan["indexed"], plan["deleted"], plan["new_bytes"]) == (0, 0, plan["bytes"])
    before = served.get("storage")

    events = list(follow(served.client, served.begin(kind="index", folder=folder, zone="UTC")["events_url"]))
    last = events[-1]
    assert last["state"] == "done", last
    running = [event for event in events if event["state"] == "running" and event["total"]]
    assert all(0 <= event["done"] <= event["total"] for event in running)
    assert any(event["step"] == "indexing" for event in running)
    assert last["result"]["videos"] == 2
    assert last["result"]["tracklets"] >= 2
    (skipped,) = last["result"]["skipped"]
    assert skipped["file"] == "gate/2026-03-02T11-00-00Z.mp4"

    seen = served.get("tracklets?camera=gate")["tracklets"]
    assert seen
    hits = served.client.post(f"{API}/search", json={"tracklets": [seen[0]["id"]], "top": 50}).json()["hits"]
    assert "hall" in {hit["camera"] for hit in hits}
    after = served.get("storage")
    assert after["bytes"]["crops"] > before["bytes"]["crops"]
    assert after["footage_s"] == pytest.approx(before["footage_s"] + 32, abs=1)
    plan = served.client.post(f"{API}/footage-plans", json={"folder": folder}).json()
    assert [file["known"] for file in plan["plan"]["files"]].count("indexed") == plan["indexed"] == 2
    assert 0 < plan["new_bytes"] < plan["bytes"]
    moved = served.footage / "world" / "hall" / "2026-03-02T10-00-00Z.mp4"
    os.utime(moved, (1, 1))  # known by its content alone
    by_path = served.client.post(f"{API}/footage-plans", json={"folder": folder, "limit": 9}).json()
    opened = served.client.post(f"{API}/footage-plans", json={"folder": folder, "limit": 9, "probe": True}).json()
    assert (by_path["indexed"], opened["indexed"], opened["new_bytes"]) == (1, 2, plan["new_bytes"])
    again = served.done(kind="index", folder=folder, zone="UTC")["result"]
    assert (again["videos"], again["unchanged"], len(again["skipped"])) == (0, 2, 1)


def test_what_fails_says_its_line_and_can_be_tried_again(served: Served) -> None:
    job = served.begin(kind="index", folder=str(served.footage / "broken"))
    *_, last = follow(served.client, job["events_url"])
    assert last["state"] == "failed"
    assert "none of its files could be used. gate/2026-03-02T10-00-00Z.mp4: " in last["error"]
    again = served.client.post(f"{job['url']}/retry").json()
    assert again["retry_of"] == job["id"]
    *_, last = follow(served.client, again["events_url"])
    assert last["state"] == "failed"
    assert served.client.delete(job["url"]).status_code == 200
    assert job["id"] not in [each["id"] for each in served.get("jobs")["jobs"]]
    assert served.client.get(job["url"]).status_code == 404
    outside = served.client.post(f"{API}/jobs", json={"kind": "index", "folder": "/"})
    assert outside.status_code == 422
    assert "--footage" in outside.json()["error"]
    wrong = served.client.post(f"{API}/jobs", json={"kind": "index", "folder": str(served.footage), "zone": "Mars"})
    assert 'unknown time zone "Mars"' in wrong.json()["error"]


def test_indexing_is_cancelled_half_way_and_goes_on_from_there(served: Served) -> None:
    job = served.begin(kind="index", folder=str(served.footage / "long"), zone="UTC", sampling="1fps")
    for event in follow(served.client, job["events_url"]):
        minutes = [video["indexed_minutes"] for video in served.get("videos")["videos"] if video["camera"] == "yard"]
        if event["state"] == "running" and any(minutes):
            served.client.post(f"{job['url']}/cancel")
    assert event["state"] == "cancelled"
    assert event["result"]["interrupted"]
    assert event["left_s"] is None
    (video,) = served.get("videos?camera=yard")["videos"]
    assert not video["done"]
    assert 1 <= video["indexed_minutes"] <= 3
    retried = served.client.post(f"{job['url']}/retry").json()
    *_, last = follow(served.client, retried["events_url"])
    assert last["state"] == "done"
    assert last["result"]["frames"] < LONG_S  # those before were not looked at again
    (video,) = served.get("videos?camera=yard")["videos"]
    assert video["done"]
    assert video["gaps"] == []


def active(served: Served) -> dict[str, Any]:
    return next(model for model in served.get("models")["models"] if model["active"])


def best_score(served: Served, tracklet: str) -> float:
    hits = served.client.post(f"{API}/search", json={"tracklets": [tracklet], "cameras": ["Hall"]}).json()["hits"]
    return float(hits[0]["score"])


def test_a_model_is_adapted_switched_to_and_back_and_deleted(served: Served) -> None:
    old, tracklet = active(served), served.get("tracklets?camera=Gate")["tracklets"][0]["id"]
    score = best_score(served, tracklet)
    made = served.done(kind="adapt", quick=True)
    assert made["result"]["before"]["crops"] == old["crops"]
    listed = {model["id"]: model for model in served.get("models")["models"]}
    assert listed[made["id"]]["source"] == "adapted"
    assert listed[made["id"]]["card"]["version"] == made["result"]["version"]
    assert active(served) == old  # nothing was applied

    moved = served.done(kind="reembed", model=made["id"])
    assert moved["result"]["embedded"] == old["crops"]
    new = active(served)
    assert new["card"]["version"] == made["result"]["version"]
    assert (new["coverage"], new["provider"]) == (1.0, old["provider"])
    assert best_score(served, tracklet) != score

    assert served.done(kind="reembed", model=old["id"])["result"]["embedded"] == 0
    assert active(served)["id"] == old["id"]
    assert best_score(served, tracklet) == score
    assert len(served.done(kind="prune")["result"]["models"]) == 1
    assert [model["id"] for model in served.get("models")["models"] if model["source"] == "gallery"] == [old["id"]]


def test_training_on_a_few_images(served: Served) -> None:
    job = served.begin(kind="adapt", recipe="cluster_contrast", images=64)
    events = list(follow(served.client, job["events_url"]))
    assert events[-1]["state"] == "done", events[-1]
    assert (events[-1]["step"], events[-1]["done"]) == ("training", 64)
    assert any(model["id"] == job["id"] for model in served.get("models")["models"])


def test_calibration_by_tracklets_alone(served: Served) -> None:
    refused = served.begin(kind="calibrate", source="identities")
    *_, last = follow(served.client, refused["events_url"])
    assert last["state"] == "failed"
    assert "identities: 0 people" in last["error"]
    made = served.done(kind="calibrate", source="label-free")
    told = served.get("calibration")
    assert told["calibration"]["source"] == "label-free"
    assert told["calibration"]["expected_calibration_error"] == made["result"]["expected_calibration_error"]
    assert all(0 <= point["p_match"] <= 1 for point in told["reliability"])
    shot = served.client.get(served.get("tracklets?camera=Gate")["tracklets"][0]["thumbnail"]).content
    hits = served.client.post(f"{API}/search/images", files={"images": ("shot.webp", shot)}).json()["hits"]
    assert hits
    assert all(hit["p_match"] is not None for hit in hits)


def test_who_looks_away_misses_nothing(served: Served) -> None:
    """A stream that is opened when the job is over tells its end at once, and ends."""
    job = served.done(kind="calibrate", source="label-free")
    assert [event["state"] for event in follow(served.client, job["events_url"])] == ["done"]
    assert job["id"] in {each["id"] for each in served.get("jobs")["jobs"]}
