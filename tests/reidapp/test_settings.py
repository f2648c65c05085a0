import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from reidapp.errors import UserError
from reidapp.settings import ENVIRONMENT, CameraSettings, IndexSettings, local_zone, read_cameras

ROOT = Path(__file__).parents[2]


def test_defaults_and_none_for_what_was_not_given() -> None:
    settings = IndexSettings.checked(sampling=None, detector=None, template=None, zone=None)
    assert (settings.sampling, settings.fps, settings.detector, settings.template) == ("2fps", 2.0, "hog", None)
    assert settings.chunk_s == 60
    assert settings.zone == local_zone()


@pytest.mark.parametrize(
    ("text", "fps"),
    [
        ("all", None),
        ("2fps", 2.0),
        ("0.5fps", 0.5),
        ("0.1fps", 0.1),
        ("60fps", 60),
        ("keyframes", 2.0),
        ("motion", 2.0),
    ],
)
def test_sampling(text: str, fps: float | None) -> None:
    settings = IndexSettings.checked(sampling=text)
    assert settings.fps == fps
    assert (settings.keyframes, settings.motion) == (text == "keyframes", text == "motion")


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        *(
            ("sampling", text, f'unknown sampling "{text}"')
            for text in ("2", "fps", "-1fps", "0fps", "61fps", "nanfps")
        ),
        *(("zone", text, f'unknown time zone "{text}"') for text in ("Berlin", "", "../UTC", "/etc", "Europe")),
        ("detector", 3, "string"),
        ("chunk_s", 0, "greater than 0"),
        ("chunk_s", float("inf"), "finite"),
        ("chunk_s", float("nan"), ""),
        ("samplng", "2fps", "not permitted"),
    ],
)
def test_errors_are_one_line_that_names_the_option(option: str, value: object, words: str) -> None:
    with pytest.raises(UserError) as error:
        IndexSettings.checked(**{option: value})
    assert str(error.value).startswith(f"--{option}: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert "Value error" not in str(error.value)


def test_detector_file_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert IndexSettings.checked(detector="yolox:models/a.onnx").detector == f"yolox:{tmp_path / 'models/a.onnx'}"
    assert IndexSettings.checked(detector="yolox:~/a.onnx").detector == f"yolox:{tmp_path / 'home/a.onnx'}"


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        IndexSettings().zone = "UTC"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("named", "zone"), [("Asia/Tokyo", "Asia/Tokyo"), (":Asia/Tokyo", "Asia/Tokyo"), ("nonsense", None), ("", None)]
)
def test_this_machines_zone(monkeypatch: pytest.MonkeyPatch, named: str, zone: str | None) -> None:
    monkeypatch.setenv("TZ", named)
    found = local_zone()
    assert found == zone or zone is None
    assert ZoneInfo(found).key == found


@pytest.mark.parametrize(
    ("text", "seconds"), [("+12.5s", 12.5), ("-90", -90), ("2m", 120), ("-1.5 h", -5400), ("0", 0)]
)
def test_offset(text: str, seconds: float) -> None:
    assert CameraSettings.checked("", offset=text).offset == seconds


def test_cameras_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "cameras.toml"
    file.write_text(
        """
        [gate]
        name = "Main gate"
        zone = "Europe/Berlin"
        offset = "+12.5s"
        group = "Outside"

        ["大门 2"]
        offset = -3
        """
    )
    assert read_cameras(file) == {
        "gate": CameraSettings(name="Main gate", zone="Europe/Berlin", offset=12.5, group="Outside"),
        "大门 2": CameraSettings(offset=-3.0),
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[gate]\nzoen = 'UTC'", 'cameras.toml: [gate] zoen: unknown; did you mean "zone"?'),
        ("[gate]\nzone = 'Berlin'", 'cameras.toml: [gate] zone: unknown time zone "Berlin"'),
        ("[gate]\noffset = 'soon'", '[gate] offset: "soon" is no offset'),
        ("[gate]\noffset = inf", "[gate] offset: "),
        ("[gate]\nname = ''", "[gate] name: "),
        ("zone = 'UTC'", "zone stands outside a camera's table"),
        ("[a]\nname = 'gate'\n[gate]", 'two cameras are called "gate"'),
        ("[gate", "cameras.toml: not TOML ("),
        (None, "cameras.toml: cannot be read (No such file"),
    ],
)
def test_cameras_of_a_bad_file(tmp_path: Path, text: str | None, words: str) -> None:
    file = tmp_path / "cameras.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError) as error:
        read_cameras(file)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_every_environment_variable_is_in_the_reference() -> None:
    folders = ("reidapp", "training", "models", "ui", "benchmarks", "deploy", "docs", "examples", "tools")
    files = {file for folder in folders for file in (ROOT / folder).rglob("*.py")} | {ROOT / "tests" / "conftest.py"}
    files -= {ROOT / "reidapp" / "settings.py"}
    names = r"\bREIDAPP_[A-Z_]+\b|\bOMP_NUM_THREADS\b"
    read = {name for file in files for name in re.findall(names, file.read_text("utf-8"))}
    assert read == set(ENVIRONMENT)
