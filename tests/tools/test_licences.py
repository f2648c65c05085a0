"""tools/licences.py: what may not be used is refused, and all that is pinned may."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[2] / "tools" / "licences.py"


@pytest.fixture(scope="module")
def licences() -> ModuleType:
    spec = importlib.util.spec_from_file_location("licences", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_pinned_version_is_listed_with_a_licence_that_can_be_used(
    licences: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    licences.main()
    listed = [line.partition("  ") for line in capsys.readouterr().out.splitlines()]
    pinned = [line for line in licences.CONSTRAINTS.read_text("utf-8").splitlines() if "==" in line]
    assert [package for package, _, _ in listed] == pinned
    assert all(licence and not licence.startswith("unknown") for _, _, licence in listed)


@pytest.mark.parametrize(
    "licence",
    ["AGPL-3.0-only", "GNU Affero General Public License v3", "GPL-2.0-or-later", "MIT AND GPL-3.0-only", "",
     "CC-BY-NC-4.0", "My own words", "GNU Lesser General Public License v3 (LGPLv3)"],
)  # fmt: skip
def test_what_cannot_be_used_is_refused(licences: ModuleType, licence: str) -> None:
    assert licences.fault_of("some-package", licence)


@pytest.mark.parametrize("licence", ["MIT", "MPL-2.0 AND (Apache-2.0 OR MIT)", "GPL-2.0-only OR MIT", "BSD License"])
def test_what_can_be_used_is_not(licences: ModuleType, licence: str) -> None:
    assert licences.fault_of("some-package", licence) is None


def test_a_reason_does_not_let_agpl_in(licences: ModuleType) -> None:
    assert licences.fault_of("psycopg", "AGPL-3.0-only")


def test_a_refused_package_ends_it_with_its_name(licences: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(licences, "licence_of", lambda name: "AGPL-3.0-only" if name == "numpy" else "MIT")
    with pytest.raises(SystemExit, match=r"licences: numpy: AGPL-3\.0-only"):
        licences.main()
