"""Which files there are, and what their paths say: camera and start time."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from reidapp.errors import UserError

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".avi", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg", ".webm", ".wmv", ".flv", ".3gp"}
)
_FINGERPRINT_BYTES = 1 << 20

# 2026-03-02_10-00-00, 20260302T100000Z, 2026-03-02/10.00.00, …: a date and a time of day with any usual separators.
_STAMP = re.compile(
    r"(?<!\d)(\d{4})[-_.]?(\d{2})[-_.]?(\d{2})[T_ ./-]{0,3}(\d{2})[-_.:h]?(\d{2})[-_.:m]?(\d{2})(?:\.\d+)?(Z?)(?!\d)"
)
_FIELD = re.compile(r"\{(\w+)(?::([^{}]*))?\}")
_DIRECTIVES = {"Y": r"\d{4}", "m": r"\d{2}", "d": r"\d{2}", "H": r"\d{2}", "I": r"\d{2}", "M": r"\d{2}", "S": r"\d{2}"}
_DIRECTIVES |= {"y": r"\d{2}", "j": r"\d{3}", "p": r"[AaPp][Mm]", "b": r"\w+", "B": r"\w+", "z": r"Z|[+-]\d{2}:?\d{2}"}


@dataclass(frozen=True)
class Source:
    """A video file as its path describes it.

    Attributes:
        start: UTC; None where the path does not say.
        start_source: ``template``, ``name``, or ``""`` where the path does not say.
    """

    path: Path
    camera: str
    start: datetime | None
    start_source: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Skipped:
    """A file that was left out, and why."""

    file: str
    reason: str


def scan(folder: Path, template: str | None, zone: str) -> tuple[list[Source], list[Skipped]]:
    """The videos below a folder (or the one video that ``folder`` is), by path.

    Args:
        template: of the path below the folder, see `parse_template`; None guesses: the camera is the first folder,
            or the file's name without its time; the start is a time in the path.
        zone: IANA zone of times that do not name theirs.

    Raises:
        UserError: no such folder, or a template that makes no sense.
    """
    if not folder.exists():
        raise UserError(f"{folder}: no such file or folder")
    pattern = parse_template(template) if template else None
    sources, skipped = [], []
    for path in _videos(folder):
        relative = path.relative_to(folder) if folder.is_dir() else Path(path.name)
        facts = _by_template(relative, pattern, zone) if pattern else _by_guess(relative, zone)
        if facts is None:
            skipped.append(Skipped(str(relative), f"its path does not fit the template {template}"))
            continue
        stat = path.stat()
        sources.append(Source(path.resolve(), *facts, stat.st_size, stat.st_mtime_ns))
    return sources, skipped


def fingerprint(path: Path, size: int) -> str:
    """16 hex digits for a file's content: its size, first and last megabyte. A moved recording keeps it."""
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        digest.update(file.read(_FINGERPRINT_BYTES))
        file.seek(max(0, size - _FINGERPRINT_BYTES))
        digest.update(file.read(_FINGERPRINT_BYTES))
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class _Template:
    pattern: re.Pattern[str]
    formats: list[str]  # one per {start:…}, in order


def parse_template(template: str) -> _Template:
    """A path template as a pattern.

    Fields: ``{camera}``; ``{start}`` (any usual form) or ``{start:%Y-%m-%d}`` in one or more parts (strptime);
    ``{ext}``; ``{any}``. A template without a suffix fits any suffix.

    Raises:
        UserError: an unknown field or directive.
    """
    regex, at = "", 0
    formats: list[str] = []
    for field in _FIELD.finditer(template):
        regex += re.escape(template[at : field.start()])
        name, form = field.groups()
        if name == "start" and form:
            regex += f"(?P<start{len(formats)}>{_time_pattern(form)})"
            formats.append(form)
        elif name in ("camera", "start", "ext", "any") and not form:
            kept = "" if name == "any" else f"?P<{name}>"
            regex += f"({kept}{'.+' if name == 'start' else '[^/]+'})"
        else:
            raise UserError(
                f"--template: unknown field {field[0]}; known: {{camera}} {{start}} {{start:%…}} {{ext}} {{any}}"
            )
        at = field.end()
    regex += re.escape(template[at:]) + ("" if "{ext}" in template or Path(template).suffix else r"\.[^./]+")
    try:
        return _Template(re.compile(regex), formats)
    except re.error as error:
        raise UserError(f"--template {template}: a field stands in it twice ({error})") from error


def _time_pattern(form: str) -> str:
    unknown = [d for d in re.findall(r"%(.)", form) if d not in _DIRECTIVES]
    if unknown:
        raise UserError(f"--template: %{unknown[0]} is not known; known: {' '.join('%' + d for d in _DIRECTIVES)}")
    parts = re.split(r"%(.)", form)
    return "".join(_DIRECTIVES[part] if i % 2 else re.escape(part) for i, part in enumerate(parts))


def _by_template(relative: Path, template: _Template, zone: str) -> tuple[str, datetime | None, str] | None:
    match = template.pattern.fullmatch(relative.as_posix())
    if match is None:
        return None
    found = match.groupdict()
    camera = found.get("camera") or _default_camera(relative)
    if template.formats:
        text = " ".join(found[f"start{i}"] for i in range(len(template.formats)))
        try:
            return camera, _to_utc(datetime.strptime(text, " ".join(template.formats)), zone), "template"
        except ValueError:
            return None
    start = _stamp(found["start"], zone) if "start" in found else _stamp(relative.as_posix(), zone)
    if start is None and "start" in found:
        return None
    return camera, start, ("template" if "start" in found else "name") if start else ""


def _by_guess(relative: Path, zone: str) -> tuple[str, datetime | None, str]:
    start = _stamp(relative.with_suffix("").as_posix(), zone)
    return _default_camera(relative), start, "name" if start else ""


def _default_camera(relative: Path) -> str:
    if len(relative.parts) > 1:
        return relative.parts[0]
    return _STAMP.sub("", relative.stem).strip(" _-.") or relative.stem


def _stamp(text: str, zone: str) -> datetime | None:
    """The first date and time in a text that exists in the calendar, in UTC."""
    for match in _STAMP.finditer(text):
        *numbers, is_utc = match.groups()
        try:
            return _to_utc(datetime(*map(int, numbers)), "UTC" if is_utc else zone)  # type: ignore[arg-type]
        except ValueError:
            continue
    return None


def _to_utc(time: datetime, zone: str) -> datetime:
    return (time if time.tzinfo else time.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def _videos(folder: Path) -> Iterator[Path]:
    if folder.is_file():
        yield folder
        return
    yield from sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
