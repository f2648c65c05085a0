"""Adding a loss, a detector and a page: each is one file, as CONTRIBUTING.md has it.

A copy of the packages gets the page's own blocks, and nothing else; then what the page says of them is done there.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from docs.code_blocks import ROOT, blocks
from tests.small_gallery import write_video
from tests.ui.conftest import browser

__all__ = ["browser"]

ADDED = {block.said: block.text for block in blocks(ROOT / "CONTRIBUTING.md") if block.kind == "file"}
GALLERY = "gallery"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    for package in ("reidapp", "training", "models", "ui", "tests"):
        shutil.copytree(ROOT / package, folder / package)
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name, text in ADDED.items():
        assert not (folder / name).exists(), f"{name}: a file of this name is there already"
        (folder / name).write_text(text, "utf-8")
    return folder


def python(tree: Path, *arguments: str) -> str:
    """What Python says that runs in the copy."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tree, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def indexed(tree: Path) -> dict[str, Any]:
    """What `index` counts with the new detector: somebody in white walks along a dark wall."""
    (tree / "footage" / "Gate").mkdir(parents=True)
    frames = [np.full((270, 480, 3), 40, np.uint8) for _ in range(60)]
    for place, frame in enumerate(frames):
        cv2.rectangle(frame, (60 + 5 * place, 80), (100 + 5 * place, 200), (240, 240, 240), -1)
    write_video(tree / "footage" / "Gate" / "2026-03-02_10-00-00.mp4", frames)
    command = ("index", "footage", "--gallery", GALLERY, "--zone", "UTC", "--detector", "blobs", "--json")
    found: dict[str, Any] = json.loads(python(tree, "-m", "reidapp", *command))
    return found


@pytest.fixture(scope="module")
def link(tree: Path, indexed: dict[str, Any]) -> Iterator[str]:
    command = [sys.executable, "-u", "-m", "reidapp", "serve", "--gallery", GALLERY, "--port", "0"]
    process = subprocess.Popen(command, cwd=tree, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith("Open http://127.0.0.1:"), line
        yield line.split()[1]
    finally:
        process.kill()
        process.communicate()


def test_each_is_one_file() -> None:
    assert [Path(name).parent.as_posix() for name in ADDED] == [
        "training/losses",
        "reidapp/footage/detection",
        "ui/pages",
    ]


@pytest.mark.slow
def test_a_recipe_names_the_loss_and_the_contracts_take_what_is_new(tree: Path) -> None:
    """That it learns is part of its contract. In one process, for to load torch takes seconds."""
    train = ["train", "identity", "--small", "--set", "loss={focal: {on: features, gamma: 1}}", "--show"]
    detectors = "tests/reidapp/footage/test_detection.py"
    wanted = "Focal or test_texts or blobs or makes_no_detector or what_there_is"
    contracts = ["tests/training/losses/test_contract.py", "tests/ui/test_texts.py", detectors, "-k", wanted]
    script = f"""
from reidapp.cli import app
app({train}, standalone_mode=False)
import pytest
raise SystemExit(pytest.main(["-v", "-p", "no:cacheprovider", "-n", "0", *{contracts}]))
"""
    said = python(tree, "-c", script)
    assert "  focal:\n" in said
    assert "test_learns[FocalLoss] PASSED" in said
    assert "test_every_page_has_a_name PASSED" in said
    assert "within_the_frame_and_the_same_from_several_threads[blobs] PASSED" in said
    assert "SKIPPED" not in said


@pytest.mark.slow
def test_the_detector_is_found_by_its_name_and_finds(indexed: dict[str, Any]) -> None:
    assert indexed["frames"] <= indexed["detections"] <= 2 * indexed["frames"]
    assert indexed["tracklets"] == 1


@pytest.mark.slow
def test_the_page_is_in_the_bar_and_speaks_each_language(browser: Any, link: str) -> None:
    page = browser.new_context(locale="en-GB").new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.goto(link)
    page.get_by_role("link", name="Counts", exact=True).click()  # from another page, which names it too
    page.wait_for_selector("h1:has-text('Counts') + .told:has-text('1 camera')")
    assert page.url.partition("?")[0].endswith("/counts")
    page.select_option(".top .language", "zh")
    page.wait_for_selector("h1:has-text('计数') + .told:has-text('1 台摄像机')")
    page.get_by_role("link", name="浏览", exact=True).click()
    page.wait_for_selector(".browse.ready")
    assert page.get_by_role("link", name="计数", exact=True).is_visible()
    assert complaints == []
    page.context.close()
