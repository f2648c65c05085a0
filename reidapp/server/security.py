"""Who may talk to a server on 127.0.0.1. Small ASGI wrappers around the whole application, Gradio's routes included.

Loopback is no lock: any web page in the user's browser can send requests to it (DNS rebinding, forged posts), and
every account of the machine can connect. So the Host and Origin are checked, and a session starts with a link that
only the terminal shows.
"""

import secrets
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reidapp.errors import UserError

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
OPEN = frozenset({"/healthz", "/readyz"})
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


class LoopbackGuard:
    """Refuse requests that a foreign web page could have made; tell browsers to load nothing from elsewhere.

    Args:
        public: scheme and host that users know a proxy before this server by, such as ``https://cams.example``.
    """

    def __init__(self, app: ASGIApp, public: str | None = None) -> None:
        self.app = app
        self.public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        origin = headers.get("origin")
        by_proxy = self.public is not None and self.public.partition("://")[2] == host.lower()
        if host_name(host) not in LOOPBACK and not by_proxy:
            refusal = "Open this page as http://127.0.0.1 (another host name was asked for)."
        elif origin is not None and origin != self.public and (by_proxy or origin != f"http://{host}"):
            refusal = "Refused: the request comes from another web page."
        else:
            await self.app(self._as_users_know_it(scope), receive, with_headers(send))
            return
        await refused(scope, refusal)(scope, receive, send)

    def _as_users_know_it(self, scope: Scope) -> Scope:
        """With the host and scheme of the public address, whatever the proxy has passed on: the page builds on them."""
        if self.public is None:
            return scope
        scheme, _, host = self.public.partition("://")
        if scope["type"] == "websocket":
            scheme = scheme.replace("http", "ws")
        headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
        return {**scope, "scheme": scheme, "headers": [(b"host", host.encode()), *headers]}


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


class LinkGate:
    """Nothing but what says whether the server lives answers without the session cookie that a one-time link gave.

    Args:
        secure: the cookie is for https alone.
    """

    def __init__(self, app: ASGIApp, link: OneTimeLink, secure: bool = False) -> None:
        self.app = app
        self.link = link
        self.secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = path_inside(scope)
        if scope["type"] not in ("http", "websocket") or path in OPEN or self.has_session(scope):
            await self.app(scope, receive, send)
            return
        asked = parse_qs(scope["query_string"].decode("latin-1"))
        token = asked.pop("token", [""])[0]
        if scope["type"] == "http" and token and self.link.redeem(token):
            rest = urlencode(asked, doseq=True)
            root = scope.get("root_path", "")
            answer = RedirectResponse(root + path + ("?" + rest if rest else ""), 303)
            # Lax, not Strict: a link clicked in a mail or a chat must arrive with its cookie after the redirect.
            answer.set_cookie(
                cookie_name(scope),
                self.link.session,
                httponly=True,
                secure=self.secure,
                samesite="lax",
                path=root or "/",
            )
            await answer(scope, receive, send)
            return
        refusal = (
            "Open the link that `reidapp serve` printed in its terminal (each link opens once; it prints the next)."
        )
        await refused(scope, refusal)(scope, receive, send)

    def has_session(self, scope: Scope) -> bool:
        try:
            cookie = SimpleCookie(Headers(scope=scope).get("cookie", "")).get(cookie_name(scope))
        except CookieError:
            return False
        return cookie is not None and secrets.compare_digest(cookie.value.encode(), self.link.session.encode())


def path_inside(scope: Scope) -> str:
    """The path that is asked for, without what a proxy has put before it."""
    path: str = scope.get("path", "")
    return path.removeprefix(scope.get("root_path", "")) or "/"


def refused(scope: Scope, text: str) -> Response:
    """403 with a line of text, in the API's form for its paths."""
    if path_inside(scope).startswith("/api/"):
        return JSONResponse({"error": text}, 403)
    return PlainTextResponse(text, 403)


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


def host_name(host: str) -> str:
    """``127.0.0.1:7860`` → ``127.0.0.1``; ``[::1]:7860`` → ``[::1]``."""
    name = host.rsplit(":", 1)[0] if host.rpartition(":")[2].isdigit() else host
    return name.lower()


def cookie_name(scope: Scope) -> str:
    """Cookies know no ports: two servers on one machine must not overwrite each other's."""
    return f"reidapp-{Headers(scope=scope).get('host', '').rpartition(':')[2] or '80'}"


def with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = CONTENT_POLICY
            headers["Cross-Origin-Resource-Policy"] = "same-origin"
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "same-origin"
        await send(message)

    return send_with_headers
