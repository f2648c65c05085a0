"""Reference pages, from the code: ``python docs/make_reference.py`` writes docs/reference/, which is not kept.

The commands, the REST API, the settings of indexing, a page per recipe (what it says of itself, the equations of its
method and losses, its measured rows), and which examples of the guides no test runs. `docs/conf.py` calls this whenever
the site is built.
"""

import inspect
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))  # benchmarks are not installed

from benchmarks import supervised, unsupervised  # noqa: E402
from benchmarks.method_rows import Row, read_result  # noqa: E402
from docs import code_blocks  # noqa: E402
from reidapp import registry, settings  # noqa: E402
from training.recipe import FOLDER, GOOD_FOR, describe, good_for, kinds  # noqa: E402

OUT = DOCS / "reference"
TABLES = {"supervised": [*supervised.ROWS, supervised.BEST], "unsupervised": [*unsupervised.ROWS, unsupervised.LABELS]}


def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    (OUT / "recipes").mkdir(parents=True)
    pages = {"cli": commands(), "api": rest(), "settings": configuration(), "recipes": recipes()}
    pages["examples"] = code_blocks.listing()
    pages |= {f"recipes/{name}": recipe(name) for names in kinds().values() for name in names}
    for name, text in pages.items():
        (OUT / f"{name}.md").write_text(text, "utf-8")


def commands() -> str:
    """Every command with its options, by Typer's own generator."""
    call = [sys.executable, "-m", "typer", "reidapp.cli", "utils", "docs", "--name", "reidapp", "--title", "Commands"]
    plain = os.environ | {"COLUMNS": "500", "TERM": "dumb"}  # or summaries are cut where a terminal would end
    done = subprocess.run(call, check=True, capture_output=True, text=True, env=plain)  # noqa: S603 - our own words
    return done.stdout


def rest() -> str:
    """Every call of the REST API."""
    from reidapp.server.app import API, described

    api = described()
    lines = ["# REST API", "", f"Paths are below `{API}`. [How to call them](../api.md), with examples.", ""]
    refusals: dict[str, str] = {}
    for path, calls in api["paths"].items():
        for verb, call in calls.items():
            lines += [f"## `{verb.upper()} {path}`", "", call.get("description") or call["summary"], ""]
            lines += [*_table("Parameter", _parameters(call)), ""]
            sent = call.get("requestBody", {}).get("content", {})
            lines += [f"Takes `{kind}`{_schema(body)}.\n" for kind, body in sent.items()]
            lines += [
                f"Answers {_answer(status, told)}\n" for status, told in call["responses"].items() if status < "4"
            ]
            refusals |= {status: told["description"] for status, told in call["responses"].items() if status >= "4"}
    lines += ["## What every call may refuse with", "", "As [Problem](#problem):", ""]
    lines += [
        *(f"- {status}: {why}" for status, why in sorted(refusals.items())),
        "",
        "## What is sent and answered",
        "",
    ]
    for name, schema in api["components"]["schemas"].items():
        lines += [f"### {name}", "", schema.get("description", ""), ""]
        fields = [(field, _type(facts), facts.get("description", "")) for field, facts in _fields(schema).items()]
        lines += [*_table("Field", fields), ""]
    return "\n".join(lines)


def configuration() -> str:
    """What can be said of cameras and of a run of indexing, and what is read from the environment."""
    return "\n".join(
        [
            "# Settings",
            "",
            "`reidapp index` has an option for each; those of cameras may also stand in a TOML file (`--cameras`).",
            "",
            *(line for cls in (settings.IndexSettings, settings.CameraSettings) for line in _described(cls)),
            "## Environment variables",
            "",
            "| Variable | |",
            "|---|---|",
            *(f"| `{name}` | {what} |" for name, what in settings.ENVIRONMENT.items()),
            "",
        ]
    )


def recipes() -> str:
    """The list of recipes."""
    lines = ["# Methods", "", "Each is a recipe of `reidapp train`: one YAML file, of which every key may be set.", ""]
    for kind, names in kinds().items():
        lines += [
            f"## Learn {kind}",
            "",
            *(f"- [{name}](recipes/{name}.md): {describe(name)} Good for {good_for(name)}" for name in names),
            "",
        ]
    lines += ["```{toctree}", ":hidden:", ":glob:", "", "recipes/*", "```", ""]
    return "\n".join(lines)


def recipe(name: str) -> str:
    """A recipe: what it is good for, its equations, its file, its command and its results."""
    text = (FOLDER / f"{name}.yaml").read_text("utf-8")
    comment, keys = _split(text)
    raw = yaml.safe_load(text)
    lines = [f"# {name}", "", f"**{GOOD_FOR.strip()}** {good_for(name)}", "", comment, "", *_results(name)]
    lines += ["## Command", "", "```text", f"reidapp train {name} --data KIND:DIR --out RUN", "```", ""]
    lines += [*_equations(raw), "## Recipe", "", "```yaml", keys, "```", ""]
    return "\n".join(lines)


def _split(text: str) -> tuple[str, str]:
    """A recipe's comment as paragraphs, and its keys."""
    lines = text.splitlines()
    end = next(place for place, line in enumerate(lines) if not line.startswith("#"))
    said = [line.removeprefix("#").strip() for line in lines[:end]]
    return "\n".join(line for line in said if not line.startswith(GOOD_FOR)), "\n".join(lines[end:]).strip()


def _equations(raw: dict[str, Any]) -> Iterator[str]:
    """The docstrings of a recipe's method and losses."""
    for package in ("methods", "losses"):
        asked = raw.get(package.removesuffix("s")) or raw.get("loss" if package == "losses" else "") or {}
        for name in asked:
            yield from _described(registry.find(f"training.{package}", name))


def _described(cls: type) -> list[str]:
    """A class by its docstring, as it stands: it is written to be read as text."""
    return [f"## {cls.__name__}", "", "```text", inspect.getdoc(cls) or "", "```", ""]


def _results(recipe: str) -> Iterator[str]:
    """The measured rows of a recipe; its tables say under which conditions."""
    for table, rows in TABLES.items():
        own: list[Row] = [row for row in rows if row.recipe == recipe]
        if own:
            yield from (
                "## Result",
                "",
                f"On Market-500/251; conditions and the others: [all rows](../../results/{table}.md).",
                "",
            )
            yield from ("| Row | Rank-1 | mAP |", "|---|---|---|")
            for row in own:
                result = read_result(table, row.name)
                numbers = f"{result['rank1']:.1f} | {result['mAP']:.1f}" if result else "not run | not run"
                yield f"| {row.method} | {numbers} |"
            yield ""


def _table(first: str, rows: list[tuple[str, str, str]]) -> list[str]:
    if not rows:
        return []
    head = [f"| {first} | Type | |", "|---|---|---|"]
    return head + [f"| `{name}` | {kind} | {' '.join(text.split())} |" for name, kind, text in rows]


def _parameters(call: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (each["name"], _type(each["schema"]), each.get("description", each["schema"].get("description", "")))
        for each in call.get("parameters", [])
    ]


def _fields(schema: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = schema.get("properties", {})
    return fields


def _schema(body: dict[str, Any]) -> str:
    kind = _type(body.get("schema", {}))
    return f": {kind}" if kind else ""


def _answer(status: str, told: dict[str, Any]) -> str:
    kinds_ = [f"`{kind}`{_schema(body)}" for kind, body in told.get("content", {}).items()]
    return f"{status}: {' or '.join(kinds_) or told['description']}"


def _type(schema: dict[str, Any]) -> str:
    """A schema in a few words; a link where it has a name."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if several := schema.get("anyOf"):
        return " or ".join(_type(each) for each in several if each.get("type") != "null")
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    return str(schema.get("format") or schema.get("type") or "")


if __name__ == "__main__":
    main()
