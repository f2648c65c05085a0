"""The calls of docs/api.md, as they stand there."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from docs.code_blocks import ROOT, blocks
from reidapp.asking import Question
from reidapp.gallery.travel_times import TravelTimes, keep
from reidapp.server.access_folder import AccessFolder
from reidapp.server.app import build_app
from reidapp.server.audit import Audit
from reidapp.server.job_commands import export_file
from reidapp.server.jobs import Jobs
from reidapp.server.security import OneTimeLink
from reidapp.server.service import Part, SearchService, Wanted
from reidapp.server.users import Users
from reidapp.settings import CameraSettings
from tests.reidapp.server.live import live
from tests.small_gallery import HOSTILE, make_service, png, query_crop

PAGE = ROOT / "docs" / "api.md"
SLEEPS = (sys.executable, "-c", "import time; time.sleep(600)")


def run(language: str) -> str:
    """The blocks that are tagged to be run."""
    return "\n".join(each.text for each in blocks(PAGE) if each.kind == "run" and each.language == language)


@pytest.fixture
def service(tmp_path: Path) -> SearchService:
    service = make_service(tmp_path)
    with service.gallery.writing() as writer:
        writer.change_camera(HOSTILE, CameraSettings(name="Gate 2", group="doors"))
    return service


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    jobs = Jobs(command=SLEEPS)
    yield jobs
    jobs.close()


@pytest.mark.slow
def test_every_curl_is_answered(
    service: SearchService, jobs: Jobs, tmp_path: Path, needs: Callable[[object, str], None]
) -> None:
    curl = shutil.which("curl")
    needs(curl and "--json" in subprocess.check_output([curl, "--help", "all"], text=True), "no curl with --json")
    gallery, link = service.gallery, OneTimeLink()
    tracklets = [each for each in gallery.tracklets() if each.camera == "Hall"]
    query = service.take_query(png(query_crop("red")), "query")
    for name in ("query.png", "query2.png"):
        (tmp_path / name).write_bytes(png(query_crop("red")))
    service.searches.keep("5ea7c4", Wanted(Question(crops=service.crops([Part(query.id)]))))
    (footage := tmp_path / "footage" / "Gate").mkdir(parents=True)
    shutil.copy(tracklets[0].video.path, footage / "2026-03-02_10-00-00.mp4")
    kinds = ("calibrate", "export", "calibrate")
    running, export, waiting = (jobs.begin(kind, gallery.path, "me", {}, []) for kind in kinds)
    ended = jobs.cancel(waiting.id)
    keep(gallery, TravelTimes("label-free", "2026-03-03T00:00:00Z", ()))
    export_file(gallery, export.id).parent.mkdir()
    export_file(gallery, export.id).write_bytes(b"PK")
    names = {
        "VIDEO": tracklets[0].video.id,
        "TRACKLET": tracklets[0].id,
        "TRACKLET2": tracklets[1].id,
        "CROP": tracklets[0].crops[0].id,
        "QUERY": query.id,
        "SEARCH": "5ea7c4",
        "FOOTAGE": str(footage.parent),
        "MODEL": gallery.model_id,
        "JOB": running.id,
        "ENDED": ended.id,
        "EXPORT": export.id,
    }
    users = Users(AccessFolder(tmp_path / "access"))
    app = build_app(service, link, users=users, audit=Audit(users.folder), jobs=jobs)
    with live(app) as url:
        script = run("bash").replace("http://127.0.0.1:7860", url).replace("token=…", f"token={link.token}")
        for asked in ("/retry", '"  '):  # the other one takes a moment to end
            script = script.replace(f"jobs/$JOB{asked}", f"jobs/$ENDED{asked}")
        script = script.replace("ask() { curl -sS", "ask() { curl -sS --fail-with-body -w '\\n'")
        script = re.sub(r"^ask -N (\S+).*$", r"ask -m 2 -N \1 || [ $? = 28 ]", script, flags=re.MULTILINE)  # it goes on
        script = script.replace("curl -s http", "curl -sf http")
        merging = re.findall(r"^ask -X POST .*/cameras/.*/merge.*\n", script, re.MULTILINE)
        script = "".join([*re.split("|".join(map(re.escape, merging)), script), *merging])  # it forgets travel times
        script = f"trap 'echo \"FAILED $BASH_COMMAND\" >&2' ERR\n{script}"
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=os.environ | names, capture_output=True, text=True, check=False
        )
        missed = [line for line in done.stderr.splitlines() if line.startswith("FAILED")]
        assert not missed, "\n".join([*missed, *re.findall(r'.*"error":".*', done.stdout)])
        assert b"ftyp" in (tmp_path / "clip.mp4").read_bytes()[:100]
        assert script.count("ask ") > 60

        (tmp_path / "query.jpg").write_bytes(png(query_crop("red")))
        told = subprocess.run(
            [sys.executable, "-c", f"link = {url!r} + '/?token={link.token}'\n{run('python')}"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert told.returncode == 0, told.stderr
        assert told.stdout.startswith("1 ")
