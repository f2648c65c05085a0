"""A full disk under a server: what only reads goes on, what would write is refused as a whole, and nothing is lost."""

from pathlib import Path

import pytest

from tests import small_disk


@pytest.mark.slow
def test_a_full_disk_is_507_for_what_writes_and_with_room_all_goes_on(tmp_path: Path) -> None:
    answers = small_disk.run("tests.reidapp.server.full_disk", tmp_path)
    full = answers["full"]
    assert full.pop("list")[0] == full.pop("frame")[0] == 200
    for what, (status, error) in full.items():
        assert status == 507, (what, error)
        assert str(tmp_path) not in error  # where it is, is the operator's business
    assert full["search"][1].startswith("access/")  # what cannot be written down is not done
    assert full["identity"][1].startswith("gallery/gallery.db: ")
    assert answers["left"] == []
    assert {status for status, _ in answers["with room"].values()} == {200, 201}
    assert answers["log"] is None
