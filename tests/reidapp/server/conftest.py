from pathlib import Path

import pytest

from reidapp.server.service import SearchService
from tests.small_gallery import make_service


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> SearchService:
    return make_service(Path(tmp_path_factory.mktemp("small")))
