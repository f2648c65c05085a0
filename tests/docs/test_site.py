"""The documentation as a site: it is built without a warning, from the code as it is, and needs no network."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    options = ["--fail-on-warning", "--keep-going", "--quiet", "--fresh-env", "-d", str(out / "trees")]
    build = [sys.executable, "-m", "sphinx", *options, str(ROOT / "docs"), str(out / "html")]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out / "html"


def test_every_guide_is_reached_from_the_first_page(site: Path) -> None:
    first = (site / "index.html").read_text("utf-8")
    for guide in [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "tutorials").glob("*.md")]:
        page = guide.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert guide.stem == "index" or f'href="{page}"' in first, guide.name


def test_every_command_call_setting_and_recipe_is_in_the_reference(site: Path) -> None:
    def page(name: str) -> str:
        return re.sub(r"<[^>]+>", "", (site / "reference" / f"{name}.html").read_text("utf-8"))

    assert "reidapp gallery erase" in page("cli")
    assert "POST /search/{search_id}/feedback" in page("api")
    assert "offset: seconds by which its clock is ahead" in page("settings")
    assert "REIDAPP_MILVUS_TOKEN" in page("settings")
    recipes = {path.stem for path in (ROOT / "training" / "recipes").glob("[!_]*.yaml")}
    assert {path.stem for path in (site / "reference" / "recipes").glob("*.html")} == recipes
    assert "L = L_SE + β L_LP" in page("recipes/ise")
    for name in recipes:
        assert page(f"recipes/{name}").count("Good for:") == 1, name


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    elsewhere = r'="(?:https?:)?//'
    loaded = re.compile(rf'<(?:script|img|iframe)[^>]+src{elsewhere}|<link[^>]+rel="stylesheet"[^>]+href{elsewhere}')
    for page in site.rglob("*.html"):
        assert not loaded.search(page.read_text("utf-8")), page.name
    styled = re.compile(r"""(?:url\(|@import )["']?(?:https?:)?//""")
    for style in site.rglob("*.css"):
        assert not styled.search(style.read_text("utf-8")), style.name
