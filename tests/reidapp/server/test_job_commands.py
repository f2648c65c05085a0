"""What a request can make a command of; over HTTP: `test_api`."""

from pathlib import Path

import pytest

from reidapp.errors import UserError
from reidapp.server.job_commands import allowed
from reidapp.server.jobs import Jobs


def test_only_folders_below_those_that_are_allowed(tmp_path: Path) -> None:
    (inside := tmp_path / "in" / "a").mkdir(parents=True)
    (outside := tmp_path / "out").mkdir()
    (tmp_path / "in" / "link").symlink_to(outside)
    jobs = Jobs([tmp_path / "in"])
    assert allowed(jobs, str(inside)) == inside
    for folder in (outside, tmp_path / "in" / "link", tmp_path / "in" / ".." / "out", tmp_path / "in" / "none"):
        with pytest.raises(UserError, match="folder"):
            allowed(jobs, str(folder))
    assert allowed(Jobs(), str(outside)) == outside
    jobs.close()
