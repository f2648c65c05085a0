"""Serve an application: on this machine only, or to others who sign in over TLS."""

import ipaddress
import signal
import socket
import ssl
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from uvicorn.server import HANDLED_SIGNALS

from reidapp import __version__
from reidapp.errors import UserError
from reidapp.server.events import tell, write_events
from reidapp.server.security import OneTimeLink

HOST = "127.0.0.1"
_KEEP_ALIVE_S = 75  # for which an unused connection is kept; proxies let go after sixty


@dataclass(frozen=True)
class Place:
    """Where a server listens.

    Attributes:
        port: 0 takes a free one.
        certificate, key: PEM files, for https.
        public: the address that users know a proxy before this server by.
    """

    port: int
    host: str = HOST
    certificate: Path | None = None
    key: Path | None = None
    public: str | None = None

    @property
    def is_loopback(self) -> bool:
        """Only this machine reaches it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def named(self) -> str:
        """The host as an address has it."""
        return f"[{self.host}]" if ":" in self.host else self.host

    def check(self, has_users: bool) -> None:
        """
        Raises:
            UserError: others reach it, and nobody has to sign in, or passwords would be read on the way; or the
                certificate is none.
        """
        if bool(self.certificate) != bool(self.key):
            raise UserError("serve: --certificate and --key belong together")
        if self.certificate and self.key:
            try:
                ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(self.certificate, self.key, "")
            except (OSError, ValueError) as error:  # ssl.SSLError is one of the first kind
                files, why = f"--certificate {self.certificate}, --key {self.key}", getattr(error, "strerror", None)
                raise UserError(f"{files}: cannot be used ({why or error})") from error
        if not self.is_loopback and not has_users:
            raise UserError(f"--host {self.host}: others reach it, so they must sign in; `reidapp users add` first")
        if not self.is_loopback and not self.certificate and not self.public:
            raise UserError(
                f"--host {self.host}: passwords and pictures would be read on the way; give --certificate FILE and "
                "--key FILE, or --behind-proxy https://… where a proxy does that"
            )
        if has_users and self.public and not self.public.startswith("https://"):
            raise UserError(f"--behind-proxy {self.public}: passwords would be read on the way; the proxy needs https")

    def bind(self) -> socket.socket:
        """The port is this process's from here on; who connects waits until it serves.

        Raises:
            UserError: the port is taken, or there is no such address here.
        """
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        # asyncio sets TCP_NODELAY only where a socket names its protocol; without, each answer waits 40 ms for the
        # client's delayed acknowledgement.
        bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((self.host, self.port))
            bound.listen(128)
        except OSError as error:
            bound.close()
            where = f"port {self.port} of {self.host}"
            raise UserError(f"{where} cannot be used ({error.strerror}); try another --port") from error
        return bound


def run(
    app: FastAPI,
    place: Place | int,
    *,
    bound: socket.socket | None = None,
    link: OneTimeLink | None = None,
    public: str | None = None,
    open_browser: bool = False,
    say: Callable[[str], None] = print,
    as_events: bool = False,
) -> None:
    """Serve until interrupted.

    Args:
        place: where; a port alone is one of 127.0.0.1.
        bound: what `Place.bind` gave; without it, the place is bound here.
        link: the one the application was built with.
        public: of a port alone, the address that users know a proxy before this server by.
        open_browser: open the page as well.
        say: tells the user the address, with a link the next one whenever one was used.
        as_events: what it does and what goes wrong is written as JSON, see `reidapp.server.events`.

    Raises:
        UserError: the port is taken, or there is no such address here.
        KeyboardInterrupt: Ctrl-C or SIGTERM has ended it.
    """
    if isinstance(place, int):
        place = Place(place, public=public)
    with bound or place.bind() as listener:
        own = f"{'https' if place.certificate else 'http'}://{place.named}:{listener.getsockname()[1]}"
        if as_events:
            write_events()
        config = uvicorn.Config(
            app,
            log_config=None if as_events else uvicorn.config.LOGGING_CONFIG,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=2,
            # uvicorn's five seconds end connections that a program or a proxy is just about to use again.
            timeout_keep_alive=_KEEP_ALIVE_S,
            proxy_headers=False,  # `OriginGuard` reads them, where there is a proxy
            ssl_certfile=place.certificate,
            ssl_keyfile=place.key,
        )
        server = uvicorn.Server(config)
        with _interrupted_at_its_end(server):
            _announce(place, own, link, open_browser, say)
            tell("serving", version=__version__)
            try:
                server.run([listener])
            finally:
                tell("ended")


@contextmanager
def _interrupted_at_its_end(server: uvicorn.Server) -> Iterator[None]:
    """Ctrl-C and SIGTERM let the server end, and count only then; the second one counts at once.

    uvicorn sees to that while it runs. But whoever has read the address may end the server before it does, and the
    interrupt would come in the midst of asyncio's own beginning.
    """
    if threading.current_thread() is not threading.main_thread():  # which alone is told of signals
        yield
        return
    came = False

    def end(*_: object) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = server.should_exit = True

    before = {each: signal.getsignal(each) for each in HANDLED_SIGNALS}
    try:
        for each in before:
            signal.signal(each, end)
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    if came:
        raise KeyboardInterrupt


def _announce(place: Place, own: str, link: OneTimeLink | None, open_browser: bool, say: Callable[[str], None]) -> None:
    """Tell where it is served; ``own`` is the address without a proxy."""
    address = f"{(place.public or own).rstrip('/')}/"
    if place.public:
        say(f"Serving at {own}, for a proxy")
    if link is not None:
        link.announce = lambda token: say(f"The link was used. For another browser: {address}?token={token}")
        address_now = f"{address}?token={link.token}"
    else:
        address_now = address
    say(f"Open {address_now}" + (" (works once; Ctrl-C ends the server)" if link else " (Ctrl-C ends the server)"))
    if place.host in ("0.0.0.0", "::") and not place.public:  # noqa: S104 - compared, not listened at
        say(f"From another machine, put this one's name in place of {place.named}")
    if open_browser:
        webbrowser.open(address_now)  # a request that comes before the server runs waits in the listener's queue
