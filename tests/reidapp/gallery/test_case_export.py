import csv
import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from reidapp.box import Box
from reidapp.errors import UserError
from reidapp.footage.decoding import frames, probe
from reidapp.gallery.case_export import export_case
from reidapp.gallery.cases import Cases, NewCaseHit
from reidapp.imaging import cut
from tests.reidapp.gallery.test_cases import of_camera
from tests.small_gallery import FOOTAGE, frame_at, make_gallery


@pytest.mark.slow
@pytest.mark.parametrize("show_heads", [False, True])
def test_an_archive_is_whole_and_heads_are_blurred_in_it(tmp_path: Path, show_heads: bool) -> None:
    gallery = make_gallery(tmp_path)
    cases, ids = Cases(gallery, "me"), of_camera(gallery, "Gate")
    cases.new("coat")
    cases.add("coat", [NewCaseHit(ids[0], verdict="yes", note="=1+1")])
    cases.add("coat", [NewCaseHit(of_camera(gallery, "Hall")[0])])
    gallery.tracklet(of_camera(gallery, "Hall")[0]).video.path.unlink()
    found = export_case(gallery, "coat", tmp_path / "coat.zip", "me", show_heads=show_heads)
    assert (found.hits, found.clips) == (2, 1)
    assert "clip 2: recording gone" in found.left_out[0]
    assert found.to_dict()["file"] == "coat.zip"  # where it lies is the server's business
    assert found.sha256 == hashlib.sha256(found.file.read_bytes()).hexdigest()
    with pytest.raises(UserError, match="is there already"):
        export_case(gallery, "coat", found.file, "me")

    archive = zipfile.ZipFile(found.file)
    manifest = dict(reversed(line.split("  ", 1)) for line in archive.read("manifest.sha256").decode().splitlines())
    assert sorted([*manifest, "manifest.sha256"]) == sorted(archive.namelist())
    for name, digest in manifest.items():
        assert hashlib.sha256(archive.read(name)).hexdigest() == digest
    told = json.loads(archive.read("case.json"))
    assert told["heads_blurred"] != show_heads
    assert str(tmp_path) not in archive.read("case.json").decode()
    rows = list(csv.DictReader(io.StringIO(archive.read("hits.csv").decode("utf-8-sig"))))
    assert [row["camera"] for row in rows] == ["Gate", "Hall"]
    assert rows[0]["note"] == "'=1+1"  # no spreadsheet shall take it for a formula

    (name,) = (name for name in archive.namelist() if name.endswith(".mp4"))
    (clip := tmp_path / "clip.mp4").write_bytes(archive.read(name))
    assert probe(clip).codec == "h264"
    walk = FOOTAGE["Gate", "Europe/Berlin"][0]
    changed = [
        np.abs(cut(frame.image, head).astype(int) - cut(frame_at([walk], frame.time_s), head)).mean()
        for frame in frames(clip, 2, 4.5, None)  # the clip begins with the recording, and nobody else is there yet
        for box in [walk.box(frame.time_s)]
        for head in [Box(box.x1, box.y1, box.x2, box.y1 + 0.2 * box.height)]
    ]
    assert max(changed) < 7 if show_heads else min(changed) > 12
