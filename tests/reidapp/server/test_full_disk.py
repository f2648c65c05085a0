"""A full disk under a server: what only reads goes on, what would write is refused as a whole, and nothing is lost."""

from pathlib import Path
from typing import Any

import pytest

from tests import small_disk


@pytest.mark.slow
def test_a_full_disk_is_507_for_what_writes_and_with_room_all_goes_on(tmp_path: Path) -> None:
    answers = small_disk.run("tests.reidapp.server.full_disk", tmp_path, "gallery")
    full = answers["full"]
    for what in ("list", "tracklet", "search"):
        assert full.pop(what)[0] == 200
    for what, (status, error) in full.items():
        assert status == 507, (what, error)
        assert str(tmp_path) not in error  # where it is, is the operator's business
    assert full["identity"][1].startswith("gallery/gallery.db: ")
    assert full["case"][1].startswith("gallery/gallery.db: ")
    assert full["saved"][1].startswith("gallery: ")
    assert full["clip"][1].startswith("clips: ")
    all_goes_on(answers)


@pytest.mark.slow
def test_what_cannot_be_written_down_is_not_done(tmp_path: Path) -> None:
    answers = small_disk.run("tests.reidapp.server.full_disk", tmp_path, "log")
    for what in ("search", "clip"):
        status, error = answers["full"][what]
        assert status == 507
        assert error.startswith("access/audit.db: ")
    all_goes_on(answers)


def all_goes_on(answers: dict[str, Any]) -> None:
    assert answers["left"] == []
    assert {status for status, _ in answers["with room"].values()} == {200, 201}
    assert answers["log"] is None
