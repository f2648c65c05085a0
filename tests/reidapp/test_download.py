"""Downloads from a server on this machine, in all the ways in which a network lets one down."""

import base64
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path
from urllib.parse import unquote

import httpx
import pytest

from reidapp.download import download
from reidapp.errors import UserError
from tests.reidapp.file_server import DATA, Server


def broken_off(server: Server, path: Path, after: int = 100_000) -> str:
    """A first attempt that ends early; what it said."""
    server.stop_after = after
    with pytest.raises(UserError) as caught:
        download(server.url, path)
    server.stop_after = len(DATA) * 9
    server.asked.clear()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_comes_whole_and_alone(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[float, float | None]] = []
    download(server.url, tmp_path / "file", progress=lambda done, total: seen.append((done, total)))
    assert (tmp_path / "file").read_bytes() == DATA
    assert os.listdir(tmp_path) == ["file"]
    assert seen == sorted(seen)
    assert seen[-1] == (0.3, 0.3)


@pytest.mark.parametrize(("tag", "date"), [('"one"', ""), ("", "Mon, 02 Mar 2026 10:00:00 GMT"), ('W/"x"', "Mon, 02")])
def test_the_second_attempt_goes_on(server: Server, tmp_path: Path, tag: str, date: str) -> None:
    server.tag, server.date = tag, date
    words = broken_off(server, tmp_path / "file")
    assert words.startswith(server.url)
    assert "0.1 MB are kept" in words
    download(server.url, tmp_path / "file")
    assert server.asked == ["bytes=100000-"]
    assert (tmp_path / "file").read_bytes() == DATA
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("change", ["tag", "size", "address", "no ranges"])
def test_what_does_not_fit_is_not_glued_together(server: Server, tmp_path: Path, change: str) -> None:
    broken_off(server, tmp_path / "file")
    url = server.url
    if change == "tag":
        server.data, server.tag = bytes(reversed(DATA)), '"two"'
    elif change == "size":  # a careless server keeps the tag
        server.data = DATA[::-1] + b"more"
    elif change == "address":
        url += "?other"
        server.data = bytes(reversed(DATA))
    else:
        server.ranges = False
    download(url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == server.data
    assert server.asked[-1] == ("bytes=100000-" if change in ("tag", "no ranges") else "")


@pytest.mark.parametrize(("tags", "dates"), [(('"one"', '"two"'), ("", "")), (("", ""), ("Mon, 02", "Tue, 03"))])
def test_a_server_that_does_not_know_if_range(
    server: Server, tmp_path: Path, tags: tuple[str, str], dates: tuple[str, str]
) -> None:
    server.careless, server.tag, server.date = True, tags[0], dates[0]
    broken_off(server, tmp_path / "file")
    server.data, server.tag, server.date = DATA[::-1], tags[1], dates[1]
    download(server.url, tmp_path / "file")
    assert server.asked == ["bytes=100000-", ""]
    assert (tmp_path / "file").read_bytes() == server.data


@pytest.mark.parametrize("way", [["https://a/1", "http://b/2"], ["https://a/1", "http://b/2", "https://c/3"]])
def test_https_stays_https(way: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        following = way[way.index(str(request.url)) + 1 :]
        return (
            httpx.Response(302, headers={"Location": following[0]})
            if following
            else httpx.Response(200, stream=httpx.ByteStream(DATA))
        )

    monkeypatch.setattr(httpx, "Client", functools.partial(httpx.Client, transport=httpx.MockTransport(answer)))
    with pytest.raises(UserError, match=r"^https://a/1: not fetched: the server leads on to .* without https"):
        download(way[0], tmp_path / "file")
    assert os.listdir(tmp_path) == []


def test_a_partial_file_with_nothing_to_check_it_by_is_not_kept(server: Server, tmp_path: Path) -> None:
    server.tag = ""
    assert "kept" not in broken_off(server, tmp_path / "file")
    assert os.listdir(tmp_path) == []


def test_a_tag_that_cannot_be_read_begins_anew(server: Server, tmp_path: Path) -> None:
    for text in ("", "[]", '{"url": 3}', json.dumps({"url": server.url, "validator": "x", "size": None})):
        (tmp_path / "file").write_bytes(b"old")
        (tmp_path / "file.json").write_text(text)
        download(server.url, tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == DATA


@pytest.mark.slow
def test_a_killed_process_leaves_what_the_next_goes_on_from(server: Server, tmp_path: Path) -> None:
    server.stop_after, server.stalls = 120_000, True
    code = (
        "import sys, pathlib; from reidapp.download import download; download(sys.argv[1], pathlib.Path(sys.argv[2]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, server.url, str(tmp_path / "file")])
    try:
        while not ((tmp_path / "file").is_file() and (tmp_path / "file").stat().st_size == 120_000):
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    server.stop_after, server.stalls = len(DATA) * 9, False
    download(server.url, tmp_path / "file")
    assert server.asked == ["", "bytes=120000-"]
    assert (tmp_path / "file").read_bytes() == DATA


def test_a_server_that_falls_silent(server: Server, tmp_path: Path) -> None:
    server.stop_after, server.stalls = 50_000, True
    with pytest.raises(UserError, match=r"no answer within 0\.3 s; 0\.1 MB are kept"):
        download(server.url, tmp_path / "file", timeout_s=0.3)
    server.stalls = False
    server.stop_after = len(DATA)
    download(server.url, tmp_path / "file")
    assert server.asked[-1] == "bytes=50000-"
    assert (tmp_path / "file").read_bytes() == DATA


def test_no_content_length(server: Server, tmp_path: Path) -> None:
    server.length = False
    seen: list[tuple[float, float | None]] = []
    download(server.url, tmp_path / "file", progress=lambda done, total: seen.append((done, total)))
    assert (tmp_path / "file").read_bytes() == DATA
    assert seen[-1] == (0.3, None)


@pytest.mark.parametrize("length", [True, False])
def test_a_file_much_larger_than_it_should_be(server: Server, tmp_path: Path, length: bool) -> None:
    server.length = length
    with pytest.raises(UserError, match=r"people\.onnx: not fetched: more than 0\.2 MB; is that the right file\?$"):
        download(server.url, tmp_path / "file", most_mb=0.2)
    assert os.listdir(tmp_path) == []
    download(server.url, tmp_path / "file", most_mb=0.3)


def test_what_is_kept_is_on_the_disk(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed = []
    flush = os.fsync

    def listening(handle: int) -> None:
        flushed.append(os.fstat(handle).st_ino)
        flush(handle)

    monkeypatch.setattr(os, "fsync", listening)
    broken_off(server, tmp_path / "file")
    assert (tmp_path / "file").stat().st_ino in flushed


@pytest.mark.parametrize("user", ["me:secret", "me:s%65cret%40home"])
def test_a_password_in_the_address_is_for_the_server_alone(
    server: Server, tmp_path: Path, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    url = server.url.replace("//", f"//{user}@")
    server.stop_after = 100_000
    with pytest.raises(UserError) as caught:
        download(url, tmp_path / "file")
    server.stop_after = len(DATA) * 9
    assert str(caught.value).startswith(server.url)
    assert json.loads((tmp_path / "file.json").read_text())["url"] == server.url
    download(url, tmp_path / "file")
    expected = base64.b64encode(unquote(user).encode()).decode()
    assert server.users == [f"Basic {expected}"] * 2
    assert server.asked[-1] == "bytes=100000-"
    assert not any("ecret" in record.getMessage() or "me:" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("status", [404, 403, 500, 416])
def test_a_status_is_said(server: Server, tmp_path: Path, status: int) -> None:
    server.status = status
    with pytest.raises(UserError, match=f"people.onnx: the server answers {status} "):
        download(server.url, tmp_path / "file")
    assert os.listdir(tmp_path) == []


def test_a_range_refused_begins_anew(server: Server, tmp_path: Path) -> None:
    """416, though the tag fits: the whole file is asked for, once."""
    broken_off(server, tmp_path / "file")
    server.status = 416
    with pytest.raises(UserError, match="416"):
        download(server.url, tmp_path / "file")
    assert server.asked == ["bytes=100000-", ""]


def test_nobody_there(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/x", "http://no-such-host.invalid/x", "no address", "ftp://127.0.0.1/x"):
        with pytest.raises(UserError, match="not fetched") as caught:
            download(url, tmp_path / "file")
        assert str(caught.value).startswith(url)
        assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_proxies_are_those_of_the_environment(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.server_port}")
    download("http://files.invalid/people.onnx", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == DATA
    monkeypatch.setenv("HTTP_PROXY", "strange://127.0.0.1")
    with pytest.raises(UserError, match="not fetched"):
        download("http://files.invalid/people.onnx", tmp_path / "other")


def test_no_room_is_said_before_anything_is_written(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 1000))
    with pytest.raises(UserError, match=r"file: 0\.3 MB to come, 0\.0 MB free"):
        download(server.url, tmp_path / "file")
    assert os.listdir(tmp_path) == []


def test_a_disk_that_fills_up_on_the_way(server: Server, tmp_path: Path) -> None:
    """The limit on a file's size stands for a full disk: the write itself fails, in a real process."""
    code = (
        "import sys, resource, pathlib; from reidapp.download import download; from reidapp.errors import UserError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (90_000, 90_000))\n"
        "try: download(sys.argv[1], pathlib.Path(sys.argv[2]))\n"
        "except UserError as error: print(error)"
    )
    command = [sys.executable, "-c", code, server.url, str(tmp_path / "file")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{tmp_path / 'file'}: not written (File too large); 0.1 MB are kept")
    assert (tmp_path / "file").read_bytes() == DATA[:90_000]
    download(server.url, tmp_path / "file")
    assert server.asked[-1] == "bytes=90000-"
    assert (tmp_path / "file").read_bytes() == DATA
