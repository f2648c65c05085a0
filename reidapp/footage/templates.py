"""What a recording's path says: camera and start. By a template, by a recorder's own forms, or by a guess."""

import itertools
import posixpath
import re
import tomllib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from reidapp.errors import UserError
from reidapp.registry import suggestion

RECORDERS = Path(__file__).parent / "recorders.toml"

# 2026-03-02_10-00-00, 20260302T100000Z, 2026-03-02/10.00.00, …: a date and a time of day with any usual separators,
# and perhaps a zone. "-hhmm" counts as one only in the ISO form (with T): elsewhere it is when the recording ended.
_STAMP_TEXT = (
    r"(?<!\d)(?:19|20)\d{2}[-_./]?\d{2}[-_./]?\d{2}"
    r"(?:[Tt]\d{2}[-_.:h]?\d{2}[-_.:m]?\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:?\d{2})?"
    r"|[_ ./-]{0,3}\d{2}[-_.:h]?\d{2}[-_.:m]?\d{2}(?:\.\d+)?(?:[Zz]|\+\d{2}:?\d{2})?)(?!\d)"
)
_STAMP = re.compile(_STAMP_TEXT)
_STAMP_PARTS = re.compile(r"(\d{4})\D?(\d\d)\D?(\d\d)\D{0,3}(\d\d)\D?(\d\d)\D?(\d\d)(\.\d+)?(.*)")
_STAMP_TO_END = re.compile(_STAMP_TEXT + r"(?:[-_]\d{2}[-_.:h]?\d{2}[-_.:m]?\d{2}(?!\d))?")  # …10.00.00-11.00.00
_DATE_FOLDERS = re.compile(r"(?<![^/])(?:19|20)\d{2}[-_./]?\d{2}[-_./]?\d{2}/")  # 2026-03-02/, 2026/03/02/
_CROP = re.compile(r"-?\d+_(c\d+)(?=s\d|_)")  # 0002_c1s1_000451_03.jpg, 0005_c2_f0046985.jpg: person, camera
_FIELD = re.compile(r"\{(\w+)(?::([^{}]*))?\}")
_DIRECTIVES = {"Y": r"\d{4}", "m": r"\d{2}", "d": r"\d{2}", "H": r"\d{2}", "I": r"\d{2}", "M": r"\d{2}", "S": r"\d{2}"}
_DIRECTIVES |= {"y": r"\d{2}", "j": r"\d{3}", "p": r"[AaPp][Mm]", "b": r"[^\W\d_]+", "B": r"[^\W\d_]+"}
_DIRECTIVES |= {"f": r"\d{1,6}", "z": r"Z|[+-]\d{2}:?\d{2}"}
_DIRECTIVES |= {f"-{letter}": r"\d{1,2}" for letter in "mdHIMS"}  # 2-9-2020: without the leading zero
_FIELDS = "{camera} {start} {start:%…} {ext} {any}"
_FREE = re.compile(r"\{(?:camera|any|ext)\}")
_MOST_FREE = 3  # between two slashes: how long a name that does not fit takes grows with its length to this power
_DATES = [year + rest for year in "Yy" for rest in ("j", "md", "bd", "Bd")]
_YEARS = range(1970, 2100)


@dataclass(frozen=True, slots=True)
class PathFacts:
    """What a path says.

    Attributes:
        camera: its name.
        written: the start; without a zone of its own it is on the camera's clock. None where the path does not say.
        start_source: ``template``, ``name``, or ``""`` where the path does not say.
    """

    camera: str
    written: datetime | None
    start_source: str


@dataclass(frozen=True)
class Template:
    """A path template as a pattern.

    Attributes:
        directives: of all ``{start:…}`` together, each once.
        zone: IANA zone of the times, for recorders that write in one of their own; "" for the camera's.
        anywhere: fits the end of a path, whatever folder was asked for.
    """

    pattern: re.Pattern[str]
    directives: tuple[str, ...]
    zone: str = ""
    anywhere: bool = False


@dataclass(frozen=True)
class Recorder:
    """The forms of path that a recorder writes, the first that fits counts, and the zone if it has one of its own."""

    name: str
    templates: tuple[str, ...]
    zone: str = ""


class PathReader:
    """Reads paths below a folder.

    Args:
        folder: absolute; its name is the camera where nothing else is.
        template: see `parse_template`, or the name of a recorder in `recorders`; None guesses: the camera is the
            first folder that is no date, or the file's name without its time; the start is a time in the path.
        of_crops: names like Market-1501's say the camera too, before any folder does.

    Raises:
        UserError: an unknown recorder, or a template that makes no sense.
    """

    def __init__(self, folder: Path, template: str | None, of_crops: bool = False) -> None:
        self.folder = folder.as_posix().rstrip("/")
        self.templates = _templates(template) if template else []
        self.of_crops = of_crops

    def read(self, relative: str) -> PathFacts | None:
        """Camera and start of a file; None where no template fits."""
        if not self.templates:
            return PathFacts(self._guessed_camera(relative), *_guessed_start(relative))
        for template in self.templates:
            text = f"{self.folder}/{relative}" if template.anywhere else relative
            if (match := template.pattern.fullmatch(text)) and (facts := self._facts(relative, template, match)):
                return facts
        return None

    def _facts(self, relative: str, template: Template, match: re.Match[str]) -> PathFacts | None:
        found = match.groupdict()
        camera = _one_form(found["camera"]) if found.get("camera") else self._guessed_camera(relative)
        if template.directives:
            written = _strptime(found, template)
        elif "start" in found:
            written = _stamp(found["start"])
        else:
            return PathFacts(camera, *_guessed_start(relative))
        return PathFacts(camera, written, "template") if written else None

    def _guessed_camera(self, relative: str) -> str:
        if self.of_crops and (named := _CROP.match(posixpath.basename(relative))):
            return named[1]
        return _one_form(_camera(relative) or self.folder.rpartition("/")[2] or "camera")


def fitting(folder: Path, paths: Sequence[str]) -> list[str]:
    """Recorders whose forms all of some paths below a folder have, start included, and which read them otherwise than
    a guess does."""
    guess = PathReader(folder, None)
    guessed = [guess.read(path) for path in paths]
    names = []
    for name in recorders():
        reader = PathReader(folder, name)
        read = [reader.read(path) for path in paths]
        if all(facts and facts.written for facts in read) and any(
            (facts.camera, facts.written) != (other.camera, other.written)
            for facts, other in zip(read, guessed, strict=True)
            if facts and other
        ):
            names.append(name)
    return names


def parse_template(template: str, zone: str = "", anywhere: bool = False) -> Template:
    """A path template as a pattern.

    Fields: ``{camera}``; ``{start}`` (any usual form) or ``{start:%Y-%m-%d}`` in one or more parts (strptime; what
    stands in two of them must agree; ``%-d`` takes one digit or two); ``{ext}``; ``{any}``. A template without a
    suffix fits any suffix.

    Raises:
        UserError: an unknown field or directive, a field twice, or a start without its date.
    """
    if not anywhere and any(len(_FREE.findall(part)) > _MOST_FREE for part in template.split("/")):
        raise UserError(f"--template {template}: more than {_MOST_FREE} of {{camera}}, {{any}}, {{ext}} within a name")
    regex, at = "(?:.*/)?" if anywhere else "", 0
    directives: list[str] = []
    fields = [*_FIELD.finditer(template), None]
    for field, following in itertools.pairwise(fields):
        assert field  # noqa: S101 - only what follows is None; for mypy
        regex += _literal(template, template[at : field.start()])
        name, form = field.groups()
        if name == "start" and form:
            regex += _time_pattern(form, directives)
        elif name in ("camera", "start", "ext", "any") and not form:
            kept = "" if name == "any" else f"?P<{name}>"
            # Of two times behind the camera's name, the first is the start and the second when the recording ended.
            few = "?" if name == "camera" and following and following[1] == "start" else ""
            regex += f"({kept}{_STAMP_TEXT if name == 'start' else '[^/]+' + few})"
        else:
            raise UserError(f"--template {template}: unknown field {field[0]}; known: {_FIELDS}")
        at = field.end()
    tail = template[at:]
    regex += _literal(template, tail) + ("" if "{ext}" in template or re.search(r"\.[^./]+$", tail) else r"\.[^./]+")
    if directives and not any(set(date) <= set(directives) for date in _DATES):
        raise UserError(f"--template {template}: its start has no date; give for example {{start:%Y-%m-%d}} too")
    if "I" in directives and "p" not in directives:
        raise UserError(f"--template {template}: %I is a clock of twelve hours and needs %p (am or pm); or give %H")
    try:
        return Template(re.compile(regex), tuple(directives), zone, anywhere)
    except re.error as error:
        raise UserError(f"--template {template}: a field stands in it twice ({error})") from error


@cache
def recorders() -> dict[str, Recorder]:
    """The recorders whose forms are known, by name."""
    tables = tomllib.loads(RECORDERS.read_text("utf-8"))
    return {name: Recorder(name, tuple(t["templates"]), t.get("zone", "")) for name, t in tables.items()}


def _templates(template: str) -> list[Template]:
    if "{" in template or "}" in template:
        return [parse_template(template)]
    known = recorders()
    if template not in known:
        hint = suggestion(template, list(known))
        raise UserError(
            f'--template: "{template}" is no recorder and has no field such as {{camera}}; '
            f"recorders: {', '.join(sorted(known))}{hint}"
        )
    recorder = known[template]
    return [parse_template(form, recorder.zone, anywhere=True) for form in recorder.templates]


def _literal(template: str, text: str) -> str:
    if "{" in text or "}" in text:
        raise UserError(f"--template {template}: a brace that belongs to no field; known: {_FIELDS}")
    return re.escape(text)


def _time_pattern(form: str, directives: list[str]) -> str:
    """A strptime form as a pattern with a group for each directive; adds those that are new to ``directives``."""
    pattern = ""
    for text, directive in re.findall(r"([^%]*)(?:%(-?.?))?", form):
        pattern += re.escape(text)
        letter = directive.lstrip("-")
        if letter in directives:
            pattern += f"(?P=time_{letter})"
        elif directive in _DIRECTIVES:
            pattern += f"(?P<time_{letter}>{_DIRECTIVES[directive]})"
            directives.append(letter)
        elif directive or form.endswith("%"):
            known = " ".join("%" + d for d in _DIRECTIVES)
            raise UserError(f"--template: %{directive} is not known; known: {known}")
    return pattern


def _strptime(found: dict[str, str], template: Template) -> datetime | None:
    text = " ".join(found[f"time_{d}"] for d in template.directives)
    try:
        time = datetime.strptime(text, " ".join(f"%{d}" for d in template.directives))
    except ValueError:
        return None
    return _in_calendar(time.replace(tzinfo=ZoneInfo(template.zone)) if template.zone and not time.tzinfo else time)


def _guessed_start(relative: str) -> tuple[datetime | None, str]:
    written = _stamp(_without_suffix(relative))
    return written, "name" if written else ""


def _camera(relative: str) -> str:
    """The first folder, or else the file's name, that says more than a date and a time; nothing if none does."""
    rest = _DATE_FOLDERS.sub("", _STAMP_TO_END.sub("", _without_suffix(relative)))
    folders = relative.split("/")[:-1]
    names = (name if name in folders else name.strip(" _-.") for name in rest.split("/"))
    return next(filter(None, names), "")


def _stamp(text: str) -> datetime | None:
    """The first date and time in a text that exists in the calendar."""
    for match in _STAMP.finditer(text):
        parts = _STAMP_PARTS.fullmatch(match[0])
        assert parts  # noqa: S101 - the one expression is the other in parts; for mypy
        *numbers, fraction, zone = parts.groups()
        try:
            time = datetime(*map(int, numbers)) + timedelta(seconds=float(fraction or 0))  # type: ignore[arg-type]
            if zone:
                time = time.replace(tzinfo=datetime.strptime(zone.upper(), "%z").tzinfo)
        except ValueError:
            continue
        if known := _in_calendar(time):
            return known
    return None


def _in_calendar(time: datetime) -> datetime | None:
    return (time if time.tzinfo is None else time.astimezone(UTC)) if time.year in _YEARS else None


def _without_suffix(relative: str) -> str:
    return posixpath.splitext(relative)[0]


def _one_form(name: str) -> str:
    """Some systems write "ü" as one character and some as two: both are the same camera."""
    return unicodedata.normalize("NFC", name)
