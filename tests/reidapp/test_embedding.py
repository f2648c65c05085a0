"""How models run; what they give is held by the tests of exports (tests/models)."""

import pytest

from models import zoo
from reidapp.embedding import open_session


@pytest.mark.parametrize(
    ("environment", "asked", "taken"), [(None, 0, 0), ("3", 0, 3), ("3,2", 0, 3), ("3", 2, 2), ("all", 0, 0)]
)
def test_a_session_has_as_many_threads_as_other_libraries_take(
    environment: str | None, asked: int, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0: one per core, in ONNX Runtime's words."""
    if environment is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", environment)
    session = open_session(zoo.path_of(zoo.DEFAULT), threads=asked, provider="cpu")
    assert session.get_session_options().intra_op_num_threads == taken
