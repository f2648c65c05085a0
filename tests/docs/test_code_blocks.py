"""The code blocks of README and docs: each says by a tag whether it is tried, and those that are, work.

docs/code_blocks.py has the tags. A page's blocks are one script, run in a folder of its own: what a command leaves,
the next one finds. A tutorial begins in an empty folder, every other page with what its reader has at hand.
"""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from docs.code_blocks import ROOT, Block, blocks, listing, pages
from models import zoo
from reidapp.demo import view_image
from reidapp.footage.decoding import frame_at
from reidapp.gallery.identities import Identities
from reidapp.gallery.store import Gallery
from reidapp.truth import Truth
from tests.conftest import World
from tests.docs import preloaded

# Pages with more in them than a generated gallery can answer, and the test that runs their blocks.
ELSEWHERE = {"docs/api.md": "tests/reidapp/server/test_api_docs.py"}

# `serve` goes on until the next one, or the end of the page, as in a second terminal; LINK is what it prints.
PRELUDE = """
set -euo pipefail
reidapp() {
  if [ "$1" != serve ]; then command reidapp "$@"; return; fi
  jobs -p | xargs -r kill; wait
  command reidapp "$@" --port "$PORT" > serve.txt 2>&1 &
  until grep -q '^Open' serve.txt; do kill -0 $! || { cat serve.txt >&2; return 1; }; sleep 0.2; done
  LINK=$(grep -o 'http[^ ]*' serve.txt | head -1)
}
trap 'jobs -p | xargs -r kill; wait' EXIT
"""


@dataclass(frozen=True)
class Terminal:
    """Where a reader types."""

    programs: Path

    def run(self, folder: Path, page: list[Block], said: dict[str, str]) -> None:
        """Run the blocks of a page in a folder.

        Args:
            said: what stands for ids of earlier answers, as environment variables.
        """
        port = _free_port()
        script = [PRELUDE]
        for block in page:
            if block.kind == "file":
                script.append(f"cat > {shlex.quote(block.said)} <<'END OF FILE'\n{block.text}END OF FILE")
            elif block.kind in ("run", "run-small"):
                assert block.language in ("", "bash"), f"{block.page}:{block.line}: runs what is no shell's"
                more = {words: shlex.split(options) for words, options in block.small.items()}
                script.append(
                    f"echo @@ {block.page}:{block.line} >&2; export MORE_OPTIONS={shlex.quote(json.dumps(more))}"
                )
                script.append(block.text.replace("7860", str(port)))
        environment = os.environ | said | {
            "PATH": f"{self.programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PORT": str(port), "TZ": "UTC", "COLUMNS": "200", "OMP_NUM_THREADS": "1",
            "XDG_DATA_HOME": str(folder / "data"),
        }  # fmt: skip
        with subprocess.Popen(["yes", "a password of a reader"], stdout=subprocess.PIPE) as typing:
            done = subprocess.run(
                ["bash", "-c", "\n".join(script)], cwd=folder, env=environment, stdin=typing.stdout,
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            typing.kill()
        place = re.findall(r"^@@ (.*)$", done.stderr, re.MULTILINE)[-1:]
        assert done.returncode == 0, (
            f"{place}: exit code {done.returncode}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
        )
        assert "Traceback" not in done.stderr, f"{place}\n{done.stderr}"


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    folder = tmp_path_factory.mktemp("t")
    address = str(folder / "s")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.docs.preloaded", address]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE) as server:
        preloaded.programs(folder, address)
        while not Path(address).exists():
            assert server.poll() is None
            time.sleep(0.2)
        yield Terminal(folder)


TRIED = [
    page
    for page in pages()
    if str(page.relative_to(ROOT)) not in ELSEWHERE and any(b.kind in ("run", "run-small") for b in blocks(page))
]


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_says_whether_it_is_tried(page: Path) -> None:
    assert [f"{b.page}:{b.line}: {wrong}" for b in blocks(page) if (wrong := b.wrong())] == []


def test_a_block_without_a_tag_or_with_a_wrong_one_is_told() -> None:
    def wrong(kind: str, said: str = "") -> str | None:
        return Block("a.md", 3, "", kind, said, "reidapp search -g G\n").wrong()

    assert wrong("") == "has no tag of run, run-small, file, needs, shown in the line above it"
    assert wrong("runs") == "has no tag of run, run-small, file, needs, shown in the line above it: runs"
    assert wrong("needs", "luck") is not None
    assert wrong("run-small", "reidapp train --small") == "has no command `reidapp train`"
    assert wrong("run", "twice") == "run: says nothing more"
    assert wrong("needs") == "needs: says what behind a colon"
    assert [wrong("run"), wrong("run-small", "reidapp search --top 1"), wrong("needs", "gpu"), wrong("shown")] == [
        None
    ] * 4


def test_what_is_not_tried_is_listed_and_what_is_tried_elsewhere_is() -> None:
    listed = listing()
    for page in pages():
        for block in blocks(page):
            assert (f"| {block.page}, line {block.line} |" in listed) == bool(block.needs)
    for page, test in ELSEWHERE.items():
        assert f'"{Path(page).name}"' in (ROOT / test).read_text("utf-8")


def test_every_example_is_run_by_a_page() -> None:
    run = "".join(block.text for page in TRIED for block in blocks(page) if block.kind in ("run", "run-small"))
    examples = sorted((ROOT / "examples").glob("*.py"))
    assert [path.name for path in examples if f"python examples/{path.name} " not in run] == []


@pytest.mark.slow
@pytest.mark.parametrize("page", TRIED, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_does_as_it_says(page: Path, terminal: Terminal, world: World, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    said = {} if page.parent.name == "tutorials" else at_hand(tmp_path, world)
    terminal.run(tmp_path, list(blocks(page)), said)


def at_hand(folder: Path, world: World) -> dict[str, str]:
    """What a reader has: footage, a gallery of it, a picture of somebody; and ids that were shown to them."""
    (folder / "footage").symlink_to(world.footage)
    shutil.copytree(world.gallery, folder / "gallery")
    shutil.copy(zoo.path_of("small"), folder / "small.onnx")
    truth = Truth.read(world.footage)
    seen = truth.best_view(truth.people[0], truth.cameras[0])
    Image.fromarray(view_image(world.footage, seen)).save(folder / "query.jpg")
    (folder / "snapshots").mkdir()
    whole = frame_at(world.footage / seen.video, seen.time_s)
    Image.fromarray(whole).save(folder / "snapshots" / "gate_2026-03-02_10-00-01.jpg")
    gallery = Gallery.open(folder / "gallery")
    tracklet = max(gallery.tracklets(), key=lambda each: len(each.crops)).id
    Identities(gallery, "reader").new("Anna Kowalska", [tracklet])
    return {"TRACKLET": tracklet}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
