"""`reidapp users` and `reidapp audit`, what other commands write into the log, and where `serve` may listen."""

import json
import shutil
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

from reidapp.cli import app
from reidapp.commands import opening
from reidapp.errors import UserError
from reidapp.gallery.store import Gallery
from reidapp.server.run import Place, run
from tests.small_gallery import HOSTILE, ColourEmbedder, make_gallery

WORDS = "seven green bottles\n"


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    return make_gallery(tmp_path).path


@pytest.fixture
def call(gallery: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """``call("users list")`` → its JSON."""
    monkeypatch.delenv("REIDAPP_ACCESS", raising=False)

    def run_it(command: str, *more: str, code: int = 0, given: str | None = None) -> Any:
        words = [*command.split(), *more, "--gallery", str(gallery), "--json"]
        done = CliRunner().invoke(app, words, input=given, catch_exceptions=True)
        if isinstance(done.exception, Exception) and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, done.output
        return json.loads(done.stdout) if done.stdout.strip() else None

    return run_it


@pytest.mark.slow
def test_users_and_keys_come_change_and_go_and_the_log_says_so(call: Callable[..., Any], gallery: Path) -> None:
    rights = ("--role", "investigator", "--camera", "Gate", "--camera", HOSTILE, "--after", "2026-03-01T00:00:00+01:00")
    told = call("users add ann", *rights, given=WORDS)
    assert (told["role"], told["cameras"], told["after"]) == (
        "investigator",
        ["Gate", HOSTILE],
        "2026-02-28T23:00:00+00:00",
    )
    assert [user["name"] for user in call("users list")["users"]] == ["ann"]
    assert call("users rights ann --role viewer")["cameras"] == ["Gate", HOSTILE]
    assert call("users rights ann --everything")["cameras"] is None
    call("users passwd ann", given="eight green bottles\n")
    with pytest.raises(UserError, match="password"):
        call("users passwd ann", given="short\n")
    key = call("users keys add recorder --role viewer --camera Hall --days 3")
    assert key["key"].startswith("reidapp_")
    assert [each["name"] for each in call("users keys list")["keys"]] == ["recorder"]
    call("users keys revoke recorder")
    call("users remove ann")
    assert call("users list") == {"users": []}
    assert call("users keys list") == {"keys": []}
    done = [(entry["action"], entry["about"]["what"]) for entry in call("audit list")["entries"][::-1]]
    what = ["new user", "user", "user", "password", "new key", "key revoked", "user removed"]
    assert done == [("change of rights", each) for each in what]
    assert gallery.with_name("gallery-access").is_dir()
    assert not (gallery / "users.db").exists()


@pytest.mark.slow
def test_commands_write_into_the_log_once_there_is_one(call: Callable[..., Any], gallery: Path) -> None:
    with pytest.raises(UserError, match="no log"):
        call("audit verify")
    call("case new coat")
    call("case delete coat")
    assert not gallery.with_name("gallery-access").exists()
    call("users add ann", given=WORDS)
    head = call("audit head")["head"]
    call("identity new Ann")
    call("identity delete Ann")
    model = Gallery.open(gallery).model_file
    with Gallery.open(gallery).writing() as writer:
        writer.add_model(model, ColourEmbedder.card, "c1" * 32)
    call("gallery prune --yes")
    call("gallery delete --camera Hall --yes")
    call("gallery retention --days 400")
    told = call("audit list --count 4")["entries"]
    assert [(each["action"], each["about"]["what"]) for each in told[::-1]] == [
        ("delete", "identity"),
        ("delete", "vectors of other models"),
        ("delete", "of the gallery"),
        ("change", "retention"),
    ]
    assert "Ann" not in json.dumps([each["about"] for each in told])
    assert call("audit verify", "--head", head)["broken"] is None
    assert call("audit verify", "--head", head.replace(":", ":0"), code=1)["broken"]


def test_nothing_is_made_beside_what_is_no_gallery(call: Callable[..., Any], gallery: Path) -> None:
    for command in ("users remove ann", "users keys revoke ann", "users passwd ann", "users rights ann --role admin"):
        with pytest.raises(UserError, match="not known"):
            call(command, given=WORDS)
    gallery.rename(gallery.with_name("elsewhere"))
    with pytest.raises(UserError):
        call("users add ann", given=WORDS)
    assert not gallery.with_name("gallery-access").exists()


def test_what_a_server_runs_is_not_noted_a_second_time(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    call("users add ann", given=WORDS)
    monkeypatch.setenv("REIDAPP_NOTED", "1")
    call("case new coat")
    call("case delete coat")
    assert [each["action"] for each in call("audit list")["entries"]] == ["change of rights"]


@pytest.mark.slow
def test_a_search_says_what_it_is_for_where_that_is_demanded(
    call: Callable[..., Any], gallery: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "own_model", lambda *_, **__: ColourEmbedder())
    call("users add ann", given=WORDS)
    tracklet = Gallery.open(gallery).tracklets()[0].id
    call("search --purpose case-12 --tracklet", tracklet)
    assert call("audit list")["entries"][0]["about"] == {"purpose": "case-12"}
    monkeypatch.setenv("REIDAPP_DEMAND_PURPOSE", "1")
    for more in ((), ("--purpose", "  ")):
        with pytest.raises(UserError, match="--purpose"):
            call("search --tracklet", tracklet, *more)
    assert call("search --purpose case-13 --tracklet", tracklet)["hits"]


@pytest.mark.parametrize(
    ("place", "users", "told"),
    [
        (Place(0, "0.0.0.0"), False, "sign in"),
        (Place(0, "10.0.0.7"), True, "--certificate"),
        (Place(0, "cams.example"), True, "--certificate"),
        (Place(0, certificate=Path("c.pem")), True, "belong together"),
        (Place(0, certificate=Path("c.pem"), key=Path("k.pem")), True, "cannot be used"),
        (Place(0, public="http://cams.example"), True, "https"),
        (Place(0), False, None),
        (Place(0, "::1"), False, None),
        (Place(0, "localhost"), True, None),
        (Place(0, public="https://cams.example"), False, None),
        (Place(0, "0.0.0.0", public="https://cams.example"), True, None),
    ],
)
def test_others_get_in_by_tls_and_signing_in_only(place: Place, users: bool, told: str | None) -> None:
    if told is None:
        place.check(users)
        return
    with pytest.raises(UserError, match=told) as error:
        place.check(users)
    assert "\n" not in str(error.value)


def test_https_by_an_own_certificate(tmp_path: Path, needs: Callable[[object, str], None]) -> None:
    openssl = shutil.which("openssl")
    needs(openssl, "no openssl")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    asked = (
        f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -keyout {key} -out"
    )
    subprocess.run(
        [str(openssl), *asked.split(), str(certificate), "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    place = Place(0, certificate=certificate, key=key)
    place.check(True)
    served, said = FastAPI(), Queue[str]()

    @served.get("/")
    def page() -> str:
        return "page"

    threading.Thread(target=run, args=(served, place), kwargs={"say": said.put}, daemon=True).start()
    address = said.get(timeout=20).split()[1]
    assert address.startswith("https://127.0.0.1:")
    trusted = ssl.create_default_context(cafile=str(certificate))
    assert urllib.request.urlopen(address, timeout=20, context=trusted).read() == b'"page"'


def test_how_heads_are_seen_is_a_right_of_its_own(call: Callable[..., Any], gallery: Path) -> None:
    assert call("users add ann", given=WORDS)["heads"] is None
    assert call("users rights ann --heads shown")["heads"] == "shown"
    assert call("users rights ann --role investigator")["heads"] == "shown"
    assert call("users rights ann --heads role")["heads"] is None
    assert call("users keys add wall --heads blurred")["heads"] == "blurred"
    with pytest.raises(UserError, match="shown or blurred"):
        call("users rights ann --heads none")
