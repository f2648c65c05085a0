"""A file from a web address, in as many attempts as it takes."""

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import httpx

from reidapp.errors import UserError
from reidapp.files import write_whole

Progress = Callable[[float, float | None], None]


def download(
    url: str,
    path: Path,
    *,
    most_mb: float = float("inf"),
    timeout_s: float = 30.0,
    progress: Progress | None = None,
) -> None:
    """Fetch ``url`` into ``path``, going on from what an earlier attempt left there.

    What is on the disk is only added to if the server says that its file is still the same: the request carries the
    entity tag (or, without one, the date) of the first attempt as ``If-Range``, and the answer must have the same size.
    Otherwise the file begins anew. Proxies are those of HTTPS_PROXY, HTTP_PROXY and NO_PROXY.

    Args:
        url: a user and password in it are for the server alone: no message and no file has them.
        path: not to be read by anybody before this returns; beside it lies ``NAME.json`` with the tag.
        most_mb: a larger file is not fetched, whether the server says its size or not.
        timeout_s: how long the server may be silent.
        progress: called with the megabytes that are there, and those there will be (None: the server does not say).

    Raises:
        UserError: not fetched, in one line; what came is kept if it can be gone on from.
    """
    whole, (url, user) = url, without_user(url)
    tag = _Tag.of(path, url)
    try:
        with (
            httpx.Client(timeout=timeout_s, follow_redirects=True, auth=user) as client,
            client.stream("GET", url, headers={"Accept-Encoding": "identity", **tag.headers()}) as response,
        ):
            _check_redirects(response)
            goes_on = tag.fits(response)
            if goes_on or response.status_code == 200:
                tag = tag if goes_on else _Tag.sent_with(response, path, url)
                _receive(response, path, tag, most_mb * 1e6, progress)
                tag.file.unlink(missing_ok=True)
                return
    except httpx.TimeoutException as error:
        raise UserError(f"{url}: no answer within {timeout_s:g} s{_kept(path)}") from error
    except (httpx.RequestError, httpx.InvalidURL, ValueError, ImportError) as error:  # the last two: proxy settings
        why = f"{' '.join(str(error).split()) or type(error).__name__}; is there a network, or a proxy for HTTPS_PROXY?"
        raise UserError(f"{url}: not fetched ({why}){_kept(path)}") from error
    except OSError as error:
        raise UserError(f"{path}: not written ({error.strerror or error}){_kept(path)}") from error
    if response.status_code in (206, 416) and tag.start:
        tag.file.unlink()
        download(whole, path, most_mb=most_mb, timeout_s=timeout_s, progress=progress)
    else:
        raise UserError(f"{url}: the server answers {response.status_code} {response.reason_phrase}{_kept(path)}")


def without_user(url: str) -> tuple[str, tuple[str, str] | None]:
    """``https://USER:PASSWORD@HOST/FILE`` → the address that may be shown, and the two."""
    found = re.match(r"([^:/?#]+://)([^/?#]*)@(.*)", url)
    if not found:
        return url, None
    name, _, password = found[2].partition(":")
    return found[1] + found[3], (unquote(name), unquote(password))


def discard(path: Path) -> None:
    """Take away what `download` has left of a file."""
    path.unlink(missing_ok=True)
    _tag_file(path).unlink(missing_ok=True)


class _Tag:
    """What a file begun earlier must still be for its rest to fit: entity tag or date, and size in bytes."""

    def __init__(self, path: Path, url: str, validator: str = "", size: int | None = None, start: int = 0) -> None:
        self.file = _tag_file(path)
        self.url, self.validator, self.size, self.start = url, validator, size, start

    @classmethod
    def of(cls, path: Path, url: str) -> "_Tag":
        """The tag of what lies there; one that asks for the whole file if that cannot be gone on from."""
        try:
            facts = json.loads(_tag_file(path).read_text())
            if facts["url"] == url and 0 < path.stat().st_size < facts["size"]:
                return cls(path, **facts, start=path.stat().st_size)
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return cls(path, url)

    @classmethod
    def sent_with(cls, response: httpx.Response, path: Path, url: str) -> "_Tag":
        tag, length = response.headers.get("ETag", ""), response.headers.get("Content-Length", "")
        if not tag or tag.startswith("W/"):  # a weak one promises no equal bytes
            tag = response.headers.get("Last-Modified", "")
        return cls(path, url, tag, int(length) if length.isdigit() else None)

    def headers(self) -> dict[str, str]:
        return {"Range": f"bytes={self.start}-", "If-Range": self.validator} if self.start else {}

    def fits(self, response: httpx.Response) -> bool:
        """Whether an answer is the rest of the file."""
        if not self.start or response.status_code != 206 or self.size is None:
            return False
        expected = f"bytes {self.start}-{self.size - 1}/{self.size}"
        now = response.headers.get("ETag" if self.validator.startswith('"') else "Last-Modified", "")
        return response.headers.get("Content-Range") == expected and now in ("", self.validator)

    def save(self) -> None:
        if self.validator and self.size:
            facts = {"url": self.url, "validator": self.validator, "size": self.size}
            write_whole(self.file, json.dumps(facts).encode())


def _tag_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _check_redirects(response: httpx.Response) -> None:
    """What begins encrypted must stay so: of a first download nothing else says that the bytes are its project's."""
    first, *rest = [each.url for each in (*response.history, response)]
    if first.scheme == "https" and any(url.scheme != "https" for url in rest):
        last, _ = without_user(str(rest[-1]))
        raise UserError(f"{first}: not fetched: the server leads on to an address without https ({last})")


def _receive(response: httpx.Response, path: Path, tag: _Tag, most: float, progress: Progress | None) -> None:
    if not tag.start:
        discard(path)
    too_large = UserError(f"{tag.url}: not fetched: more than {most / 1e6:g} MB; is that the right file?")
    if tag.size and tag.size > most:
        raise too_large
    missing, free = (tag.size or 0) - tag.start, shutil.disk_usage(path.parent).free
    if missing > free:
        raise UserError(f"{path}: {missing / 1e6:.1f} MB to come, {free / 1e6:.1f} MB free; make room, or use --to")
    if not tag.start:
        tag.save()
    done = tag.start
    try:
        with path.open("ab", buffering=0) as file:
            for piece in response.iter_raw():
                if done + len(piece) > most:
                    tag.file.unlink(missing_ok=True)
                    raise too_large
                while piece:  # an unbuffered write may take a part only
                    taken = file.write(piece)
                    done, piece = done + taken, piece[taken:]
                if progress:
                    progress(done / 1e6, tag.size / 1e6 if tag.size else None)
            os.fsync(file.fileno())
    except BaseException:
        if tag.file.is_file():
            _flush(path)
        else:
            path.unlink(missing_ok=True)
        raise


def _flush(path: Path) -> None:
    """What is kept to go on from must outlive a power cut: a first download has no sha256 to find holes by."""
    with contextlib.suppress(OSError), path.open("rb") as file:  # an error on the way here says more
        os.fsync(file.fileno())


def _kept(path: Path) -> str:
    """What is there to go on from, for the end of a message."""
    if path.is_file():
        return f"; {path.stat().st_size / 1e6:.1f} MB are kept in {path.parent}, the same command goes on from there"
    return ""
