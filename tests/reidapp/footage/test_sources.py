import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reidapp.errors import UserError
from reidapp.footage.sources import Skipped, Source, fingerprint, parse_template, scan

BERLIN = "Europe/Berlin"


def only(folder: Path, name: str, template: str | None = None, zone: str = "UTC") -> Source:
    """The one source of a folder in which there is one file."""
    sources, skipped = scan(write(folder, name), template, zone)
    assert skipped == []
    (source,) = sources
    return source


def reason(folder: Path, name: str, template: str) -> str:
    """Why the one file of a folder is left out."""
    sources, skipped = scan(write(folder, name), template, "UTC")
    assert sources == []
    assert [entry.file for entry in skipped] == [name]
    return skipped[0].reason


def write(folder: Path, name: str) -> Path:
    base = folder / "recordings"
    path = base / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"video")
    return base


def utc(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None


TEN = "2026-03-02T10:00:00"


@pytest.mark.parametrize(
    ("name", "camera", "start"),
    [
        # A folder per camera.
        ("gate/2026-03-02_10-00-00.mp4", "gate", TEN),
        ("gate/2026-03-02T10-00-00Z.mp4", "gate", TEN),
        ("gate/2026-03-02T10:00:00Z.mkv", "gate", TEN),
        ("gate/20260302100000.ts", "gate", TEN),
        ("gate/20260302_100000.3gp", "gate", TEN),
        ("gate/2026-03-02 10.00.00.MP4", "gate", TEN),
        ("gate/2026-03-02 - 10h00m00.avi", "gate", TEN),
        ("gate/2026-03-02_10-00-00.500.mp4", "gate", TEN),
        ("gate/2026-03-02/10.00.00-11.00.00.mp4", "gate", TEN),
        ("gate/2026/03/02/10-00-00.mp4", "gate", TEN),
        ("gate/north/20260302_100000.mp4", "gate", TEN),
        ("gate 2026-03-02_10-00-00/part 1.mp4", "gate", TEN),
        ("2/20260302_100000.mp4", "2", TEN),
        # A folder per day is no camera.
        ("2026-03-02/gate/10-00-00.mp4", "gate", None),
        ("2026/03/02/gate/20260302_100000.mp4", "gate", TEN),
        ("20260302/gate_20260302100000.mp4", "gate", TEN),
        # All in one folder.
        ("gate_20260302_100000.mp4", "gate", TEN),
        ("Gate.20260302_100000.mp4", "Gate", TEN),
        ("RLC-410-5MP_00_20260302100000.mp4", "RLC-410-5MP_00", TEN),
        ("NVR_ch1_main_20260302100000_20260302110000.mp4", "NVR_ch1_main", TEN),
        ("20260302_100000_1A2B_ACCC8E123456.mkv", "1A2B_ACCC8E123456", TEN),
        ("gate_20260302-100000-110000.mp4", "gate", TEN),
        ("gate_2026-03-02_10.00.00-11.00.00.mp4", "gate", TEN),
        # No time in it.
        ("hall/00000001.mp4", "hall", None),
        ("hall/movie.mp4", "hall", None),
        ("movie.mp4", "movie", None),
        # Nothing but a time: the folder that was asked for is the camera.
        ("2026-03-02_10-00-00.mp4", "recordings", TEN),
        ("2026-03-02/10-00-00.mp4", "recordings", TEN),
        # Digits that are no time.
        ("hall/2026-13-02_10-00-00.mp4", "hall", None),
        ("hall/2026-02-30_10-00-00.mp4", "hall", None),
        ("hall/2026-03-02_25-00-00.mp4", "hall", None),
        ("hall/2026-03-02.mp4", "hall", None),
        ("hall/10010203040506.mp4", "hall", None),
        ("hall/1772445600.mp4", "hall", None),
        ("hall/120260302100000.mp4", "hall", None),
        ("hall/202603021000001.mp4", "hall", None),
        ("hall/2026-99-99_10-00-00 2026-03-02_10-00-00.mp4", "hall", TEN),
        # Names that a shell or a page could stumble over.
        ('North gate\'s "old" cam/2026-03-02_10-00-00.mp4', 'North gate\'s "old" cam', TEN),
        ("Lagerhalle Süd – 東/2026-03-02_10-00-00.mp4", "Lagerhalle Süd – 東", TEN),
        ("$(id) & {x} %Y_20260302_100000.mp4", "$(id) & {x} %Y", TEN),
    ],
)
def test_guess(tmp_path: Path, name: str, camera: str, start: str | None) -> None:
    source = only(tmp_path, name)
    assert source.camera == camera
    assert source.start == utc(start)
    assert source.start_source == ("name" if start else "")


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("2026-01-15_10-00-00", "2026-01-15T09:00:00"),
        ("2026-07-15_10-00-00", "2026-07-15T08:00:00"),
        ("2026-07-15_10-00-00Z", "2026-07-15T10:00:00"),
        ("20260715T100000z", "2026-07-15T10:00:00"),
        ("2026-07-15T10:00:00+05:30", "2026-07-15T04:30:00"),
        ("20260715T100000-0400", "2026-07-15T14:00:00"),
        ("20260715_100000+0100", "2026-07-15T09:00:00"),
        ("20260715_100000-1100", "2026-07-15T08:00:00"),  # until 11:00, not a zone
        ("20260715T100000-110000", "2026-07-15T08:00:00"),
        ("2026-01-01_00-30-00", "2025-12-31T23:30:00"),
        # Clocks go forward: 02:30 is not there, and is taken as an hour after 01:30.
        ("2026-03-29_01-59-59", "2026-03-29T00:59:59"),
        ("2026-03-29_02-30-00", "2026-03-29T01:30:00"),
        ("2026-03-29_03-00-00", "2026-03-29T01:00:00"),
        # Clocks go back: 02:30 is there twice, and the first is taken.
        ("2026-10-25_02-30-00", "2026-10-25T00:30:00"),
        ("2026-10-25_03-00-00", "2026-10-25T02:00:00"),
    ],
)
def test_time_is_the_cameras_unless_it_names_a_zone(tmp_path: Path, name: str, start: str) -> None:
    source = only(tmp_path, f"gate/{name}.mp4", zone=BERLIN)
    assert source.start == utc(start)
    assert source.start is not None
    assert source.start.utcoffset() == UTC.utcoffset(None)


@pytest.mark.parametrize(
    ("template", "name", "camera", "start"),
    [
        ("{camera}/{start}", "gate/20260302_100000.mp4", "gate", TEN),
        ("{camera}/{start}.{ext}", "gate/20260302T100000Z.ts", "gate", TEN),
        ("{camera}/{start}.mkv", "gate/2026-03-02_10-00-00.mkv", "gate", TEN),
        ("{camera}_{start}", "Main_Gate_2026-03-02_10-00-00.mp4", "Main_Gate", TEN),
        ("{camera}.{start}", "Gate.20260302_100000.mp4", "Gate", TEN),
        ("{camera}/{start}{any}", "gate/20260302_100000-110000.mp4", "gate", TEN),
        ("{any}/{camera}/{start}", "site 1/gate/20260302_100000.mp4", "gate", TEN),
        (
            "{camera}/{start:%Y-%m-%d}/{start:%H-%M-%S}.{ext}",
            "gate/2026-03-02/10-00-00.mp4",
            "gate",
            TEN,
        ),
        ("{start:%Y-%m-%d}/{camera}/{start:%H.%M.%S}", "2026-03-02/gate/10.00.00.mp4", "gate", TEN),
        (
            "{camera}/{start:%Y-%m-%d}/{start:%Y%m%d%H%M%S}",
            "gate/2026-03-02/20260302100000.mp4",
            "gate",
            TEN,
        ),
        ("{camera} {start:%d.%m.%y %H.%M}", "gate 02.03.26 10.00.mp4", "gate", TEN),
        ("{camera}-{start:%b%d%Y-%I%M%S%p}", "gate-Mar022026-100000AM.mp4", "gate", TEN),
        ("{camera}/{start:%Y-%m-%dT%H%M%S%z}", "gate/2026-03-02T120000+0200.mp4", "gate", TEN),
        ("{camera}/{start:%Y%j%H%M%S}", "gate/2026061100000.mp4", "gate", TEN),
        ("{camera}/{start:%Y-%m-%d}", "gate/2026-03-02.mp4", "gate", "2026-03-02T00:00:00"),
        ("{camera}/{any}", "gate/20260302_100000.mp4", "gate", TEN),
        ("{camera}/{any}", "gate/one.mp4", "gate", None),
        ("{camera}", "gate (1+1).mp4", "gate (1+1)", None),
        # No camera in the template: the folder, or else the file's name.
        ("{any}/{start}", "gate/20260302_100000.mp4", "gate", TEN),
        ("rec_{start}", "rec_20260302_100000.mp4", "rec", TEN),
        ("{start}", "20260302_100000.mp4", "recordings", TEN),
    ],
)
def test_template(tmp_path: Path, template: str, name: str, camera: str, start: str | None) -> None:
    source = only(tmp_path, name, template)
    assert source.camera == camera
    assert source.start == utc(start)
    assert source.start_source == ("" if start is None else "name" if "start" not in template else "template")


def test_template_times_are_the_cameras(tmp_path: Path) -> None:
    template = "{camera}/{start:%Y-%m-%d_%H-%M-%S}"
    assert only(tmp_path, "gate/2026-07-15_10-00-00.mp4", template, BERLIN).start == utc("2026-07-15T08:00:00")


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{camera}/{start}", "gate.mp4"),
        ("{camera}/{start}", "gate/movie.mp4"),
        ("{camera}/{start}", "gate/2026-02-30_10-00-00.mp4"),
        ("{camera}/{start}", "site/gate/2026-03-02_10-00-00.mp4"),
        ("{camera}/{start}.mkv", "gate/2026-03-02_10-00-00.mp4"),
        ("{camera}/{start:%Y-%m-%d}", "gate/2026-02-30.mp4"),
        ("{camera}/{start:%Y-%m-%d}", "gate/2026-02-3.mp4"),
        ("{camera}/{start:%Y-%m-%dT%H%M%S%z}", "gate/0001-01-01T000000+0200.mp4"),
        # The folder's date and the file's do not agree.
        ("{camera}/{start:%Y-%m-%d}/{start:%Y%m%d%H%M%S}", "gate/2026-03-02/20260303100000.mp4"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, template: str, name: str) -> None:
    assert reason(tmp_path, name, template) == f"its path does not fit the template {template}"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{camra}/{start}", "unknown field {camra}"),
        ("{camera:%Y}/{start}", "unknown field {camera:%Y}"),
        ("{camera}/{camera}", "stands in it twice"),
        ("{start}/{start}", "stands in it twice"),
        ("{camera}/{start:%Q}", "%Q is not known"),
        ("{camera}/{start:%Y-%m-%d %}", "% is not known"),
        ("{camera}/{start:%H-%M-%S}", "no date"),
        ("{camera}/{start:%m-%d %H-%M-%S}", "no date"),
        ("{camera}/{ start }", "brace"),
        ("{camera/{start}", "brace"),
        ("{}/{start}", "brace"),
    ],
)
def test_template_that_makes_no_sense(template: str, words: str) -> None:
    with pytest.raises(UserError) as error:
        parse_template(template)
    assert words in str(error.value)
    assert str(error.value).startswith("--template")
    assert "\n" not in str(error.value)


def test_scan_takes_videos_in_order_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b/2.mp4", "b/1.MKV", "a/9.ts", "a/notes.txt", "a/picture.jpg", "c.mp4.part"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(7))
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere")
    sources, skipped = scan(tmp_path, None, "UTC")
    assert [source.path for source in sources] == [tmp_path / name for name in ("a/9.ts", "b/1.MKV", "b/2.mp4")]
    assert {source.size for source in sources} == {7}
    assert sources[0].mtime_ns == (tmp_path / "a/9.ts").stat().st_mtime_ns
    assert skipped == []


def test_some_fit_the_template_and_some_do_not(tmp_path: Path) -> None:
    for name in ("gate_20260302_100000.mp4", "holiday.mp4"):
        (tmp_path / name).touch()
    sources, skipped = scan(tmp_path, "{camera}_{start}", "UTC")
    assert [source.camera for source in sources] == ["gate"]
    assert skipped == [Skipped("holiday.mp4", "its path does not fit the template {camera}_{start}")]


def test_one_file(tmp_path: Path) -> None:
    base = write(tmp_path, "gate/20260302_100000.mp4")
    ((source,), _) = scan(base / "gate/20260302_100000.mp4", None, "UTC")
    assert (source.camera, source.start) == ("gate", utc(TEN))


def test_relative_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write(tmp_path, "20260302_100000.mp4"))
    ((source,), _) = scan(Path("."), None, "UTC")
    assert source.camera == "recordings"
    assert source.path == tmp_path / "recordings/20260302_100000.mp4"


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such file or folder"):
        scan(tmp_path / "nowhere", None, "UTC")


def test_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    paths = [tmp_path / name for name in ("a.mp4", "start.mp4", "end.mp4", "longer.mp4")]
    for path, data in zip(
        paths, (content, b"x" + content[1:], content[:-1] + b"x", content + content[-(1 << 20) :]), strict=True
    ):
        path.write_bytes(data)
    prints = [fingerprint(path, path.stat().st_size) for path in paths]
    assert len(set(prints)) == len(paths)
    moved = tmp_path / "moved.mp4"
    paths[0].rename(moved)
    assert fingerprint(moved, len(content)) == prints[0]
    assert len(prints[0]) == 16


def test_fingerprint_of_small_files(tmp_path: Path) -> None:
    prints = set()
    for data in (b"", b"a", b"aa", b"b"):
        (tmp_path / "a.mp4").write_bytes(data)
        prints.add(fingerprint(tmp_path / "a.mp4", len(data)))
    assert len(prints) == 4
