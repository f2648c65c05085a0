"""A case as one archive, to be given to somebody else.

    case.json         the case, its hits with notes and verdicts, the recordings they come from
    hits.csv          the hits, a line each
    clips/*.mp4       each hit with some seconds before and after it
    shots/*.jpg       its best shot
    contact-sheet.html   all best shots, with camera, time and verdict
    manifest.sha256   a digest of every other file: `sha256sum -c manifest.sha256`

Heads are blurred unless that is asked for otherwise.
"""

import csv
import hashlib
import io
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from reidapp import __version__, files
from reidapp.errors import UserError
from reidapp.footage.clips import write_clip
from reidapp.gallery.between import seconds_between, tracklet_between
from reidapp.gallery.blurring import Blurring
from reidapp.gallery.cases import CaseHit, Cases
from reidapp.gallery.contact_sheet import contact_sheet
from reidapp.gallery.facts import iso
from reidapp.gallery.heads import blurred_shot
from reidapp.gallery.recordings import IN_WORDS, PRESENT, Recordings
from reidapp.gallery.store import Gallery
from reidapp.imaging import is_picture, read_image
from reidapp.wording import counts

AROUND_S, _LONGEST_S = 3.0, 300.0
_FIELDS = (
    "number", "tracklet", "camera", "start", "end", "verdict", "note", "score", "p_match", "file", "clip", "by", "at",
)  # fmt: skip

Progress = Callable[[float, float, str], None]


@dataclass(frozen=True)
class Part:
    """What of a case is exported: hits of these cameras (None: all), between two times; clips end at those too."""

    cameras: Sequence[str] | None = None
    after: datetime | None = None
    before: datetime | None = None

    def of(self, hits: Sequence[CaseHit]) -> list[CaseHit]:
        """Those hits, as far as they lie in it."""
        found = []
        for hit in hits:
            if self.cameras is None or hit.info.camera in self.cameras:
                info = tracklet_between(hit.info, self.after, self.before)
                found += [replace(hit, info=info)] if info else []
        return found


WHOLE = Part()


@dataclass(frozen=True)
class Export:
    """An archive that was written. ``left_out``: what is not in it, and why."""

    file: Path
    hits: int
    clips: int
    blurred: bool
    sha256: str
    left_out: list[str]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: the file by its name alone, as its place is nobody's business but the server's."""
        return {**vars(self), "file": self.file.name}

    def __str__(self) -> str:
        heads = "heads are blurred" if self.blurred else "heads are shown"
        lines = [f"{self.file}: {counts(hit=self.hits, clip=self.clips)}; {heads}; sha256 {self.sha256}"]
        return "\n".join([*lines, *(f"  left out: {each}" for each in self.left_out)])


def export_case(
    gallery: Gallery,
    name: str,
    target: Path,
    by: str,
    *,
    show_heads: bool = False,
    part: Part = WHOLE,
    progress: Progress = lambda done, total, text: None,
) -> Export:
    """Write a case as an archive; ``target`` is whole or not there.

    Args:
        by: who exports, which the archive says.
        show_heads: leave heads as they are.
        part: only these cameras and this time.

    Raises:
        UserError: no such case, nothing of that in it, or there is such a file already.
    """
    cases = Cases(gallery, by)
    case, hits = cases.get(name), part.of(cases.hits(name))
    case = replace(case, hits=len(hits))
    if not hits:
        raise UserError(f'case "{name}": nothing in it; `reidapp case add` puts hits into it')
    if target.exists():
        raise UserError(f"{target}: is there already; give another name")
    left_out: list[str] = []
    rows, pictures = [], []
    states = Recordings().states([hit.info.video for hit in hits])
    with files.disk_named(target.parent), tempfile.TemporaryDirectory(dir=target.parent) as folder:
        archive = _Archive(Path(folder) / "case.zip")
        with archive:
            for number, hit in enumerate(hits, start=1):
                progress(number - 1, len(hits), hit.info.camera)
                stem = f"{number:03}-{_plain(hit.info.camera)}-{hit.info.start:%Y%m%dT%H%M%SZ}"
                if (shot := _shot(gallery, hit, show_heads)) is not None:
                    pictures.append((number, hit, _jpeg(shot)))
                    archive.add(f"shots/{stem}.jpg", pictures[-1][2])
                clip, state = "", states[hit.info.video.id]
                if state != PRESENT:
                    left_out.append(f"clip {number}: {IN_WORDS[state]}")
                elif not is_picture(hit.info.video.path):
                    try:
                        _clip(gallery, hit, made := Path(folder) / "clip.mp4", show_heads, part)
                        archive.add(clip := f"clips/{stem}.mp4", made)
                    except UserError as error:
                        left_out.append(f"clip {number}: {error}")
                rows.append({"number": number, **hit.to_dict(), "clip": clip})
            said = {
                "exported": iso(datetime.now(UTC)),
                "by": by,
                "reidapp": __version__,
                "heads_blurred": not show_heads,
            }
            sheet = contact_sheet(case, pictures, _told(said))
            archive.add("contact-sheet.html", sheet.encode())
            facts = {"case": case.to_dict(), **said, "left_out": left_out, "hits": rows}
            archive.add("case.json", json.dumps(facts, ensure_ascii=False, indent=1).encode())
            archive.add("hits.csv", _csv(rows))
            archive.finish()
        digest = _digest(archive.path)
        os.replace(archive.path, target)
    files.flush_folder(target.absolute().parent)
    progress(len(hits), len(hits), "")
    return Export(target, len(hits), sum(bool(row["clip"]) for row in rows), not show_heads, digest, left_out)


class _Archive:
    """A ZIP file that knows the digests of what is in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED)
        self._digests: dict[str, str] = {}

    def __enter__(self) -> "_Archive":
        return self

    def __exit__(self, *error: object) -> None:
        self._zip.close()

    def add(self, name: str, data: bytes | Path) -> None:
        """
        Args:
            data: what is in it, or the file that has it.
        """
        packed = zipfile.ZIP_STORED if name.endswith((".mp4", ".jpg")) else zipfile.ZIP_DEFLATED
        if isinstance(data, Path):
            self._zip.write(data, name, packed)
            self._digests[name] = _digest(data)
        else:
            self._zip.writestr(name, data, packed)
            self._digests[name] = hashlib.sha256(data).hexdigest()

    def finish(self) -> None:
        """Add the manifest."""
        lines = [f"{digest}  {name}\n" for name, digest in sorted(self._digests.items())]
        self._zip.writestr("manifest.sha256", "".join(lines))


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _shot(gallery: Gallery, hit: CaseHit, show_heads: bool) -> np.ndarray | None:
    crop = next((crop for crop in hit.info.crops if crop.id == hit.crop), None)
    if crop is None or not crop.file.is_file():
        return None
    return read_image(crop.file) if show_heads else blurred_shot(gallery, crop.id)


def _clip(gallery: Gallery, hit: CaseHit, file: Path, show_heads: bool, part: Part) -> None:
    info = hit.info
    start_s = max(0.0, info.start_s - AROUND_S)
    end_s = min(info.end_s + AROUND_S, start_s + _LONGEST_S)
    start_s, end_s = seconds_between(info.video, start_s, end_s, part.after, part.before)
    if show_heads:
        write_clip(info.video.path, file, start_s, end_s)
        return
    blurring = Blurring(gallery, info.video, start_s, end_s, part.after, part.before)
    write_clip(info.video.path, file, start_s, end_s, lambda frame: blurring(frame.image, frame.time_s))


def _told(said: dict[str, Any]) -> str:
    heads = "heads are blurred" if said["heads_blurred"] else "heads are shown"
    return f"exported {said['exported']} by {said['by']} with reidapp {said['reidapp']}; {heads}"


def _csv(rows: Sequence[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, _FIELDS, extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        line = {**row, "file": row["recording"]["file"]}
        writer.writerow({key: _unarmed(value) if isinstance(value, str) else value for key, value in line.items()})
    return text.getvalue().encode("utf-8-sig")  # spreadsheets take it for another encoding without the mark


def _unarmed(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _jpeg(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _plain(name: str) -> str:
    """A camera's name as a part of a file's."""
    return re.sub(r"[^\w.-]+", "_", name)[:60]
