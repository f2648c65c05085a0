from pathlib import Path

import pytest
from argon2 import PasswordHasher

from reidapp.server import users
from reidapp.server.service import SearchService
from tests.small_gallery import make_service


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> SearchService:
    return make_service(Path(tmp_path_factory.mktemp("small")))


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords that take no time to be hashed."""
    monkeypatch.setattr(users, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
