"""A gallery that can only be read, on a disk that is really mounted so: what reads works, what writes is one line.

Where nothing can be mounted, the disk is only said to be so, and must be left as it was all the same.
"""

import gc
import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from reidapp.cli import app
from reidapp.gallery.identities import Identities
from reidapp.gallery.store import Gallery
from tests.small_disk import OWN_MOUNTS
from tests.small_gallery import SHIRTS, make_gallery, query_crop

ROOT = Path(__file__).resolve().parents[3]
REFUSED = "can only be read; make it writable for this user, or work on a copy"


@pytest.fixture(scope="module")
def kind(tmp_path_factory: pytest.TempPathFactory) -> str:
    """How a disk is made so here."""
    folder = tmp_path_factory.mktemp("mount")
    script = f"mount --bind {folder} {folder} && mount -o remount,bind,ro {folder} && ! touch {folder}/file"
    try:
        tried = subprocess.run([*OWN_MOUNTS, "sh", "-c", script], stderr=subprocess.DEVNULL)
    except FileNotFoundError:
        return "Said"
    return "Mount" if tried.returncode == 0 else "Said"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Galleries on one disk: whole, with the log of a killed writer, with that but without the log's index; and one of
    recordings. Beside it pictures to index and to ask with."""
    folder = tmp_path_factory.mktemp("read")

    for number, shirt in enumerate(SHIRTS):
        path = folder / "crops" / f"c{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(query_crop(shirt)).save(path)
    gallery = folder / "disk" / "gallery"
    crops = ["index", str(folder / "crops"), "--as", "crops", "-g", str(gallery), "--zone", "UTC"]
    app(crops, standalone_mode=False)
    query = str(folder / "crops" / "c0" / "0.png")
    app(["search", "-g", str(gallery), "-i", query, "--save", "kept"], standalone_mode=False)
    identities = Identities(Gallery.open(gallery), "me")
    identities.new("Zoe")  # is in the log, as long as the database is open
    log = gallery / "gallery.db-wal"
    assert log.stat().st_size
    shutil.copytree(gallery, folder / "disk" / "killed")
    shutil.copytree(gallery, folder / "disk" / "torn", ignore=shutil.ignore_patterns("*-shm"))
    identities.gallery.engine.dispose()
    gc.collect()  # closes the database that the commands have left open
    assert not log.exists()
    flat = folder / "disk" / "flat"
    flat.mkdir()
    make_gallery(flat).engine.dispose()
    return folder


@dataclass(frozen=True)
class Told:
    """What was said to commands on the read-only disk."""

    folder: Path
    reads: list[tuple[list[str], dict[str, Any]]]
    writes: list[tuple[list[str], dict[str, Any]]]
    killed: dict[str, Any]
    torn: dict[str, Any]
    served: dict[str, Any]
    seen: list[list[str]]
    unchanged: bool


@pytest.fixture(scope="module")
def told(folder: Path, kind: str) -> Told:
    shown, query = folder / "shown", ["-i", str(folder / "crops" / "c0" / "0.png")]
    one = Gallery.open(folder / "disk" / "gallery")
    tracklet = one.tracklets()[0]
    one.engine.dispose()
    before, crops = contents(folder / "disk"), ["index", str(folder / "crops"), "--as", "crops"]
    reads = [
        ["search", *query, "--json"],
        ["search", "--saved", "kept", "--json"],
        ["identity", "list"],
        ["case", "list"],
        ["gallery", "backup", str(folder / "copy")],
        *(["gallery", each] for each in ("info", "cameras", "verify", "searches", "vectors")),
    ]
    writes = [
        crops,
        ["search", *query, "--save", "more"],
        ["search", "--saved", "kept", "--yes", tracklet.id],
        ["identity", "new", "Eve"],
        ["case", "new", "case"],
        ["reembed", "--model", "base"],
        *(["gallery", each] for each in ("calibrate", "normalise", "travel-times", "repair")),
        ["gallery", "camera", tracklet.camera, "--rename", "Gate"],
        ["gallery", "delete", "--tracklet", tracklet.id, "--yes"],
        ["gallery", "retention", "--days", "3", "--yes"],
    ]
    reads, writes = ([[*each, "-g", str(shown / "gallery")] for each in some] for some in (reads, writes))
    writes.append([*crops, "-g", str(shown / "new")])
    torn = [["identity", "list", "-g", str(shown / name)] for name in ("killed", "torn")]
    program = [sys.executable, "-m", "tests.reidapp.gallery.read_only", str(folder), kind]

    def said(commands: list[list[str]]) -> list[Any]:
        done = subprocess.run(
            [*(OWN_MOUNTS if kind == "Mount" else []), *program],
            cwd=ROOT, input=json.dumps(commands), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        answers: list[Any] = json.loads(done.stdout)
        return answers

    answers = said([*reads, *writes, *torn, ["serve"]])
    unchanged = contents(folder / "disk") == before
    (shown.unlink if shown.is_symlink() else shown.rmdir)()
    count = len(reads) + len(writes)
    return Told(
        folder,
        list(zip(reads, answers, strict=False)),
        list(zip(writes, answers[len(reads) :], strict=False)),
        *answers[count:],
        *said([["live"]]),
        unchanged,
    )


def contents(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.slow
def test_what_reads_works_and_changes_nothing(told: Told) -> None:
    for command, answer in told.reads:
        assert answer["code"] in (0, None), (command, answer)
    first, again = (json.loads(answer["out"])["hits"] for _, answer in told.reads[:2])
    assert len(first) == 4
    assert [hit["tracklet"] for hit in again] == [hit["tracklet"] for hit in first]
    assert first[0]["score"] == pytest.approx(1.0, abs=0.01)
    assert told.reads[2][1]["out"].startswith("Zoe")
    assert [each.name for each in Identities(Gallery.open(told.folder / "copy"), "me").all()] == ["Zoe"]
    assert told.unchanged


@pytest.mark.slow
def test_what_writes_is_one_line(told: Told) -> None:
    for command, answer in told.writes:
        lines = [line for line in answer["err"].splitlines() if line.startswith("reidapp")]
        assert (answer["code"], len(lines)) == (2, 1), (command, answer)
        assert lines[0].startswith(f"reidapp: {command[-1]}: ")
        assert ("cannot be written to" if command[-1].endswith("new") else REFUSED) in lines[0]


@pytest.mark.slow
def test_the_log_of_a_killed_writer_is_read_or_its_lack_is_said(told: Told) -> None:
    assert (told.killed["code"], told.killed["out"].split()[0]) == (None, "Zoe")
    assert told.torn["code"] == 2
    assert "gallery.db-wal: has rows that are not in gallery.db yet" in told.torn["err"]


@pytest.mark.slow
def test_a_server_serves_it_and_says_what_it_cannot_keep(told: Told) -> None:
    assert len(told.served["hits"]) == 6
    assert set(told.served["asked"].values()) == {200}, told.served["asked"]
    for status, said in told.served["refused"]:
        assert status == 422
        assert REFUSED in said


@pytest.mark.slow
def test_what_another_process_writes_elsewhere_is_seen(told: Told) -> None:
    """A reader who was there before: the log comes, grows and goes again."""
    assert told.seen == [["Zoe"], ["Ada", "Zoe"], ["Ada", "Bea", "Zoe"], ["Ada", "Bea", "Zoe"]]
