"""What deploy/ has is held against the program: its commands, options, files, users and times."""

import json
import re
import shlex
import shutil
import sqlite3
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import typer.main

from deploy import back_up, healthy
from reidapp.cli import app
from reidapp.gallery.store import Gallery
from reidapp.server import jobs
from reidapp.server.access_folder import AccessFolder
from reidapp.server.audit import Audit
from reidapp.server.sign_in import Sessions
from reidapp.server.users import Users
from tests.small_gallery import make_crowd
from tools import bootstrap

ROOT = Path(__file__).resolve().parents[2]
DEPLOY, UNITS = ROOT / "deploy", ROOT / "deploy/systemd"
CONTAINER = (DEPLOY / "Containerfile").read_text("utf-8").replace("\\\n", " ")
SERVICES = sorted(UNITS.glob("*.service"))


def settings(unit: Path) -> dict[str, list[str]]:
    """A unit's settings, of all its sections, each with all its values."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text("utf-8").replace("\\\n", " ").splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def check_command(words: list[str]) -> None:
    """The program has such a command, and the command such options."""
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        assert words[0] in command.commands, words
        command, words = command.commands[words[0]], words[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= known


def commands_of_units() -> list[list[str]]:
    lines = [shlex.split(line) for unit in SERVICES for line in settings(unit)["ExecStart"]]
    return [words[1:] for words in lines if words[0] == "/opt/reidapp/bin/reidapp"]


def test_units_run_commands_that_there_are() -> None:
    assert len(commands_of_units()) == 2
    for words in commands_of_units():
        check_command(words)
    (backing_up,) = settings(UNITS / "reidapp-back-up.service")["ExecStart"]
    python, script, *_ = backing_up.split()
    assert (python, script) == ("/opt/reidapp/bin/python", "/opt/reidapp/deploy/back_up.py")
    assert (DEPLOY / Path(script).name).is_file()


def test_units_leave_time_to_end() -> None:
    """A server asks its jobs to end, one that writes and one that does not, and waits for both."""
    (limit,) = settings(UNITS / "reidapp-serve.service")["TimeoutStopSec"]
    assert float(limit) > 4 * jobs._PATIENCE_S
    for unit in ("serve", "index"):  # what is interrupted says so by this code, and has not failed
        assert settings(UNITS / f"reidapp-{unit}.service")["SuccessExitStatus"] == ["130"]


def test_systemd_understands_the_units_and_finds_them_confined(
    tmp_path: Path, needs: Callable[[object, str], None]
) -> None:
    needs(shutil.which("systemd-analyze"), "no systemd-analyze (Debian: apt-get install systemd)")
    units = tmp_path / "units"
    shutil.copytree(UNITS, units)
    for program in ("reidapp", "python"):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / program).symlink_to(sys.executable)
    for unit in units.glob("*.service"):
        unit.write_text(unit.read_text("utf-8").replace("/opt/reidapp/bin", str(tmp_path / "bin")), "utf-8")
    environment = {"SYSTEMD_UNIT_PATH": f"{units}:", "PATH": "/usr/bin:/bin"}

    def analyzed(*words: str) -> "subprocess.CompletedProcess[str]":
        command = ["systemd-analyze", *words]
        return subprocess.run(command, env=environment, cwd=units, capture_output=True, text=True, check=False)

    names = [unit.name for unit in (*SERVICES, *UNITS.glob("*.timer"))]
    assert len(names) == 5
    said = analyzed("verify", "--man=no", *names)
    ours = [line for line in said.stderr.splitlines() if "reidapp-" in line]  # the system's units may have faults, too
    assert ours == []
    for unit in SERVICES:  # 3.5 of 10, where 10 is all that root may do; what counts differs between its versions
        held = analyzed("security", "--offline=true", "--threshold=35", "--no-pager", unit.name)
        assert held.returncode == 0, held.stdout


def test_the_container_is_made_of_what_there_is() -> None:
    instructions = [line.split(maxsplit=1) for line in CONTAINER.splitlines() if line and not line.startswith("#")]
    stages = [re.fullmatch(r"(\S+) AS (\S+)", rest) for word, rest in instructions if word == "FROM"]
    named = [stage[2] for stage in stages if stage]
    assert {"cpu", "gpu"} <= set(named)
    assert all(stage and (stage[1] in named or stage[1].startswith("python:")) for stage in stages)
    for word, rest in instructions:
        if word != "COPY":
            continue
        if rest.startswith("--from="):
            assert rest.split()[0].removeprefix("--from=") in named
            continue
        for source in rest.split()[:-1]:
            assert (ROOT / source).exists(), source
    packages = {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()}
    assert {"reidapp", "training", "models", "ui"} <= packages & set(CONTAINER.split())
    libraries = bootstrap.FAMILIES["debian"][0].rpartition("install -y ")[2].split()
    assert set(libraries) <= set(CONTAINER.split())


def test_the_container_serves_as_nobody_special_by_a_command_that_there_is() -> None:
    assert re.search(r"^USER 10001:10001$", CONTAINER, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["reidapp"\]$', CONTAINER, re.MULTILINE)
    command = re.search(r"^CMD (\[.*\])$", CONTAINER, re.MULTILINE)
    assert command
    check_command(json.loads(command[1]))
    port = next(p.default for p in typer.main.get_command(app).commands["serve"].params if p.name == "port")
    assert re.search(rf"^EXPOSE {port}$", CONTAINER, re.MULTILINE)
    assert port == healthy.PORT


def test_the_trial_asks_for_commands_that_there_are() -> None:
    script = (DEPLOY / "try.sh").read_text("utf-8")
    assert subprocess.run(["bash", "-n", str(DEPLOY / "try.sh")], check=False).returncode == 0
    asked = [shlex.split(words.partition("<<<")[0]) for words in re.findall(r"^inside (.*)$", script, re.MULTILINE)]
    assert len(asked) > 5
    for words in asked:
        if words != ["--version"]:
            check_command(words)


class _Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(params=["http", "https"])
def port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), _Healthy)
    if request.param == "https":
        pem = tmp_path / "both.pem"
        making = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=elsewhere"]
        files = ["-keyout", str(pem), "-out", str(tmp_path / "cert.pem")]
        subprocess.run([*making, *files], check=True, capture_output=True)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tmp_path / "cert.pem", pem)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_health_is_asked_as_it_is_served(port: int) -> None:
    assert healthy.is_healthy(port)


def test_nobody_is_not_healthy() -> None:
    with HTTPServer(("127.0.0.1", 0), _Healthy) as server:
        port = server.server_address[1]
    assert not healthy.is_healthy(port)


@pytest.mark.slow
def test_a_back_up_has_the_gallery_and_who_may_see_it_and_old_ones_go(tmp_path: Path) -> None:
    gallery = make_crowd(tmp_path, people=2, shots=1)
    access = AccessFolder.of(gallery.path, environment={})
    users, audit = Users(access), Audit(access)
    users.add("ann", "seven green bottles", role="admin")
    Sessions(users, access.secret("session.key"))
    audit.add("search", by="x", purpose="case 7")
    folder = tmp_path / "kept"
    for time in ("20260101T000000Z", "20260102T000000Z", "20260102T000000Z-access", "not ours"):
        (folder / time).mkdir(parents=True)
    made = back_up.back_up(gallery.path, folder)
    assert len(Gallery.open(made).tracklets()) == len(gallery.tracklets()) > 0
    copy = made.with_name(f"{made.name}-access")
    assert {file.name for file in copy.iterdir()} == {file.name for file in access.path.iterdir()}
    modes = [{file.name: file.stat().st_mode for file in kept.iterdir()} for kept in (copy, access.path)]
    assert modes[0] == modes[1]
    assert copy.stat().st_mode & 0o077 == 0
    assert [account.name for account in Users(AccessFolder(copy)).all()] == ["ann"]
    assert Audit(AccessFolder(copy)).verify().broken is None
    assert [path.name for path in back_up.forget(folder, 2)] == ["20260101T000000Z"]
    assert {path.name for path in folder.iterdir()} == {
        "20260102T000000Z", "20260102T000000Z-access", "not ours", made.name, copy.name
    }  # fmt: skip


@pytest.mark.slow
def test_a_back_up_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        back_up.back_up(tmp_path / "no gallery", tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.slow
def test_a_back_up_of_a_damaged_log_leaves_no_key_behind(tmp_path: Path) -> None:
    gallery = make_crowd(tmp_path, people=2, shots=1)
    access = AccessFolder.of(gallery.path, environment={})
    Audit(access).add("search", by="x")
    (access.path / "audit.db").write_bytes(b"no database" * 1000)
    with pytest.raises(sqlite3.DatabaseError):
        back_up.back_up(gallery.path, tmp_path / "kept")
    assert list((tmp_path / "kept").iterdir()) == []


def test_what_the_container_is_made_of_reaches_its_builder() -> None:
    """And nothing of galleries and runs does."""
    told = (ROOT / ".dockerignore").read_text("utf-8").split()
    assert told[0] == "*"
    let_in = {line.removeprefix("!") for line in told if line.startswith("!")}
    copied = [
        source
        for line in CONTAINER.splitlines()
        if line.startswith("COPY ") and "--from=" not in line
        for source in line.split()[1:-1]
    ]
    assert {source.rstrip("/") for source in copied} == let_in
    assert told[-2:] == ["**/__pycache__", "**/*.egg-info"]
