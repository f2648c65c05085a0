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

# 2026-03-02_10-00-00, 20260302T100000Z, 2026-03-02/10.00.00, …: a date and a time of day with any usual separators,
# and perhaps a zone. "-hhmm" counts as one only in the ISO form (with T): elsewhere it is when the recording ended.
_STAMP_TEXT = (
    r"(?<!\d)(?:19|20)\d{2}[-_./]?\d{2}[-_./]?\d{2}"
    r"(?:[Tt]\d{2}[-_.:h]?\d{2}[-_.:m]?\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:?\d{2})?"
    r"|[_ ./-]{0,3}\d{2}[-_.:h]?\d{2}[-_.:m]?\d{2}(?:\.\d+)?(?:[Zz]|\+\d{2}:?\d{2})?)(?!\d)"
)
_STAMP = re.compile(_STAMP_TEXT)
_STAMP_PARTS = re.compile(r"(\d{4})\D?(\d\d)\D?(\d\d)\D{0,3}(\d\d)\D?(\d\d)\D?(\d\d)(?:\.\d+)?(.*)")
_STAMP_TO_END = re.compile(_STAMP_TEXT + r"(?:[-_]\d{2}[-_.:h]?\d{2}[-_.:m]?\d{2}(?!\d))?")  # …10.00.00-11.00.00
_DATE_FOLDERS = re.compile(r"(?<![^/])(?:19|20)\d{2}[-_./]?\d{2}[-_./]?\d{2}/")  # 2026-03-02/, 2026/03/02/
_FIELD = re.compile(r"\{(\w+)(?::([^{}]*))?\}")
_DIRECTIVES = {"Y": r"\d{4}", "m": r"\d{2}", "d": r"\d{2}", "H": r"\d{2}", "I": r"\d{2}", "M": r"\d{2}", "S": r"\d{2}"}
_DIRECTIVES |= {"y": r"\d{2}", "j": r"\d{3}", "p": r"[AaPp][Mm]", "b": r"[^\W\d_]+", "B": r"[^\W\d_]+"}
_DIRECTIVES |= {"z": r"Z|[+-]\d{2}:?\d{2}"}


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
        template: of the path below the folder, see `parse_template`; None guesses: the camera is the first folder
            that is no date, or the file's name without its time, or, where nothing else is left, the name of
            ``folder``; the start is a time in the path.
        zone: IANA zone of times that do not name theirs.

    Raises:
        UserError: no such folder, or a template that makes no sense.
    """
    if not folder.exists():
        raise UserError(f"{folder}: no such file or folder")
    pattern = parse_template(template) if template else None
    base = folder.resolve() if folder.is_dir() else folder.resolve().parent
    sources, skipped = [], []
    for path in _videos(folder):
        relative = path.relative_to(folder) if folder.is_dir() else Path(path.name)
        guess = _camera(relative) or base.name or "camera"
        facts = _by_template(relative, guess, pattern, zone) if pattern else _by_guess(relative, guess, zone)
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
    directives: list[str]  # of all {start:…} together, each once


def parse_template(template: str) -> _Template:
    """A path template as a pattern.

    Fields: ``{camera}``; ``{start}`` (any usual form) or ``{start:%Y-%m-%d}`` in one or more parts (strptime; what
    stands in two of them must agree); ``{ext}``; ``{any}``. A template without a suffix fits any suffix.

    Raises:
        UserError: an unknown field or directive, a field twice, or a start without its date.
    """
    regex, at = "", 0
    directives: list[str] = []
    for field in _FIELD.finditer(template):
        regex += _literal(template, template[at : field.start()])
        name, form = field.groups()
        if name == "start" and form:
            regex += _time_pattern(form, directives)
        elif name in ("camera", "start", "ext", "any") and not form:
            kept = "" if name == "any" else f"?P<{name}>"
            regex += f"({kept}{_STAMP_TEXT if name == 'start' else '[^/]+'})"
        else:
            raise UserError(f"--template {template}: unknown field {field[0]}; known: {_FIELDS}")
        at = field.end()
    tail = template[at:]
    regex += _literal(template, tail) + ("" if "{ext}" in template or re.search(r"\.[^./]+$", tail) else r"\.[^./]+")
    if directives and not any(set(date) <= set(directives) for date in _DATES):
        raise UserError(f"--template {template}: its start has no date; give for example {{start:%Y-%m-%d}} too")
    try:
        return _Template(re.compile(regex), directives)
    except re.error as error:
        raise UserError(f"--template {template}: a field stands in it twice ({error})") from error


_FIELDS = "{camera} {start} {start:%…} {ext} {any}"
_DATES = [year + rest for year in "Yy" for rest in ("j", "md", "bd", "Bd")]


def _literal(template: str, text: str) -> str:
    if "{" in text or "}" in text:
        raise UserError(f"--template {template}: a brace that belongs to no field; known: {_FIELDS}")
    return re.escape(text)


def _time_pattern(form: str, directives: list[str]) -> str:
    """A strptime form as a pattern with a group for each directive; adds those that are new to ``directives``."""
    pattern = ""
    for text, directive in re.findall(r"([^%]*)(?:%(.?))?", form):
        pattern += re.escape(text)
        if directive in directives:
            pattern += f"(?P=time_{directive})"
        elif directive in _DIRECTIVES:
            pattern += f"(?P<time_{directive}>{_DIRECTIVES[directive]})"
            directives.append(directive)
        elif directive or form.endswith("%"):
            known = " ".join("%" + d for d in _DIRECTIVES)
            raise UserError(f"--template: %{directive} is not known; known: {known}")
    return pattern


def _by_template(relative: Path, guess: str, template: _Template, zone: str) -> tuple[str, datetime | None, str] | None:
    match = template.pattern.fullmatch(relative.as_posix())
    if match is None:
        return None
    found = match.groupdict()
    camera = found.get("camera") or guess
    if template.directives:
        text = " ".join(found[f"time_{d}"] for d in template.directives)
        try:
            time = datetime.strptime(text, " ".join(f"%{d}" for d in template.directives))
            return camera, _to_utc(time, zone), "template"
        except (ValueError, OverflowError):
            return None
    if "start" in found:
        start = _stamp(found["start"], zone)
        return (camera, start, "template") if start else None
    return camera, *_guessed_start(relative, zone)


def _by_guess(relative: Path, guess: str, zone: str) -> tuple[str, datetime | None, str]:
    return guess, *_guessed_start(relative, zone)


def _guessed_start(relative: Path, zone: str) -> tuple[datetime | None, str]:
    start = _stamp(relative.with_suffix("").as_posix(), zone)
    return start, "name" if start else ""


def _camera(relative: Path) -> str:
    """The first folder, or else the file's name, that says more than a date and a time; nothing if none does."""
    rest = _DATE_FOLDERS.sub("", _STAMP_TO_END.sub("", relative.with_suffix("").as_posix()))
    names = (name if name in relative.parts else name.strip(" _-.") for name in rest.split("/"))
    return next(filter(None, names), "")


def _stamp(text: str, zone: str) -> datetime | None:
    """The first date and time in a text that exists in the calendar, in UTC."""
    for match in _STAMP.finditer(text):
        parts = _STAMP_PARTS.fullmatch(match[0])
        assert parts
        *numbers, own_zone = parts.groups()
        try:
            time = datetime.strptime(" ".join(numbers), "%Y %m %d %H %M %S")
            if own_zone:
                time = time.replace(tzinfo=datetime.strptime(own_zone.upper(), "%z").tzinfo)
            return _to_utc(time, zone)
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
