"""Settings of an indexing run, checked in one place before any work begins; and what the environment may say."""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from reidapp.errors import UserError
from reidapp.registry import suggestion

Kind = Literal["videos", "stills", "crops"]
"""What a folder is indexed as: videos; pictures in which people are looked for; or pictures of one person each."""


ENVIRONMENT = {
    "REIDAPP_ACCESS": "the folder of users and the log, if not `GALLERY-access`; `--access` goes before it",
    "REIDAPP_DEMAND_PURPOSE": "`1`: every search has to say what it is for, as `serve --demand-purpose` has it",
    "REIDAPP_MILVUS_TOKEN": "`user:password`, or a key, of the Milvus server that has the vectors; never stored",
    "REIDAPP_KEY": "the key that `examples/integrator.py` asks a server with",
    "REIDAPP_NOTED": "set by `serve` for the commands that it runs, for its log has them already; leave it alone",
    "REIDAPP_CHROMIUM": "the browser of tests, screenshots and `benchmarks/page.py`, if not the first one on PATH",
    "OMP_NUM_THREADS": "threads of a process, for models as for all else that computes, if not one per core",
    "REIDAPP_SHARED": "the folder with real footage for tests, if not `../shared`",
}
"""What is read from the environment, with what it is for."""


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f'unknown time zone "{name}"; give an IANA name such as Europe/Berlin or UTC') from error
    return name


def _check_name(name: str) -> str:
    if not name.strip():
        raise ValueError("a camera needs a name; give one that is not empty")
    return name


def _check_sampling(text: str) -> str:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)fps", text)
    if text not in ("all", "keyframes", "motion") and not (match and 0.1 <= float(match[1]) <= 60):
        known = "a rate such as 2fps (0.1 to 60), keyframes, motion or all"
        raise ValueError(f'unknown sampling "{text}"; give {known}')
    return text


def _absolute(detector: str) -> str:
    """The detector is opened again by searches, which may run from another folder."""
    name, colon, path = detector.partition(":")
    return f"{name}:{Path(path).expanduser().resolve()}" if colon else detector


def _read_offset(value: object) -> object:
    """Seconds of ``+12.5s``, ``-90``, ``1.5m``, ``2h``."""
    match = re.fullmatch(r"([+-]?\d+(?:\.\d+)?) ?([smh]?)", value.strip()) if isinstance(value, str) else None
    if match:
        return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]
    if isinstance(value, str):
        raise ValueError(f'"{value}" is no offset; give seconds, minutes or hours, such as +12.5s, -2m or 1h')
    return value


class CameraSettings(BaseModel):
    """What a user says of one camera; None leaves it as it is.

    Attributes:
        name: what it is to be called.
        zone: IANA name of the zone that its clock shows.
        offset: seconds by which its clock is ahead of the true time, negative where it is behind.
        group: several cameras' common name; "" takes it out of its group.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, AfterValidator(_check_name)] | None = None
    zone: Annotated[str, AfterValidator(_check_zone)] | None = None
    offset: Annotated[float, BeforeValidator(_read_offset), Field(ge=-1e10, le=1e10, allow_inf_nan=False)] | None = None
    group: str | None = None

    @classmethod
    def checked(cls, where: str, called: Mapping[str, str] | None = None, /, **values: object) -> "CameraSettings":
        """The settings, or one clear line.

        Args:
            where: what an error begins with, before the setting's name.
            called: other names of settings, by which the user knows them.

        Raises:
            UserError: a value is not valid, or a setting is unknown.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            key = str(first["loc"][0])
            key = (called or {}).get(key, key)
            if first["type"] == "extra_forbidden":
                known = list(cls.model_fields)
                raise UserError(f"{where}{key}: unknown{suggestion(key, known)}; known: {', '.join(known)}") from error
            raise UserError(f"{where}{key}: {first['msg'].removeprefix('Value error, ')}") from error


def read_cameras(file: Path) -> dict[str, CameraSettings]:
    """The cameras of a TOML file: a table for each, by the name that its folder or its files have.

    Raises:
        UserError: no such file, no TOML, or something in it that is not valid.
    """
    try:
        tables = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{file}: not TOML ({error})") from error
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise UserError(f"{file}: {name} stands outside a camera's table; begin each with its name, as in [gate]")
    read = {name: CameraSettings.checked(f"{file}: [{name}] ", **table) for name, table in tables.items()}
    names = [settings.name or name for name, settings in read.items()]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f'{file}: two cameras are called "{twice}"; index them, then join them by --merge-into')
    return read


class IndexSettings(BaseModel):
    """How footage becomes rows.

    Attributes:
        kind: of files that are taken; others in the folder are passed over.
        sampling: ``Nfps``; ``keyframes``, two a second at most; ``motion``, as 2fps, and frames that have not changed
            are not looked at; ``all``.
        detector: ``hog``; ``yolox:PATH``, ``yolo:PATH`` or ``torchvision:PATH``; or the name of one that was pulled.
        template: of the path below the folder, for example ``{camera}/{start}``, or a recorder's name; None guesses.
        zone: IANA name of the zone that new cameras' clocks show.
        chunk_s: length of the unit of work and of commit, seconds of video.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = "videos"
    sampling: Annotated[str, AfterValidator(_check_sampling)] = "2fps"
    detector: Annotated[str, AfterValidator(_absolute)] = "hog"
    template: str | None = None
    zone: Annotated[str, AfterValidator(_check_zone)] = Field(default_factory=lambda: local_zone())
    chunk_s: float = Field(default=60.0, gt=0, allow_inf_nan=False)

    @property
    def fps(self) -> float | None:
        """Samples per second, at most; None takes every frame."""
        if self.keyframes or self.motion:
            return 2.0
        return None if self.sampling == "all" else float(self.sampling.removesuffix("fps"))

    @property
    def keyframes(self) -> bool:
        """Whether frames that other frames refer to are all that is decoded."""
        return self.sampling == "keyframes"

    @property
    def motion(self) -> bool:
        """Whether frames without change are passed over."""
        return self.sampling == "motion"

    def unlike(self, stored: dict[str, object]) -> str:
        """What a recording was begun with, where these settings would find other tracklets; "" where they agree."""
        deciding = ("sampling", "detector", "chunk_s")
        same = vars(self)
        return ", ".join(f"{key} {stored[key]}" for key in deciding if stored.get(key, same[key]) != same[key])

    @classmethod
    def checked(cls, **values: object) -> "IndexSettings":
        """The settings, or one clear line.

        Raises:
            UserError: a value is not valid.
        """
        try:
            return cls.model_validate({key: value for key, value in values.items() if value is not None})
        except ValidationError as error:
            first = error.errors()[0]
            option = "--" + "-".join(str(part) for part in first["loc"]).replace("kind", "as")
            raise UserError(f"{option}: {first['msg'].removeprefix('Value error, ')}") from error


def local_zone() -> str:
    """The IANA name of this machine's time zone, or UTC where it cannot be told."""
    candidates = [os.environ.get("TZ", "").removeprefix(":")]
    link = Path("/etc/localtime")
    if link.is_symlink():
        candidates.append(str(link.resolve()).partition("zoneinfo/")[2])
    for name in filter(None, candidates):
        try:
            return "UTC" if name == "Etc/UTC" else _check_zone(name)  # one name, so that no camera has another
        except ValueError:
            continue
    return "UTC"
