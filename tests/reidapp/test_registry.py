import sys
from pathlib import Path
from typing import Literal

import pytest

from reidapp import registry
from reidapp.errors import UserError
from reidapp.options import NotNegative, Share

FILES = {
    "__init__.py": "",
    "_shared.py": "class Hidden: pass",
    "triplet.py": """
from registered._shared import Hidden
class _Helper: pass
class TripletLoss:
    def __init__(self, dim, margin=0.3, *, soft=False):
        self.dim, self.margin, self.soft = dim, margin, soft
class Second:
    def __init__(self, path): self.path = path
""",
    "sphere.py": "raise RuntimeError('imported though nobody asked for it')",
    "inner/__init__.py": "",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, text in FILES.items():
        path = tmp_path / "registered" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "registered"]:
        monkeypatch.delitem(sys.modules, name)
    return "registered"


def message(call: object, *arguments: object, **facts: object) -> str:
    with pytest.raises(UserError) as error:
        call(*arguments, **facts)  # type: ignore[operator]
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_file_is_an_entry(package: str) -> None:
    assert registry.names(package) == ["sphere", "triplet"]


def test_found_by_file_or_class_and_nothing_else_is_imported(package: str) -> None:
    assert registry.find(package, "triplet").__name__ == "TripletLoss"
    assert f"{package}.sphere" not in sys.modules


def test_found_by_class(package: str, tmp_path: Path) -> None:
    (tmp_path / "registered" / "sphere.py").unlink()
    assert registry.find(package, "Second").__name__ == "Second"
    for name in ("Hidden", "_Helper", "inner", "_shared"):
        assert f'unknown name "{name}"' in message(registry.find, package, name)
    assert message(registry.find, package, "triplett") == (
        'registered: unknown name "triplett"; did you mean "triplet"?; known: triplet'
    )


def test_build(package: str) -> None:
    cls = registry.find(package, "triplet")
    built = registry.build(cls, {"margin": 0.5}, "recipe", dim=64, num_classes=10)
    assert (built.dim, built.margin, built.soft) == (64, 0.5, False)
    assert registry.build(cls, None, "recipe", dim=64).margin == 0.3
    assert registry.build(cls, {"dim": 8}, "recipe", dim=64).dim == 8


def test_misspelt_and_missing_options(package: str) -> None:
    cls = registry.find(package, "triplet")
    assert message(registry.build, cls, {"margn": 1}, "recipe bot, loss.triplet", dim=64) == (
        'recipe bot, loss.triplet: unknown key "margn"; did you mean "margin"?; known: margin, soft'
    )
    assert "did you mean" not in message(registry.build, cls, {"zzz": 1}, "recipe", dim=64)
    assert message(registry.build, cls, {}, "recipe") == "recipe: missing dim"


class Typed:
    def __init__(
        self,
        scale: float = 1.0,
        on: list[str] | None = None,
        many: bool = False,
        share: Share = 0.5,
        margin: NotNegative | Literal["soft"] = 1.0,
    ) -> None:
        self.scale, self.share, self.margin = scale, share, margin


def test_options_of_the_wrong_type() -> None:
    assert message(registry.build, Typed, {"scale": "abc"}, "recipe, loss.typed") == (
        "recipe, loss.typed: scale: input should be a valid number, unable to parse string as a number, not 'abc'"
    )
    assert "on: input should be a valid list, not 3" in message(registry.build, Typed, {"on": 3}, "recipe")
    assert "many: input should be a valid boolean" in message(registry.build, Typed, {"many": "perhaps"}, "recipe")
    assert registry.build(Typed, {"scale": 3, "on": ["a"]}, "recipe").scale == 3


def test_options_come_in_the_type_of_the_signature() -> None:
    built = registry.build(Typed, {"scale": "3", "share": 1, "margin": "soft"}, "recipe")
    assert (built.scale, built.share, built.margin) == (3.0, 1.0, "soft")


def test_options_out_of_range() -> None:
    assert message(registry.build, Typed, {"share": 1.5}, "recipe, loss.typed") == (
        "recipe, loss.typed: share: input should be less than or equal to 1, not 1.5"
    )
    for number in (float("nan"), float("inf")):
        assert "scale: input should be a finite number" in message(registry.build, Typed, {"scale": number}, "recipe")
    assert "greater than or equal to 0 or input should be 'soft', not -1" in message(
        registry.build, Typed, {"margin": -1}, "recipe"
    )


def test_a_file_without_a_class_is_named(package: str, tmp_path: Path) -> None:
    (tmp_path / package / "plain.py").write_text("def helper(): pass\nclass _Hidden: pass")
    words = "registered.plain: no class in its file; a name that begins with _ does not count"
    assert message(registry.find, package, "plain") == words
