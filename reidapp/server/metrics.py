"""Figures for Prometheus: requests, what the galleries hold, jobs. None of them is about a person."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reidapp import __version__
from reidapp.server.events import tell
from reidapp.server.galleries import UNREADABLE, Galleries
from reidapp.server.jobs import Jobs

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The figures of one server, in ``registry``."""

    def __init__(self, galleries: Galleries, jobs: Jobs) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "reidapp_requests", "Requests to the API", ["route", "method", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "reidapp_request_seconds", "Until an answer began", ["route"], buckets=_SECONDS, registry=self.registry
        )
        ProcessCollector(registry=self.registry)
        self.registry.register(_Holdings(galleries, jobs))


class Measured:
    """Counts, times and tells of the requests of an application."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = time.perf_counter()

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("endpoint"), "__name__", "none")  # a path would have names and ids in it
                method = scope["method"] if scope["method"] in _METHODS else "other"  # anybody may invent some
                status, seconds = message["status"], time.perf_counter() - begun
                self.metrics.requests.labels(route, method, str(status)).inc()
                self.metrics.seconds.labels(route).observe(seconds)
                tell("request", route=route, method=method, status=status, seconds=round(seconds, 4))
            await send(message)

        await self.app(scope, receive, send_counted)


class _Holdings:
    """What is in the galleries when somebody asks."""

    def __init__(self, galleries: Galleries, jobs: Jobs) -> None:
        self.galleries = galleries
        self.jobs = jobs

    def collect(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("reidapp_info", "The version that runs", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        parts = ("videos", "unfinished", "tracklets", "crops")
        held = {
            part: GaugeMetricFamily(f"reidapp_gallery_{part}", f"{part} of the gallery", labels=["gallery"])
            for part in parts
        }
        up = GaugeMetricFamily("reidapp_gallery_up", "1 where the gallery can be read", labels=["gallery"])
        for name, service in self.galleries:
            try:
                summary = service.gallery.summary()
            except UNREADABLE:
                up.add_metric([name], 0)
                continue
            up.add_metric([name], 1)
            for part in parts:
                held[part].add_metric([name], getattr(summary, part))
        yield up
        yield from held.values()
        states = GaugeMetricFamily("reidapp_jobs", "Jobs since the server began", labels=["state"])
        for state, count in self.jobs.counts().items():
            states.add_metric([state], count)
        yield states
