"""The page of a bench report: its numbers, and pictures of the worst cases. One HTML file that needs nothing else."""

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from reidapp.bench_report import GROUP_NOTE, GROUP_TITLES, BenchReport, Line, WorldResult, group_cells
from reidapp.box import Box
from reidapp.breakdown import Group
from reidapp.files import write_whole
from reidapp.footage.decoding import frame_at
from reidapp.imaging import cut, read_image, resize
from reidapp.measures import Followed
from reidapp.wording import counted
from reidapp.worst_cases import Late, Missed, Poor

_SHOWN = 6  # worst cases of each kind
_CROPS = 9  # of an impure tracklet
_HEADLINES = (
    ("retrieval", "mAP across cameras"),
    ("retrieval", "Rank-1 across cameras"),
    ("detection", "recall, half of the body visible"),
    ("tracklets", "purity"),
)


def write_page(report: BenchReport, folder: Path) -> Path:
    """Write a report's page into a folder, which is made if need be; returns the file's path."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "index.html"
    write_whole(file, page(report).encode())
    return file


def page(report: BenchReport) -> str:
    """The HTML of a report; reads pictures from the worlds' footage and galleries."""
    lines = list(report.lines())
    notes = "".join(f"<p>{escape(note)}</p>" for note in report.notes)
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>reidapp bench footage</title>
<style>{_STYLE}</style>
<main>
<header><h1>Footage → gallery → search, held against the truth</h1>{notes}</header>
{_headlines(lines)}
{_table(lines, [world.name for world in report.worlds])}
{"".join(_groups(title, groups) for title, groups in report.groups.items())}
{_section("Missed people", _MISSED, _worst(report, "missed", lambda c: c.found.found / c.found.of), _missed)}
{_section("Impure tracklets", _IMPURE, _worst(report, "impure", lambda c: c.purity), _impure)}
{_section("Worst queries", _POOR, _worst(report, "poor", lambda c: c.average_precision), _poor)}
{_section("Largest errors of time", _LATE, _worst(report, "late", lambda c: -c.error_s), _late)}
</main>
</html>
"""


_MISSED = (
    "Appearances in which the detector found the person least often. The frame is the plainest of those in which it "
    "did not; the person is framed."
)
_IMPURE = (
    "Tracklets with boxes that do not show their main person, in order of time. A box that fits nobody (intersection "
    "over union below 0.3, such as half a body) is nobody's."
)
_POOR = "Searches in all other cameras with the best crop of one; right hits are framed green."
_LATE = "How long a person really was there (at least half of the body visible), and what the tracklets say."


def _headlines(lines: Iterable[Line]) -> str:
    of = {(line.group, line.title): line for line in lines}
    cards = (
        f"<div><strong>{of[key].shown(of[key].mean)}</strong>{_spread(of[key])}<span>{escape(key[1])}</span></div>"
        for key in _HEADLINES
    )
    return f'<div class="cards">{"".join(cards)}</div>'


def _spread(line: Line) -> str:
    return "" if line.spread is None else f"<em>± {line.shown(line.spread)}</em>"


def _table(lines: Iterable[Line], worlds: list[str]) -> str:
    several = worlds if len(worlds) > 1 else []
    head = "".join(f"<th>{escape(name)}</th>" for name in several)
    rows, group = [], ""
    for line in lines:
        if line.group != group:
            group = line.group
            rows.append(f'<tr class="group"><th colspan="{len(several) + 2}">{escape(group.capitalize())}</th></tr>')
        each = "".join(f"<td>{line.shown(value)}</td>" for value in line.worlds) if several else ""
        rows.append(f"<tr><th>{escape(line.title)}</th><td>{line.average}</td>{each}</tr>")
    first = "mean ± deviation" if several else escape(worlds[0])
    return (
        f'<div class="wide"><table><thead><tr><th></th><th>{first}</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _groups(title: str, groups: Sequence[Group]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in GROUP_TITLES)
    rows = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for name, *cells in map(group_cells, groups)
    )
    return (
        f"<h2>By {title}</h2><p>{GROUP_NOTE.capitalize()}.</p>"
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _worst(report: BenchReport, kind: str, key: Callable[[Any], float]) -> list[tuple[WorldResult, Any]]:
    cases = [(world, case) for world in report.worlds for case in getattr(world.worst, kind)]
    return sorted(cases, key=lambda pair: key(pair[1]))[:_SHOWN]


def _section(
    title: str, meaning: str, cases: list[tuple[WorldResult, Any]], shown: Callable[[WorldResult, Any], str]
) -> str:
    articles = "".join(f"<article>{shown(world, case)}</article>" for world, case in cases)
    return f"<section><h2>{title}</h2><p>{meaning}</p>{articles or '<p>None.</p>'}</section>"


def _missed(world: WorldResult, case: Missed) -> str:
    at = case.moment
    tracklets = counted(case.tracklets, "tracklet") if case.tracklets else "<b>no tracklet</b>"
    return (
        _title(world, f"person {at.person}", at.camera)
        + f"<p>Found in {case.found.found} of {case.found.of} frames; {tracklets}. There for {case.seconds:.1f} s; "
        f"here at {_clock(at.time)}, {at.visible:.0%} visible.</p>"
        + _framed(frame_at(world.footage / at.video, at.time_s), at.box)
    )


def _impure(world: WorldResult, case: Followed) -> str:
    tracklet = case.tracklet
    chosen = np.unique(np.linspace(0, len(tracklet.path) - 1, _CROPS).round().astype(int))
    crops = "".join(
        _crop(
            cut(frame_at(tracklet.video.path, tracklet.path[i].time_s), tracklet.path[i].box),
            _verdict(case.people[i], case.person),
            _name(case.people[i]),
            f"{tracklet.path[i].time_s:.1f} s",
        )
        for i in chosen
    )
    return (
        _title(world, f"{case.purity:.0%} {_name(case.person)}", tracklet.camera)
        + f"<p>{_clock(tracklet.start)} – {_clock(tracklet.end)}, {len(tracklet.path)} boxes.</p>"
        + f'<div class="strip">{crops}</div>'
    )


def _poor(world: WorldResult, case: Poor) -> str:
    query = case.query
    assert query.crop is not None  # noqa: S101 - a poor query is one that was asked; for mypy
    right = f"The first right hit has rank {case.right_rank}." if case.right_rank else "No hit is right."
    hits = "".join(
        _crop(
            read_image(hit.hit.thumbnail),
            "right" if hit.person == query.person else "wrong",
            f"{hit.hit.rank}. {_name(hit.person)}",
            f"{hit.hit.camera} {hit.hit.score:.2f}",
        )
        for hit in query.hits
    )
    asked = _crop(read_image(query.crop.file), "query", "query", query.camera)
    return (
        _title(world, f"person {query.person}", query.camera)
        + f"<p>Average precision {case.average_precision:.1%}. {right}</p>"
        + f'<div class="strip">{asked}<span class="gap"></span>{hits}</div>'
    )


def _late(world: WorldResult, case: Late) -> str:
    from_, to = min(case.first.time, case.start), max(case.last.time, case.end)
    early = abs((case.start - case.first.time).total_seconds()) >= case.error_s
    at = case.first if early else case.last
    what = f"{'start' if early else 'end'} wrong by {case.error_s:.1f} s"

    def bar(name: str, start: datetime, end: datetime) -> str:
        whole = max((to - from_).total_seconds(), 1e-9)
        left, width = (start - from_).total_seconds() / whole, (end - start).total_seconds() / whole
        return (
            f'<div class="bar"><span>{name}</span><span><i style="margin-left:{left:.1%};width:{width:.1%}"></i></span>'
            f"<span>{_clock(start)} – {_clock(end)}</span></div>"
        )

    return (
        _title(world, f"person {at.person}: {what}", at.camera)
        + bar("there", case.first.time, case.last.time)
        + bar(counted(case.tracklets, "tracklet"), case.start, case.end)
        + f"<p>The {'first' if early else 'last'} moment that half of the body shows:</p>"
        + _framed(frame_at(world.footage / at.video, at.time_s), at.box)
    )


def _title(world: WorldResult, who: str, camera: str) -> str:
    return f"<h3>{escape(who)} <small>{escape(camera)}, {escape(world.name)}</small></h3>"


def _name(person: int | None) -> str:
    return "nobody" if person is None else f"person {person}"


def _verdict(person: int | None, main: int | None) -> str:
    return "right" if person == main else "nobody" if person is None else "wrong"


def _clock(time: datetime) -> str:
    return f"{time:%H:%M:%S}.{time.microsecond // 100_000}"


def _framed(image: np.ndarray, box: Box) -> str:
    """A frame with a box over it."""
    place = f"left:{box.x1:.2%};top:{box.y1:.2%};width:{box.width:.2%};height:{box.height:.2%}"
    return f'<div class="frame"><img alt="" src="{_jpeg(image)}"><i style="{place}"></i></div>'


def _crop(image: np.ndarray, verdict: str, *labels: str) -> str:
    text = "".join(f"<span>{escape(label)}</span>" for label in labels)
    picture = f'<img alt="" src="{_jpeg(resize(image, 192, 96))}">'
    return f'<figure class="{verdict}">{picture}<figcaption>{text}</figcaption></figure>'


def _jpeg(image: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


_STYLE = """
:root { color-scheme: light dark; --text: #1c2024; --dim: #60646c; --back: #f6f7f8; --card: #fff; --line: #e2e4e8;
  --right: #1a9850; --wrong: #d73027; --mark: #ffb224; --bar: #4c7bd9; }
@media (prefers-color-scheme: dark) {
  :root { --text: #edeef0; --dim: #a5abb4; --back: #141619; --card: #1d2024; --line: #33373d;
    --right: #3fbf74; --wrong: #f0665c; --bar: #7ba3f0; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { margin: 0 0 8px; font-size: 24px; line-height: 1.25; letter-spacing: -0.01em; }
h2 { margin: 48px 0 4px; font-size: 19px; }
h3 { margin: 0 0 4px; font-size: 15px; }
h3 small { margin-left: 6px; color: var(--dim); font-size: 14px; font-weight: 400; }
p { margin: 0 0 10px; color: var(--dim); }
header p { margin: 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); gap: 14px; margin: 24px 0; }
.cards div, article { padding: 16px; border: 1px solid var(--line); border-radius: 12px; background: var(--card); }
.cards strong { font-size: 28px; line-height: 1.2; letter-spacing: -0.02em; }
.cards em { margin-left: 6px; color: var(--dim); font-style: normal; }
.cards span { display: block; color: var(--dim); }
.wide { width: fit-content; max-width: 100%; overflow-x: auto;
  border: 1px solid var(--line); border-radius: 12px; background: var(--card); }
table { min-width: min(540px, 100%); border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 14px; text-align: right; white-space: nowrap; }
th { font-weight: 400; }
th:first-child { text-align: left; white-space: normal; }
thead th { padding-top: 12px; color: var(--dim); }
.group th { padding-top: 14px; font-weight: 600; }
tbody tr:not(.group):hover { background: var(--back); }
tbody tr:last-child > * { padding-bottom: 14px; }
section { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); gap: 14px; }
section > h2, section > p { grid-column: 1 / -1; }
section > p { margin: 0; }
article { min-width: 0; }
article:has(.strip) { grid-column: 1 / -1; }
.strip { display: flex; gap: 8px; overflow-x: auto; padding-bottom: 4px; }
figure { flex: none; width: 100px; margin: 0; }
figure img { display: block; width: 100%; border: 3px solid var(--line); border-radius: 6px; }
.right img { border-color: var(--right); } .wrong img { border-color: var(--wrong); }
.query img { border-color: var(--mark); }
figcaption { margin-top: 3px; font-size: 12px; line-height: 1.35; }
figcaption span { display: block; } figcaption span + span { color: var(--dim); }
.gap { flex: none; width: 6px; }
.frame { position: relative; }
.frame img { display: block; width: 100%; border-radius: 8px; }
.frame i { position: absolute; border: 2px solid var(--mark); border-radius: 3px; outline: 1px solid rgba(0,0,0,.6); }
.bar { display: grid; grid-template-columns: 84px 1fr 170px; gap: 10px; align-items: center; font-size: 13px;
  font-variant-numeric: tabular-nums; }
.bar span:nth-child(2) { height: 10px; border-radius: 5px; background: var(--back); overflow: hidden; }
.bar i { display: block; height: 100%; border-radius: 5px; background: var(--bar); }
.bar + p { margin-top: 10px; }
"""
