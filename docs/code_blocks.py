"""The code blocks of README.md and of the guides, each with a tag: an HTML comment in the line above it.

| Tag | Its block |
|---|---|
| `<!-- run -->` | is run as it stands, by tests/docs/test_code_blocks.py |
| `<!-- run-small: reidapp synth people --images 2; reidapp search --top 3 -->` | is run, with more options for these |
| `<!-- file: cameras.toml -->` | is a file of this name, for blocks that follow, or in a copy of the repository |
| `<!-- needs: market, gpu -->` | needs what a test has not; a page of the reference lists these |
| `<!-- shown -->` | is no command: what a program prints, or a part of one |

The commands of a page run one after the other, in one folder. Directives (```` ```{toctree} ````) are no code.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
KINDS = ("run", "run-small", "file", "needs", "shown")
NEEDS = {
    "cameras": "cameras that send a live stream",
    "cluster": "several machines, or a cluster of processes",
    "docker": "Docker",
    "footage": "more footage than a test has",
    "gpu": "an NVIDIA GPU",
    "market": "Market-1501's pictures, which have to be asked for",
    "milvus": "a Milvus server",
    "network": "the network",
    "postgresql": "a PostgreSQL server",
    "proxy": "a reverse proxy, or a certificate",
    "stopping": "somebody who stops it",
    "system": "a machine with systemd, and root's rights on it",
    "time": "more than a minute of two cores",
}
_TAG = re.compile(r"\s*<!-- ([a-z-]+)(?:: (.+?))? -->\s*")
_FENCE = re.compile(r"\s*(`{3,}|~{3,})\s*(\S*)")


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        page: relative to the repository.
        line: of its first fence, from 1.
        language: as its fence says; may be empty.
        kind: of its tag, one of `KINDS`; empty without a tag.
        said: what the tag says behind the kind.
    """

    page: str
    line: int
    language: str
    kind: str
    said: str
    text: str

    @property
    def needs(self) -> list[str]:
        return self.said.split(", ") if self.kind == "needs" else []

    @property
    def small(self) -> dict[str, str]:
        """By the first words of a command, the options that it gets besides."""
        return dict(_beginning(each) for each in self.said.split("; ")) if self.kind == "run-small" else {}

    def wrong(self) -> str | None:
        """What is wrong with the tag; None if nothing is."""
        if self.kind not in KINDS:
            return f"has no tag of {', '.join(KINDS)} in the line above it" + (f": {self.kind}" if self.kind else "")
        if bool(self.said) == (self.kind in ("run", "shown")):
            return f"{self.kind}: {'says nothing more' if self.said else 'says what behind a colon'}"
        if unknown := set(self.needs) - set(NEEDS):
            return f"needs {', '.join(unknown)}: not one of {', '.join(NEEDS)}"
        if unused := [words for words in self.small if words not in self.text]:
            return f"has no command `{unused[0]}`"
        return None


def pages() -> list[Path]:
    """README.md, CONTRIBUTING.md and the guides; not what scripts write."""
    made = ("reference", "results")
    guides = (path for path in (ROOT / "docs").rglob("*.md") if path.relative_to(ROOT).parts[1] not in made)
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(guides)]


def blocks(page: Path) -> Iterator[Block]:
    """The code blocks of a page, in order."""
    lines = page.read_text("utf-8").splitlines()
    name, place = page.relative_to(ROOT).as_posix(), 0
    while place < len(lines):
        opening = _FENCE.match(lines[place])
        if not opening:
            place += 1
            continue
        fence, language = opening.groups()
        inside = []
        for line in lines[place + 1 :]:
            if re.fullmatch(rf"\s*{fence[0]}{{{len(fence)},}}\s*", line):
                break
            inside.append(line)
        if not language.startswith("{"):
            tag = _TAG.fullmatch(lines[place - 1]) if place else None
            kind, said = (tag[1], tag[2] or "") if tag else ("", "")
            yield Block(name, place + 1, language, kind, said, "\n".join(inside) + "\n")
        place += len(inside) + 2


def listing() -> str:
    """A page of those that no test runs."""
    found = [block for page in pages() for block in blocks(page)]
    run = sum(block.kind in ("run", "run-small") for block in found)
    lines = [
        "# Which examples were tried",
        "",
        f"The tests run {run} blocks of commands in the guides, in a folder of their own, as a new user would; these",
        "need what a test has not. Whether they do what they say was seen by hand, if at all.",
        "",
        "| Needs | Where | Begins with |",
        "|---|---|---|",
    ]
    for block in found:
        if block.needs:
            first = block.text.strip().splitlines()[0].partition("  #")[0].replace("|", "\\|")
            what = "; ".join(NEEDS[need] for need in block.needs)
            lines.append(f"| {what} | {block.page}, line {block.line} | `{first.strip()}` |")
    return "\n".join([*lines, ""])


def _beginning(said: str) -> tuple[str, str]:
    words, _, options = said.partition(" -")
    return words.strip(), f"-{options}".strip()
