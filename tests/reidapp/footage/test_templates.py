"""Paths are strings: what they say needs no files."""

import unicodedata
from datetime import datetime
from pathlib import Path

import pytest

from reidapp.errors import UserError
from reidapp.footage.templates import PathFacts, PathReader, fitting, parse_template, recorders
from reidapp.gallery.cameras import start_ms
from reidapp.gallery.facts import utc

BERLIN = "Europe/Berlin"
FOLDER = Path("/mnt/site/recordings")
TEN = "2026-03-02T10:00:00"


def read(name: str, template: str | None = None) -> PathFacts | None:
    return PathReader(FOLDER, template).read(name)


def start(name: str, zone: str, template: str | None = None) -> str:
    """The start in UTC, by a camera's clock in a zone."""
    facts = read(name, template)
    assert facts is not None
    assert facts.written is not None
    return utc(start_ms(facts.written.isoformat(), zone, 0.0)).replace(tzinfo=None).isoformat()


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
        ("gate/2026-03-02_10-00-00.500.mp4", "gate", TEN + ".5"),
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
def test_guess(name: str, camera: str, start: str | None) -> None:
    written = datetime.fromisoformat(start) if start else None
    facts = read(name)
    assert facts is not None
    assert facts.camera == camera
    assert (facts.written and facts.written.replace(tzinfo=None)) == written
    assert facts.start_source == ("name" if start else "")


@pytest.mark.parametrize(
    ("name", "expected"),
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
def test_time_is_the_cameras_unless_it_names_a_zone(name: str, expected: str) -> None:
    assert start(f"gate/{name}.mp4", BERLIN) == expected


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
        # Day before month, without leading zeros, on a clock of twelve hours, with a fraction.
        ("{camera} {start:%-d-%-m-%Y %-H.%M}", "gate 2-3-2026 10.00.mp4", "gate", TEN),
        ("{camera} {start:%-m-%-d-%Y %-H.%M}", "gate 3-2-2026 10.00.mp4", "gate", TEN),
        ("{camera} {start:%-m-%-d-%Y, %-I.%M%p}", "gate 3-2-2026, 12.05am.mp4", "gate", "2026-03-02T00:05:00"),
        ("{camera} {start:%-m-%-d-%Y, %-I.%M%p}", "gate 3-2-2026, 12.05PM.mp4", "gate", "2026-03-02T12:05:00"),
        ("{camera}/{start:%Y-%m-%d_%H-%M-%S-%f}", "gate/2026-03-02_10-00-00-250000.mp4", "gate", TEN + ".25"),
        # Of two times, the first is the start.
        ("{camera}_{start:%Y%m%d%H%M%S}{any}", "gate 1_20260302100000_20260302110000.mp4", "gate 1", TEN),
        # Names in every script.
        ("{camera}/{start}", "大门/20260302_100000.mp4", "大门", TEN),
        ("{camera}_{start}", "البوابة_20260302_100000.mp4", "البوابة", TEN),
        ("{camera} {start}", "🚪 north 20260302_100000.mp4", "🚪 north", TEN),
        ("{camera}/{any}", "gate/20260302_100000.mp4", "gate", TEN),
        ("{camera}/{any}", "gate/one.mp4", "gate", None),
        ("{camera}", "gate (1+1).mp4", "gate (1+1)", None),
        # No camera in the template: the folder, or else the file's name.
        ("{any}/{start}", "gate/20260302_100000.mp4", "gate", TEN),
        ("rec_{start}", "rec_20260302_100000.mp4", "rec", TEN),
        ("{start}", "20260302_100000.mp4", "recordings", TEN),
    ],
)
def test_template(template: str, name: str, camera: str, start: str | None) -> None:
    source = "" if start is None else "name" if "start" not in template else "template"
    facts = read(name, template)
    assert facts is not None
    assert (facts.camera, facts.start_source) == (camera, source)
    if start is None:
        assert facts.written is None
    else:
        expected = datetime.fromisoformat(start)
        assert facts.written is not None
        written = facts.written.replace(tzinfo=None) if "Z" in name else facts.written
        assert written == expected if written.tzinfo is None else written.timestamp() == start_ms(TEN, "UTC", 0) / 1000


def test_template_times_are_the_cameras() -> None:
    template = "{camera}/{start:%Y-%m-%d_%H-%M-%S}"
    assert start("gate/2026-07-15_10-00-00.mp4", BERLIN, template) == "2026-07-15T08:00:00"
    assert start("gate/2026-10-25_02-30-00.mp4", BERLIN, template) == "2026-10-25T00:30:00"


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
def test_what_does_not_fit(template: str, name: str) -> None:
    assert read(name, template) is None


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
        ("{camera}/{start:%Y-%m-%d %I.%M}", "needs %p"),
        ("{any}{any}{any}{camera}{start}", "more than 3"),  # a long name would take minutes not to fit
    ],
)
def test_template_that_makes_no_sense(template: str, words: str) -> None:
    with pytest.raises(UserError) as error:
        parse_template(template)
    assert words in str(error.value)
    assert str(error.value).startswith("--template")
    assert "\n" not in str(error.value)


def test_one_camera_however_its_umlaut_is_written() -> None:
    composed, apart = (unicodedata.normalize(form, "Tür Süd") for form in ("NFC", "NFD"))
    assert composed != apart
    for template in (None, "{camera}/{start}"):
        facts = read(f"{apart}/2026-03-02_10-00-00.mp4", template)
        assert facts is not None
        assert facts.camera == composed


RECORDINGS = {
    "frigate": [
        ("2026-07-15/08/front_door/30.05.mp4", "front_door", "2026-07-15T08:30:05"),  # UTC, not Berlin's
        ("2026-01-01/00/后院/00.00.mp4", "后院", "2026-01-01T00:00:00"),
        ("nvr/recordings/2026-10-25/00/garage/59.59.mp4", "garage", "2026-10-25T00:59:59"),
    ],
    "frigate-0.11": [("2022-07/15/10/front_door/30.05.mp4", "front_door", "2022-07-15T08:30:05")],
    "reolink": [
        ("Zs4 Doorbell_00_20240605152917.mp4", "Zs4 Doorbell", "2024-06-05T13:29:17"),
        ("2024/06/05/Front_Door_01_20240605152917.mp4", "Front_Door", "2024-06-05T13:29:17"),
        (
            "yard/Mp4Record/2023-04-26/RecS02_DST20230426_145918_150032_2B14808_32F1DF.mp4",
            "yard",
            "2023-04-26T12:59:18",
        ),
        ("yard/Mp4Record/2020-12-22/RecM01_20201222_075939_080140_6D28808_1A468F9.mp4", "yard", "2020-12-22T06:59:39"),
        ("9527000XXXX-البوابة/Mp4Record/2024-08-27/RecM02_DST20240827_090302_090334_0_800_800_033C820000_6.mp4",
         "9527000XXXX-البوابة", "2024-08-27T07:03:02"),
        ("card/RecS07_20250219_111146_111238_0_A714C0A000_21E67C.mp4", "card", "2025-02-19T10:11:46"),
        ("card/Rec_20230517_043229_541_M.mp4", "card", "2023-05-17T02:32:29"),
    ],
    "hikvision": [
        ("192.168.0.64_01_20190319093422939_MOTION_DETECTION.mp4", "192.168.0.64_01", "2019-03-19T08:34:22.939000"),
        ("gg_733804851_20190319124752348_LINE.mp4", "gg_733804851", "2019-03-19T11:47:52.348000"),
        ("Camera 01_20230101235500_20230102000500.mp4", "Camera 01", "2023-01-01T22:55:00"),
        ("ch01_08000000058000601.mp4", "ch01", None),
        ("gate/datadir0/hiv00011.mp4", "gate", None),
    ],
    "dahua": [
        ("AMC0028V_795UUB/2021-03-06/001/dav/10/10.27.32-10.28.00[M][0@0][0].dav", "AMC0028V_795UUB",
         "2021-03-06T09:27:32"),
        ("Camara 1 - Consell/2020-10-04/mp4_g/17.46.01-18.32.08[R][0@0][0].mp4", "Camara 1 - Consell",
         "2020-10-04T15:46:01"),
        ("NVR_ch1_main_20230619064223_20230619064228.dav", "NVR_ch1", "2023-06-19T04:42:23"),
        ("XVR_ch12_main_20260604130000_20260604135959.mp4", "XVR_ch12", "2026-06-04T11:00:00"),
    ],
    "dahua-nvr": [
        ("2026-09-13/002/dav/00/00.44.33-00.44.57[M][0@0][0].dav", "002", "2026-09-12T22:44:33"),
        ("dvr/2026-09-13/000/dav/08/08.20.31-08.49.43[R][0@0][0].dav", "000", "2026-09-13T06:20:31"),
    ],
    "unifi-protect": [
        ("Front Door - 2-9-2020, 11.21.12pm.mp4", "Front Door", "2020-02-09T22:21:12"),
        ("Front Door - 12-10-2020, 12.00.01am.mp4", "Front Door", "2020-12-09T23:00:01"),
        ("Tor - Süd 🚗 - 7-4-2026, 1.05.09PM.mp4", "Tor - Süd 🚗", "2026-07-04T11:05:09"),
        ("Front Door 1a2b - 2020-03-15 - 23.21.12+0000.mp4", "Front Door 1a2b", "2020-03-15T23:21:12"),
    ],
    "unifi-protect-day-first": [
        ("Front Door - 9-2-2020, 11.21.12pm.mp4", "Front Door", "2020-02-09T22:21:12"),
        ("Front Door - 31-12-2025, 23.21.12.mp4", "Front Door", "2025-12-31T22:21:12"),
    ],
    "blue-iris": [
        ("DRIVEWAY.20200827_131840.mp4", "DRIVEWAY", "2020-08-27T11:18:40"),
        ("202008/AIFOSCAM.20200827_131840312.mp4", "AIFOSCAM", "2020-08-27T11:18:40.312000"),
        ("20200827_131840.Yard.avi", "Yard", "2020-08-27T11:18:40"),
    ],
    "axis": [
        ("axis-ACCC8EE207AE/20211020/14/20211020_143325_B4F5_ACCC8EE207AE/20211020_14/20211020_145333_CB36.mkv",
         "ACCC8EE207AE", "2021-10-20T12:53:33"),
        ("my_axis_cams/20250114_093000_1A2B_ACCC8E123456.mkv", "ACCC8E123456", "2025-01-14T08:30:00"),
    ],
    "mediamtx": [("live/gate/2026-03-02_10-00-00-123456.mp4", "gate", "2026-03-02T09:00:00.123000")],
    "motioneye": [("Camera1/2026-03-02/10-00-00.mp4", "Camera1", "2026-03-02T09:00:00")],
    "synology": [("Gate/20260302AM/Gate-20260302-100000-1772442000.mp4", "Gate", "2026-03-02T09:00:00")],
    "brickcom": [("20140509-000500-001000_192.168.1.11-CH2.avi", "192.168.1.11-CH2", "2014-05-08T22:05:00")],
    "canon-vk": [("NVR_MEDIA_00A0B0C0D0E0F000_20080702_100000_20080702_110000.avi", "00A0B0C0D0E0F000",
                  "2008-07-02T10:00:00")],
    "openipc": [("gate/2026-03-02/10-05.mp4", "gate", "2026-03-02T09:05:00")],
    "reidapp": [("gate/2026-03-02/10-00-00.250000Z.mp4", "gate", "2026-03-02T10:00:00.250000")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("recorder", "name", "camera", "expected"),
    [(recorder, *recording) for recorder, recordings in RECORDINGS.items() for recording in recordings],
)
def test_recorder(recorder: str, name: str, camera: str, expected: str | None) -> None:
    facts = read(name, recorder)
    assert facts is not None
    assert facts.camera == camera
    if expected is None:
        assert (facts.written, facts.start_source) == (None, "")
    else:
        assert facts.start_source == "template"
        assert start(name, BERLIN, recorder) == expected


def test_every_recorder_is_tested() -> None:
    assert set(RECORDINGS) == set(recorders())


@pytest.mark.parametrize(
    ("recorder", "name"),
    [
        ("frigate", "2026-07-15/08/30.05.mp4"),
        ("frigate", "2026-07-15/25/gate/30.05.mp4"),
        ("unifi-protect", "Front Door - 31-12-2025, 11.21.12pm.mp4"),  # the day first
        ("unifi-protect", "Front Door - 2-9-2020, 13.21.12pm.mp4"),
        ("unifi-protect-day-first", "Front Door - 12-31-2025, 11.21.12pm.mp4"),
        ("blue-iris", "DRIVEWAY 20200827_131840.mp4"),
        ("reolink", "Doorbell_20240605152917.mp4"),
        ("dahua", "cam/2021-03-06/001/jpg/10/27/32[M][0@0][0].mp4"),
    ],
)
def test_what_a_recorder_does_not_write(recorder: str, name: str) -> None:
    assert read(name, recorder) is None


def test_a_recorder_fits_whatever_folder_was_asked_for() -> None:
    below = PathReader(Path("/mnt/frigate/recordings/2026-07-15/08"), "frigate").read("gate/30.05.mp4")
    assert below == PathReader(Path("/mnt/frigate"), "frigate").read("recordings/2026-07-15/08/gate/30.05.mp4")
    assert below is not None
    assert below.camera == "gate"


def test_an_unknown_recorder_is_said() -> None:
    with pytest.raises(UserError, match=r'"frigat" is no recorder.*: axis, blue-iris.*; did you mean "frigate"\?$'):
        PathReader(FOLDER, "frigat")


@pytest.mark.parametrize(
    ("names", "fit"),
    [
        (["2026-03-02/10/gate/00.00.mp4", "2026-03-02/10/yard/00.10.mp4"], ["frigate"]),
        (["192.168.1.64_01_20260302100000123_20260302100025.mp4"], ["reolink", "hikvision"]),
        (["gate/2026-03-02/10-00-00.mp4"], []),  # motioneye's, which is guessed right
        (["gate/2026-03-02_10-00-00.mp4"], []),
        (["2026-03-02/10/gate/00.00.mp4", "holiday.mp4"], []),
        (["movie.mp4"], []),
    ],
)
def test_recorders_are_known_by_paths_that_a_guess_reads_otherwise(names: list[str], fit: list[str]) -> None:
    assert fitting(FOLDER, names) == fit
