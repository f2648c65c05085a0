"""Who may talk to a server. Small ASGI wrappers around the whole application, Gradio's routes included.

Loopback is no lock: any web page in the user's browser can send requests to it (DNS rebinding, forged posts), and
every account of the machine can connect. So the Host and Origin are checked, and nobody gets further than a door: that
of a link which only the terminal shows, or of users who sign in (`sign_in`).
"""

import ipaddress
import secrets
from collections.abc import Callable
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from typing import Protocol
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reidapp.errors import UnavailableError, UserError
from reidapp.server.askers import Asker, RefusedError

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
# Browsers fetch the manifest, which says the program's name and no more, without a cookie.
OPEN = frozenset({"/healthz", "/readyz", "/sign-in", "/manifest.json"})
RETRY = {"Retry-After": "5"}  # seconds, after which a database may let others in again
_PORTS = {"http": 80, "https": 443}

# Gradio's page starts from an inline script and its HTML component compiles its code with `new Function`; everything
# else, above all where a page may fetch from, is this server only.
CONTENT_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
# Of the API: pictures and recordings may be looked at by themselves, and nothing that came with them runs.
DATA_POLICY = "; ".join(
    (
        "default-src 'none'",
        "img-src 'self'",
        "media-src 'self'",
        "style-src 'unsafe-inline'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


class OriginGuard:
    """Refuse requests that a foreign web page could have made; tell browsers to load nothing from elsewhere.

    Args:
        public: scheme and host that users know a proxy before this server by, such as ``https://cams.example``.
        any_host: the server may be asked for by any name. Not on loopback, where a foreign page can take a name that
            leads here; elsewhere such a page has no cookie, and no certificate.
    """

    def __init__(self, app: ASGIApp, public: str | None = None, any_host: bool = False) -> None:
        self.app = app
        self.public = public
        self.any_host = any_host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        origin = headers.get("origin")
        by_proxy = self.public is not None and self.public.partition("://")[2] == host.lower()
        own = f"{scope.get('scheme', 'http').replace('ws', 'http')}://{host}"
        if host_name(host) not in LOOPBACK and not by_proxy and not self.any_host:
            refusal = "Open this page as http://127.0.0.1 (another host name was asked for)."
        elif origin is not None and origin != self.public and (by_proxy or origin != own):
            refusal = "Refused: the request comes from another web page."
        else:
            await self.app(self._as_users_know_it(scope), receive, with_headers(scope, send))
            return
        await refused(scope, refusal)(scope, receive, send)

    def _as_users_know_it(self, scope: Scope) -> Scope:
        """With the host and scheme of the public address, whatever the proxy has passed on: the page builds on them.
        And from whoever asks the proxy."""
        if self.public is None:
            return scope
        scheme, _, host = self.public.partition("://")
        if scope["type"] == "websocket":
            scheme = scheme.replace("http", "ws")
        headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
        headers.insert(0, (b"host", host.encode()))
        return {**scope, "scheme": scheme, "headers": headers, "client": _client_of_proxy(scope)}


class BelowPath:
    """Say to all within that a proxy puts a path before this server, whether the proxy takes it off again or not."""

    def __init__(self, app: ASGIApp, root: str) -> None:
        self.app = app
        self.root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            path = scope["path"]
            left_there = path == self.root or path.startswith(f"{self.root}/")
            scope = {**scope, "root_path": self.root, "path": path if left_there else self.root + path}
        await self.app(scope, receive, send)


class Door(Protocol):
    """A way in."""

    async def asker(self, scope: Scope) -> Asker | None:
        """Who asks; None if nobody knows.

        Raises:
            RefusedError: it is known, but this request may not be theirs.
        """

    def answer(self, scope: Scope) -> Response:
        """What somebody who is not known is told."""


class Gate:
    """The one way to everything: nothing but `OPEN` answers to somebody whom the door does not know.

    Who asks stands in the request's state as ``asker`` from here on.
    """

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self.app = app
        self.door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and path_inside(scope) not in OPEN:
            try:
                asker = await self.door.asker(scope)
            except RefusedError as error:
                await refused(scope, str(error))(scope, receive, send)
                return
            except UnavailableError:  # its text names files
                answer = refused(scope, "The list of users cannot be read just now; try again in a moment.", 503)
                answer.headers.update(RETRY)
                await answer(scope, receive, send)
                return
            if asker is None:
                await self.door.answer(scope)(scope, receive, send)
                return
            scope.setdefault("state", {})["asker"] = asker
        await self.app(scope, receive, send)


class OpenDoor:
    """Everybody who can connect is the same person."""

    def __init__(self, who: Asker) -> None:
        self.who = who

    async def asker(self, scope: Scope) -> Asker | None:
        return self.who

    def answer(self, scope: Scope) -> Response:
        return refused(scope, "This server lets nobody in.")


class OneTimeLink:
    """The way in: a link that works once and leaves a session cookie; then the next link is announced.

    Once, because an address is seen by more eyes than a cookie: process lists, shell history, a shared screen.

    Args:
        announce: called with each new token, for the caller to print as a link.
    """

    def __init__(self, announce: Callable[[str], None] = lambda token: None) -> None:
        self.announce = announce
        self.token = secrets.token_urlsafe(24)
        self.session = secrets.token_urlsafe(24)

    def redeem(self, token: str) -> bool:
        """Whether the token is the current one; if so, it is used up and the next one announced."""
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            return False
        self.token = secrets.token_urlsafe(24)
        self.announce(self.token)
        return True


class LinkDoor:
    """Everybody who has the session cookie that a one-time link gave is the same person."""

    def __init__(self, link: OneTimeLink, who: Asker) -> None:
        self.link = link
        self.who = who

    async def asker(self, scope: Scope) -> Asker | None:
        given = cookie(scope)
        known = given is not None and secrets.compare_digest(given.encode(), self.link.session.encode())
        return self.who if known else None

    def answer(self, scope: Scope) -> Response:
        asked = parse_qs(scope["query_string"].decode("latin-1"))
        token = asked.pop("token", [""])[0]
        if scope["type"] == "http" and token and self.link.redeem(token):
            rest = urlencode(asked, doseq=True)
            root = scope.get("root_path", "")
            answer = RedirectResponse(root + path_inside(scope) + ("?" + rest if rest else ""), 303)
            set_cookie(scope, answer, self.link.session)
            return answer
        return refused(
            scope,
            "Open the link that `reidapp serve` printed in its terminal (each link opens once; it prints the next).",
        )


def path_inside(scope: Scope) -> str:
    """The path that is asked for, without what a proxy has put before it."""
    path: str = scope.get("path", "")
    return path.removeprefix(scope.get("root_path", "")) or "/"


def refused(scope: Scope, text: str, status: int = 403) -> Response:
    """A line of text, in the API's form for its paths."""
    if path_inside(scope).startswith("/api/"):
        return JSONResponse({"error": text}, status)
    return PlainTextResponse(text, status)


def origin_of(address: str) -> str:
    """``https://Cams.example:443/reid`` → ``https://cams.example``, as browsers send it.

    Raises:
        UserError: it is no address.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in _PORTS or "@" in parts.netloc:
        raise UserError(f'--behind-proxy: "{address}" is no address such as https://cams.example/reid')
    named = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{named}" + (f":{port}" if port and port != _PORTS[parts.scheme] else "")


def _client_of_proxy(scope: Scope) -> tuple[str, int] | None:
    """The last address of X-Forwarded-For, which the proxy itself has added: those before it anybody may write."""
    said = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).rpartition(",")[2].strip()
    for address in (said, host_name(said).strip("[]")):  # some proxies say the port, too
        with suppress(ValueError):
            return str(ipaddress.ip_address(address)), 0
    client: tuple[str, int] | None = scope.get("client")
    return client


def host_name(host: str) -> str:
    """``127.0.0.1:7860`` → ``127.0.0.1``; ``[::1]:7860`` → ``[::1]``."""
    name = host.rsplit(":", 1)[0] if host.rpartition(":")[2].isdigit() else host
    return name.lower()


def cookie(scope: Scope) -> str | None:
    """What this server's cookie says; None without one."""
    try:
        found = SimpleCookie(Headers(scope=scope).get("cookie", "")).get(cookie_name(scope))
    except CookieError:
        return None
    return found.value if found else None


def set_cookie(scope: Scope, answer: Response, value: str, max_age_s: int | None = None) -> None:
    """Give a session's cookie, which goes over https alone where the page comes by that."""
    # Lax, not Strict: a link clicked in a mail or a chat must arrive with its cookie after the redirect.
    answer.set_cookie(
        cookie_name(scope),
        value,
        max_age=max_age_s,
        httponly=True,
        secure=scope.get("scheme") == "https",
        samesite="lax",
        path=scope.get("root_path") or "/",
    )


def cookie_name(scope: Scope) -> str:
    """Cookies know no ports: two servers on one machine must not overwrite each other's."""
    port = Headers(scope=scope).get("host", "").rpartition(":")[2]
    return f"reidapp-{port if port.isdecimal() else _PORTS.get(scope.get('scheme', 'http'), 80)}"


def with_headers(scope: Scope, send: Send) -> Send:
    """Answers that tell browsers to load nothing from elsewhere, and to keep nothing of the API's."""
    is_data = path_inside(scope).startswith("/api/")

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("Content-Security-Policy", DATA_POLICY if is_data else CONTENT_POLICY)
            if is_data:
                headers.setdefault("Cache-Control", "no-store")
            headers["Cross-Origin-Resource-Policy"] = "same-origin"
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "same-origin"
        await send(message)

    return send_with_headers
