"""Settings of an indexing run, checked in one place before any work begins."""

import os
import re
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from reidapp.errors import UserError


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f'unknown time zone "{name}"; give an IANA name such as Europe/Berlin or UTC') from error
    return name


def _check_sampling(text: str) -> str:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)fps", text)
    if text != "all" and not (match and 0.1 <= float(match[1]) <= 60):
        raise ValueError(f'unknown sampling "{text}"; give "all" or a rate such as 2fps (0.1 to 60)')
    return text


def _absolute(detector: str) -> str:
    """The detector is opened again by searches, which may run from another folder."""
    name, colon, path = detector.partition(":")
    return f"{name}:{Path(path).expanduser().resolve()}" if colon else detector


class IndexSettings(BaseModel):
    """How footage becomes rows.

    Attributes:
        sampling: ``Nfps`` or ``all``.
        detector: ``hog`` or ``yolox:PATH``.
        template: of the path below the folder, for example ``{camera}/{start}``; None guesses.
        zone: IANA name of the zone that times in file names are in, where they don't say.
        chunk_s: length of the unit of work and of commit, seconds of video.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sampling: Annotated[str, AfterValidator(_check_sampling)] = "2fps"
    detector: Annotated[str, AfterValidator(_absolute)] = "hog"
    template: str | None = None
    zone: Annotated[str, AfterValidator(_check_zone)] = Field(default_factory=lambda: local_zone())
    chunk_s: float = Field(default=60.0, gt=0, allow_inf_nan=False)

    @property
    def fps(self) -> float | None:
        """Samples per second; None takes every frame."""
        return None if self.sampling == "all" else float(self.sampling.removesuffix("fps"))

    def unlike(self, stored: dict[str, object]) -> str:
        """What a recording was begun with, where these settings would find other tracklets; "" where they agree."""
        deciding = ("sampling", "detector", "chunk_s")
        return ", ".join(f"{key} {stored[key]}" for key in deciding if stored.get(key) != getattr(self, key))

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
            option = "--" + "-".join(str(part) for part in first["loc"])
            raise UserError(f"{option}: {first['msg'].removeprefix('Value error, ')}") from error


def local_zone() -> str:
    """The IANA name of this machine's time zone, or UTC where it cannot be told."""
    candidates = [os.environ.get("TZ", "").removeprefix(":")]
    link = Path("/etc/localtime")
    if link.is_symlink():
        candidates.append(str(link.resolve()).partition("zoneinfo/")[2])
    for name in filter(None, candidates):
        try:
            return _check_zone(name)
        except ValueError:
            continue
    return "UTC"
