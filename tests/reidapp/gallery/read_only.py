"""Commands on a disk that can only be read: a process of its own, for which alone a folder is mounted so.

`python -m tests.reidapp.gallery.read_only FOLDER Mount|Said < COMMANDS` shows FOLDER/disk as FOLDER/shown, for reading
alone, runs commands (JSON, lists of words) and prints JSON: of each its exit code and what it said. `Said` is for where
nothing can be mounted: the folder is only said to be so. Two words are no commands: ``serve`` asks a server what the
page asks, ``live`` reads while another process writes into FOLDER/disk.
"""

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from fastapi.testclient import TestClient

from reidapp import cli, files
from reidapp.gallery.identities import Identities
from reidapp.gallery.store import Gallery
from reidapp.server.app import build_app
from reidapp.server.service import SearchService
from tests.small_gallery import ColourEmbedder, ShirtDetector, png, query_crop

API = "/api/v1"
WRITER = """
import sys
from pathlib import Path
from reidapp.gallery.identities import Identities
from reidapp.gallery.store import Gallery
identities = Identities(Gallery.open(Path(sys.argv[1])), "writer")
for name in sys.stdin:
    identities.new(name.strip())
    print("said", flush=True)
"""


def run(command: list[str]) -> dict[str, Any]:
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["reidapp", *command]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


def serve(gallery: Path) -> dict[str, Any]:
    """What the page asks for: status codes, and the hits."""
    service = SearchService(Gallery.open(gallery), ColourEmbedder(), ShirtDetector())
    client = TestClient(build_app(service), base_url="http://127.0.0.1", raise_server_exceptions=False)
    query = client.post(f"{API}/queries", content=png(query_crop("red"))).json()
    found = client.post(f"{API}/search", json={"pictures": [{"id": query["id"]}]}).json()
    tracklet = found["hits"][0]["tracklet"]
    asked = {
        path: client.get(f"{API}/{path}").status_code
        for path in (
            "cameras", "identities", "cases", "saved-searches", "jobs", f"tracklets/{tracklet}",
            f"crops/{found['hits'][0]['crop']}", f"tracklets/{tracklet}/clip",
        )
    }  # fmt: skip
    refused = [
        client.post(f"{API}/saved-searches", json={"name": "red", "search": found["search"]}),
        client.post(f"{API}/identities", json={"name": "Eve", "tracklets": [tracklet]}),
        client.post(f"{API}/cases", json={"name": "case"}),
        client.post(f"{API}/jobs", json={"kind": "adapt", "quick": True}),
    ]
    answers = [(each.status_code, each.json().get("error", "")) for each in refused]
    return {"hits": [hit["tracklet"] for hit in found["hits"]], "asked": asked, "refused": answers}


def live(shown: Path, disk: Path) -> list[list[str]]:
    """Names that a reader sees who was there before, while another process writes and after it has ended."""
    reader, seen = Identities(Gallery.open(shown), "reader"), []

    def look() -> None:
        seen.append([each.name for each in reader.all()])

    look()
    words = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", WRITER, disk], **words) as writer:
        for name in ("Ada", "Bea"):
            writer.stdin.write(f"{name}\n")
            writer.stdin.flush()
            assert writer.stdout.readline() == "said\n"
            look()
    look()
    return seen


def main() -> None:
    folder, how = Path(sys.argv[1]), sys.argv[2]
    disk, shown = folder / "disk", folder / "shown"
    if how == "Mount":
        shown.mkdir()
        subprocess.run(["mount", "--bind", disk, shown], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", shown], check=True)
    else:
        shown.symlink_to(disk)
        writable = files.writable
        files.writable = lambda path: not path.absolute().is_relative_to(shown) and writable(path)
    answers: list[Any] = []
    for command in json.load(sys.stdin):
        if command == ["serve"]:
            answers.append(serve(shown / "flat" / "gallery"))
        elif command == ["live"]:
            answers.append(live(shown / "gallery", disk / "gallery"))
        else:
            answers.append(run(command))
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
