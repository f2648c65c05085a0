"""Detectors that are fetched by name: which there are, where their files lie, and how a file gets there whole."""

import dataclasses
import hashlib
import json
import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from reidapp.errors import UserError
from reidapp.files import flush_folder, locked, write_whole

RELEASES = Path(__file__).parent / "footage" / "detection" / "releases.toml"
PARTIAL = "partial-downloads"  # beside the finished files: a rename cannot cross disks


@dataclass(frozen=True)
class Release:
    """A detector that its own project publishes.

    Attributes:
        detector: what runs it, a name in `reidapp.footage.detection`.
        source: its project's page.
        scores: in words, and whose.
        megabytes: of the ONNX file, about.
        url: of the ONNX file; or
        weights: torchvision's name of weights, which are exported.
        sha256: of the ONNX file, where its bytes have been held; "" where the first download is recorded instead.
    """

    name: str
    detector: str
    source: str
    licence: str
    scores: str
    megabytes: float
    url: str = ""
    weights: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Record:
    """What was fetched: written beside the file, before it.

    Attributes:
        url: where the bytes came from.
        size: bytes.
        date: of the first download, UTC.
    """

    name: str
    detector: str
    url: str
    size: int
    sha256: str
    date: str

    def __str__(self) -> str:
        return f"{self.size / 1e6:.1f} MB from {self.url}, sha256 {self.sha256}, recorded {self.date[:10]}"

    @classmethod
    def read(cls, folder: Path, name: str) -> "Record | None":
        """The record of a name in a folder; None if there is none.

        Raises:
            UserError: a file that is no such record.
        """
        path = record_file(folder, name)
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise UserError(f"{path}: not a record of a download; delete it and pull {name} again") from error


@cache
def releases() -> dict[str, Release]:
    """The detectors that can be fetched, by name."""
    return {name: Release(name, **facts) for name, facts in tomllib.loads(RELEASES.read_text("utf-8")).items()}


def default_folder() -> Path:
    """Where pulled detectors lie, and where they are looked for by name."""
    from platformdirs import user_data_path

    return user_data_path("reidapp", appauthor=False) / "detectors"


def model_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.onnx"


def record_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def pulled(folder: Path | None = None) -> dict[str, Path]:
    """Files of the detectors that are there, by name."""
    folder = folder or default_folder()
    files = {name: model_file(folder, name) for name in releases()}
    return {name: path for name, path in files.items() if path.is_file() and record_file(folder, name).is_file()}


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pull(
    release: Release, obtain: Callable[[Path], None], folder: Path | None = None, url: str | None = None
) -> tuple[Record, bool]:
    """Put a detector's file into a folder, checked; it is there whole, or not at all.

    Pulls of the same detector wait for each other; the later ones find it there.

    Args:
        obtain: brings the ONNX file to the path it is given.
        folder: the default one without.
        url: where ``obtain`` has it from; the release's own without.

    Returns:
        its record, and whether anything was fetched.

    Raises:
        UserError: other bytes than those pinned or recorded, or a file that does not run.
    """
    from reidapp.download import without_user

    folder = folder or default_folder()
    path = model_file(folder, release.name)
    partial = folder / PARTIAL / path.name
    partial.parent.mkdir(parents=True, exist_ok=True)
    with locked(partial.with_name(f"{partial.name}.lock")):
        known = Record.read(folder, release.name)
        if known and path.is_file() and sha256_of(path) == known.sha256:
            return known, False
        obtain(partial)
        try:
            found = Record(
                release.name,
                release.detector,
                without_user(url or release.url or release.weights)[0],
                partial.stat().st_size,
                sha256_of(partial),
                datetime.now(UTC).isoformat(timespec="seconds"),
            )
            _compare(found, release, folder)
            _try(found, partial)
            if known and known.sha256 == found.sha256:
                found = known
        except UserError:
            partial.unlink(missing_ok=True)
            raise
        write_whole(record_file(folder, release.name), json.dumps(dataclasses.asdict(found), indent=1).encode())
        os.replace(partial, path)
        flush_folder(folder)
    return found, True


def _compare(found: Record, release: Release, folder: Path) -> None:
    if release.weights:
        return  # torchvision has checked its file; the export's bytes depend on the version of torch
    expected, why = release.sha256, "is pinned"
    if not expected:
        for place in dict.fromkeys((folder, default_folder())):
            if earlier := Record.read(place, release.name):
                expected, accept = earlier.sha256, f"to accept a new file, delete {record_file(place, found.name)}"
                why = f"was recorded on {earlier.date[:10]} ({accept})"
                break
    if expected and found.sha256 != expected:
        raise UserError(f"{found.url}: not kept: its sha256 is {found.sha256}, while {expected} {why}")


def _try(found: Record, partial: Path) -> None:
    try:
        run_detector(f"{found.detector}:{partial}")
    except UserError as error:
        raise UserError(f"{found.url}: not kept: what came is no detector that runs here ({error})") from error


def run_detector(spec: str) -> None:
    """Open a detector and look at one frame.

    Raises:
        UserError: there is no such detector, or it does not run.
    """
    import numpy as np

    from reidapp.footage.detection import open_detector

    opened = open_detector(spec)
    frame = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    try:
        opened.detect([frame])
    except Exception as error:  # ONNX Runtime raises a class per fault, all directly below Exception
        raise UserError(f"--detector {spec}: does not run ({' '.join(str(error).split())})") from error
