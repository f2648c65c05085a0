"""The tables of words: every language has all that the pages ask for."""

import json
import re

import pytest

from ui.page import FOLDER, PAGES

OWN_WORDS = re.compile(r"^export const words = (\{.*?^\});", re.DOTALL | re.MULTILINE)


def tables() -> dict[str, dict[str, str]]:
    """By language; with the words that pages bring in their own files, written as JSON."""
    tables = {path.stem: json.loads(path.read_text("utf-8")) for path in (FOLDER / "texts").glob("*.json")}
    for page in (FOLDER / "pages").glob("*.js"):
        if own := OWN_WORDS.search(page.read_text("utf-8")):
            for language, words in json.loads(own[1]).items():
                twice = sorted(words.keys() & tables[language].keys())
                assert not twice, f"{page.name}: there is a text of this name already: {', '.join(twice)}"
                tables[language] |= words
    return tables


TABLES = tables()
SCRIPTS = "\n".join(path.read_text("utf-8") for path in FOLDER.glob("*/*.js"))


def fields(words: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", words))


@pytest.mark.parametrize("language", sorted(set(TABLES) - {"en"}))
def test_languages_say_the_same(language: str) -> None:
    english, other = TABLES["en"], TABLES[language]
    assert set(other) == set(english)
    for key, words in other.items():
        assert fields(words) == fields(english[key]), key


def test_every_page_has_a_name() -> None:
    assert {f"page.{name}" for name in PAGES} <= set(TABLES["en"])


def test_no_key_is_missing_and_none_is_idle() -> None:
    asked = set(re.findall(r"""(?:\btext\(\s*|data-\w+=)["'`]([\w.]+)["'`]""", SCRIPTS))
    quoted = set(re.findall(r"""["'`]([a-z]+\.[\w.]+)["'`]""", SCRIPTS))
    made = set(re.findall(r"`([a-z]+\.)\$\{", SCRIPTS))
    english = set(TABLES["en"])
    assert {key for key in asked if "." in key} <= english
    idle = {key for key in english - quoted - asked if key.partition(".")[0] + "." not in made}
    assert idle == set()
