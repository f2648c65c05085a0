"""Signing in with a name and a password: the page, the sessions that come of it, and a limit to guessing.

The page is a form of its own that needs no script; Gradio's page behind it cannot be had without a session. A session
is a cookie ``session.user.generation.expires.mac``, its last part an HMAC-SHA-256 of the others by the server's secret;
whose it is, and what they may do, is looked up with each request.
"""

import base64
import hashlib
import hmac
import ipaddress
import math
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import Headers
from starlette.types import Scope

from reidapp.server.askers import Asker, RefusedError
from reidapp.server.audit import Audit
from reidapp.server.security import cookie, path_inside, refused, set_cookie
from reidapp.server.users import Account, Users

SIGN_IN = "/sign-in"
LIFETIME_S = 12 * 3600.0
_MAX_FORM_BYTES, _MAX_FIELDS = 10_000, 10
_KNOWN = 10_000  # names with an address from which they have signed in
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_FOLDER = Path(__file__).parent
_PAGE = Template((_FOLDER / "sign_in.html").read_text(encoding="utf-8"))
_STYLE = (_FOLDER / "sign_in.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_WORDS: dict[str, dict[str, str]] = {
    "en": {
        "title": "Sign in",
        "name": "Name",
        "password": "Password",
        "enter": "Sign in",
        "hint": "What you do here is recorded. Forgotten the password? An admin gives you another.",
        "wrong": "The name or the password is wrong.",
        "wait": "Too many attempts. Try again in {minutes} min.",
    },
    "zh": {
        "title": "登录",
        "name": "用户名",
        "password": "密码",
        "enter": "登录",
        "hint": "您在此处的操作会被记录。忘记密码时，请管理员重新设置。",
        "wrong": "用户名或密码错误。",
        "wait": "尝试次数过多，请在 {minutes} 分钟后重试。",
    },
}

router = APIRouter(include_in_schema=False)


class Sessions:
    """Who has signed in.

    Args:
        secret: signs the cookies.
        lifetime_s: from signing in to having to do it again.
    """

    def __init__(self, users: Users, secret: bytes, lifetime_s: float = LIFETIME_S) -> None:
        self.users = users
        self.lifetime_s = lifetime_s
        self._secret = secret

    def begin(self, account: Account) -> str:
        """A new session's cookie."""
        expires = int(self.users.now() + self.lifetime_s)
        said = f"{secrets.token_hex(16)}.{account.id}.{account.generation}.{expires}"
        return f"{said}.{self._mac(said)}"

    def account(self, given: str) -> Account | None:
        """Whose session a cookie is of; None where it was forged, is over, or was ended."""
        if (parts := self._parts(given)) is None:
            return None
        id_, user, generation, _ = parts
        return self.users.in_session(id_, user, generation)

    def end(self, given: str) -> None:
        """Sign out: this cookie counts no more."""
        if (parts := self._parts(given)) is not None:
            self.users.end_session(parts[0], parts[3])

    def _parts(self, given: str) -> tuple[str, str, int, int] | None:
        said, _, mac = given.rpartition(".")
        if not hmac.compare_digest(mac.encode(), self._mac(said).encode()):
            return None
        id_, user, generation, expires = said.split(".")
        return (id_, user, int(generation), int(expires)) if self.users.now() < int(expires) else None

    def _mac(self, said: str) -> str:
        return hmac.new(self._secret, said.encode(), hashlib.sha256).hexdigest()


class Throttle:
    """At most so many attempts under a key, such as a name or an address, in a while.

    An attempt counts from when it begins, so that many at once are no way round.

    Args:
        within_s: the while.
        kept: keys that are remembered; those that tried the longest ago are forgotten first.
        clock: seconds, for tests.
    """

    def __init__(
        self, most: int, within_s: float = 900, kept: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.most = most
        self.within_s = within_s
        self.kept = kept
        self._clock = clock
        self._lock = threading.Lock()
        self._attempts: OrderedDict[str, list[float]] = OrderedDict()

    def begin(self, key: str) -> float:
        """Count an attempt; where there were too many, it is not one, and the seconds until the next may be come back.

        0: go on.
        """
        with self._lock:
            now = self._clock()
            times = [at for at in self._attempts.pop(key, []) if now - at < self.within_s]
            wait_s = times[0] + self.within_s - now if len(times) >= self.most else 0.0
            self._attempts[key] = times if wait_s else [*times, now]
            while len(self._attempts) > self.kept:
                self._attempts.popitem(last=False)
            return wait_s

    def take_back(self, key: str) -> None:
        """The last attempt was none."""
        with self._lock:
            if self._attempts.get(key):
                self._attempts[key].pop()

    def forget(self, key: str) -> None:
        """Whoever it is has succeeded."""
        with self._lock:
            self._attempts.pop(key, None)


class Limits:
    """What slows down who guesses passwords, but not the one whose password it is.

    Args:
        address: attempts from an address, whatever the names.
        one_name: of these at one name.
        name: attempts at a name from all addresses together, against those who have many. From where somebody has
            signed in before they do not count, so that others cannot keep them out.
        clock: seconds, for tests.
    """

    def __init__(
        self, address: int = 30, one_name: int = 10, name: int = 100, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._of_address = Throttle(address, clock=clock)
        self._of_both = Throttle(one_name, clock=clock)
        self._of_name = Throttle(name, clock=clock)
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def begin(self, name: str, address: str) -> float:
        """See `Throttle.begin`."""
        place = _network(address)
        if wait_s := self._of_address.begin(place) or self._of_both.begin(f"{place} {name}"):
            return wait_s
        return 0.0 if (name, place) in self._known else self._of_name.begin(name)

    def succeeded(self, name: str, address: str) -> None:
        """The password was theirs."""
        place = _network(address)
        self._of_address.take_back(place)
        self._of_both.forget(f"{place} {name}")
        if (name, place) not in self._known:
            self._of_name.take_back(name)
            self._known[name, place] = None
            while len(self._known) > _KNOWN:
                self._known.popitem(last=False)


class UserDoor:
    """The way in of people with a session and of programs with a key."""

    def __init__(self, users: Users, sessions: Sessions, audit: Audit | None = None) -> None:
        self.users = users
        self.sessions = sessions
        self.audit = audit
        self.limits = Limits()

    async def asker(self, scope: Scope) -> Asker | None:
        headers = Headers(scope=scope)
        kind, _, key = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            account = await run_in_threadpool(self.users.with_key, key.strip())
        elif given := cookie(scope):
            account = await run_in_threadpool(self.sessions.account, given)
            if account and scope.get("method", "GET") not in _SAFE and not _from_own_page(headers):
                raise RefusedError("Refused: no page of this server says that it sends this; programs use an API key.")
        else:
            return None
        return account.asker if account else None

    def answer(self, scope: Scope) -> Response:
        path = path_inside(scope)
        wants_page = "text/html" in Headers(scope=scope).get("accept", "")
        if scope["type"] == "http" and scope["method"] == "GET" and wants_page:
            query = scope["query_string"].decode("latin-1")
            wanted = path + (f"?{query}" if query else "")
            to = scope.get("root_path", "") + SIGN_IN + ("" if path == "/" else f"?{urlencode({'next': wanted})}")
            return RedirectResponse(to, 303, {"Cache-Control": "no-store"})
        answer = refused(scope, "Sign in first, or send an API key (Authorization: Bearer …).", 401)
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer

    def sign_in(self, name: str, password: str, address: str, begins: bool = True) -> tuple[Account | None, float]:
        """Who has signed in; or nobody, and the seconds until the next attempt counts (0: now).

        Args:
            begins: a session is to begin; else it is only asked whether the password is theirs.
        """
        if wait_s := self.limits.begin(name, address):
            return None, wait_s
        account = self.users.with_password(name, password)
        if account:
            self.limits.succeeded(name, address)
        if self.audit and (begins or not account):
            known = account or next((each for each in self.users.all() if each.name == name), None)
            self.audit.add("sign-in" if account else "sign-in failed", known.id if known else "", address=address)
        return account, 0.0


@router.get(SIGN_IN)
def sign_in_page(request: Request) -> Response:
    """The form."""
    if request.app.state.door is None:
        return RedirectResponse(_root(request) + "/", 303)
    return _page(request, next_=request.query_params.get("next", ""))


@router.post(SIGN_IN)
async def sign_in(request: Request) -> Response:
    """Begin a session, or say what is wrong."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > _MAX_FORM_BYTES:
            return Response("too large", 413)
    try:
        given = parse_qs(data.decode("utf-8", "replace"), max_num_fields=_MAX_FIELDS)
    except ValueError:
        return Response("too many fields", 400)
    return await run_in_threadpool(_sign_in, request, {key: values[0] for key, values in given.items()})


@router.post("/sign-out")
def sign_out(request: Request) -> Response:
    """End the session."""
    door: UserDoor | None = request.app.state.door
    if door is None:
        return RedirectResponse(_root(request) + "/", 303)
    if given := cookie(request.scope):
        door.sessions.end(given)
    answer = RedirectResponse(_root(request) + SIGN_IN, 303)
    set_cookie(request.scope, answer, "", 0)
    answer.headers["Clear-Site-Data"] = '"cache"'  # pictures that were looked at
    if door.audit:
        door.audit.add("sign-out", request.state.asker.id)
    return answer


def _sign_in(request: Request, form: Mapping[str, str]) -> Response:
    if request.app.state.door is None:
        return RedirectResponse(_root(request) + "/", 303)
    if not _from_own_page(request.headers):
        return refused(request.scope, "Refused: the form was not sent by this server's page.")
    door: UserDoor = request.app.state.door
    name, next_ = form.get("name", ""), form.get("next", "")
    address = request.client.host if request.client else ""
    account, wait_s = door.sign_in(name, form.get("password", ""), address)
    if account:
        answer = RedirectResponse(_root(request) + (_inside(next_) or "/"), 303)
        set_cookie(request.scope, answer, door.sessions.begin(account), int(door.sessions.lifetime_s))
        return answer
    if wait_s:
        page = _page(request, "wait", 429, name, next_, minutes=math.ceil(wait_s / 60))
        page.headers["Retry-After"] = str(math.ceil(wait_s))
        return page
    return _page(request, "wrong", 401, name, next_)


def _page(
    request: Request, problem: str = "", status: int = 200, given: str = "", next_: str = "", **values: Any
) -> HTMLResponse:
    language = _language(request)
    words, own = _WORDS[language], _root(request) + SIGN_IN
    here = {"next": next_} if _inside(next_) else {}
    said = words[problem].format(**values) if problem else ""
    html = _PAGE.substitute(
        {key: escape(value) for key, value in words.items()},
        lang=language,
        style=_STYLE,
        problem=f'<p class="problem" role="alert">{escape(said)}</p>' if said else "",
        action=escape(f"{own}?{urlencode({'language': language})}"),
        given=escape(given),
        next=escape(_inside(next_)),
        focus_name="" if given else "autofocus",
        focus_password="autofocus" if given else "",
        english=escape(f"{own}?{urlencode({**here, 'language': 'en'})}"),
        chinese=escape(f"{own}?{urlencode({**here, 'language': 'zh'})}"),
    )
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store", "Content-Language": language}
    return HTMLResponse(html, status, headers)


def _language(request: Request) -> str:
    """What was chosen, or else the first of the browser's that there is."""
    asked = [request.query_params.get("language", ""), *request.headers.get("accept-language", "").split(",")]
    known = (each.strip()[:2].lower() for each in asked)
    return next((each for each in known if each in _WORDS), "en")


def _inside(path: str) -> str:
    """A path on this server; none where it could lead elsewhere."""
    safe = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return quote(path, safe="/?&=%.,:;@!~*'()[]+-_$#") if safe else ""


def _root(request: Request) -> str:
    return str(request.scope.get("root_path", ""))


def _from_own_page(headers: Headers | Mapping[str, str]) -> bool:
    """Whether a browser says that a page of this server sends it; `OriginGuard` has looked at the Origin."""
    return "origin" in headers or headers.get("sec-fetch-site") == "same-origin"


def _network(address: str) -> str:
    """The address, or the /64 that an IPv6 one lies in: whoever has one has them all."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if known.version == 4 else str(ipaddress.ip_network((known, 64), strict=False))
