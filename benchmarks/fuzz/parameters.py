"""Requests: searches with their filters, and the lists and media that answers lead to."""

import json
import random
import tempfile
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.testclient import TestClient
from starlette.responses import Response
from starlette.routing import Mount

from benchmarks.fuzz.harness import FirstParserError, Reader
from benchmarks.fuzz.mutation import bytes_changed, json_changed
from reidapp.gallery.identities import Identities
from reidapp.server import app as server
from tests.small_gallery import HOSTILE, make_service, png, query_crop

_API, _JSON = "/api/v1", {"Content-Type": "application/json"}
_TIMES = ("2026-03-02T09:31:00Z", "2026-03-02T10:30:00+01:00", "2026-03-02T09:30:05.5Z", "2026-03-02T09:33:00-00:00")


class Parameters(Reader):
    """An input is JSON: method, path, query and body of a request; ``raw`` is a body as it is sent."""

    code: ClassVar = {
        "reidapp.server.routes.search": (),
        "reidapp.server.routes.tracklets": (),
        "reidapp.server.routes.videos": (),
        "reidapp.server.routes._shared": (),
        "reidapp.gallery.listing": (),
        "reidapp.asking": ("ask", "time_of"),
    }
    first_parser: ClassVar = "there is such a route, and its values are of their types and within their ranges"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.service = make_service(Path(tempfile.mkdtemp(dir=folder)))  # a process that ended has left its own
        gallery = self.service.gallery
        tracklets = gallery.tracklets()
        self.tracklets = [tracklet.id for tracklet in tracklets]
        self.video, self.crop = tracklets[0].video.id, tracklets[0].crops[0].id
        Identities(gallery, "link").new("Ann", self.tracklets[:1])
        self.refused = False
        self.client = TestClient(self._app(), base_url="http://127.0.0.1")
        self.query = self.search = ""

    def seeds(self) -> list[bytes]:
        t, cameras = self.tracklets, ["Gate", "Hall", HOSTILE]
        searches: list[dict[str, Any]] = [
            {"pictures": [{"id": "QUERY"}]},
            {"pictures": [{"id": "QUERY", "box": [0.1, 0.1, 0.9, 0.9]}, {"id": "QUERY"}], "combine": "max", "top": 3},
            {"pictures": [{"id": "QUERY", "person": 1}]},
            {"tracklets": t[:2], "cameras": cameras[:2], "after": _TIMES[0], "before": _TIMES[3], "rerank": True},
            {"identity": "Ann", "groups": [], "travel_times": True, "purpose": "case 7"},
            {"tracklets": t[:1], "yes": t[1:2], "no": t[2:3], "combine": "set", "max_matches": 5},
            {"tracklets": t[:1], "start_point": _TIMES[1], "end_point": _TIMES[2]},
            {"saved": "kept"},
        ]
        requests = [{"method": "POST", "path": "/search", "body": body} for body in searches] * 2
        requests += [
            {
                "method": "POST",
                "path": "/search/SEARCH/feedback",
                "body": {"yes": t[:1], "no": t[1:2], "clear": t[2:3], "top": 4},
            },
            {"method": "GET", "path": "/search/SEARCH"},
            {"method": "POST", "path": "/search/images", "form": {"search": '{"top": 3}', "boxes": "[[0, 0, 1, 1]]"}},
            {"method": "POST", "path": "/search/images", "form": {"search": '{"cameras": ["Gate"]}'}},
        ]
        spans: dict[str, Any] = {"camera": cameras[:2], "after": _TIMES[0], "before": _TIMES[3], "limit": 2}
        lists = (
            "tracklets",
            "videos",
            "cameras",
            f"cameras/{cameras[0]}",
            f"cameras/{cameras[0]}/coverage",
            "identities",
        )
        requests += [{"method": "GET", "path": f"/{each}", "query": spans} for each in lists]
        pages = [self._page(path) for path in ("tracklets", "videos")]
        requests += [{"method": "GET", "path": f"/{path}", "query": {"limit": 1, "page": page}} for path, page in pages]
        requests += [
            {"method": "GET", "path": f"/tracklets/{t[0]}"},
            {"method": "GET", "path": f"/tracklets/{t[0]}/neighbours", "query": {"within_s": 60, "same_camera": True}},
            {"method": "GET", "path": "/tracklets", "query": {"video": self.video}},
            {"method": "GET", "path": f"/videos/{self.video}"},
            {"method": "GET", "path": f"/videos/{self.video}/frame", "query": {"at_s": 2.5}},
            {"method": "GET", "path": f"/crops/{self.crop}"},
            {"method": "GET", "path": f"/videos/{self.video}/clip", "query": {"start_s": 1, "length_s": 0.5}},
            {"method": "GET", "path": f"/tracklets/{t[1]}/clip", "query": {"around_s": 0}},
        ]
        return [json.dumps(request).encode() for request in requests]

    def changed(self, data: bytes, other: bytes, draw: random.Random) -> bytes:
        request, more = json.loads(data), json.loads(other)
        known = (*self.tracklets[:3], "Gate", "Hall", "Ann", *_TIMES, [0, 0, 1, 1], 1, 0.5, True, self.video, "QUERY")
        for part in draw.sample(("path", "query", "body", "form", "raw"), draw.choice((1, 1, 2))):
            if part == "raw" and draw.random() < 0.2:
                request["raw"] = bytes_changed(json.dumps(request.get("body", {})).encode(), b"", draw, most=2).decode(
                    "latin-1"
                )
            elif part == "path" and draw.random() < 0.2:
                request["path"] = bytes_changed(request["path"].encode(), b"", draw, most=1).decode("latin-1")
            elif part in ("query", "body", "form"):
                mixed = request.get(part) or {}
                if isinstance(mixed, dict) and isinstance(more.get(part), dict) and draw.random() < 0.5:
                    mixed = {**mixed, **dict(draw.sample(sorted(more[part].items()), draw.randint(0, len(more[part]))))}
                elif mixed:
                    mixed = json_changed(mixed, draw, known)
                if mixed:
                    request[part] = mixed
        if isinstance(request.get("form"), dict) and "search" in request["form"] and draw.random() < 0.7:
            body = more.get("body") if isinstance(more.get("body"), dict) else {"top": 3}
            request["form"]["search"] = json.dumps(json_changed(body, draw, known))
        return json.dumps(request).encode()

    def read(self, data: bytes) -> bool:
        self._begin()
        text = data.decode().replace("QUERY", self.query).replace("SEARCH", self.search)
        request, self.refused = json.loads(text), False
        answer = self.client.request(**self._call(request))
        assert answer.status_code < 500, answer.text
        if answer.status_code >= 400 and answer.status_code != 416:
            told = answer.json()
            assert set(told) == {"error"}, told
            assert "\n" not in told["error"]
            assert str(self.folder) not in told["error"], told
        if self.refused or (
            answer.status_code in (404, 405) and answer.json()["error"] in ("Not Found", "Method Not Allowed")
        ):
            raise FirstParserError(answer.text)
        return True

    def _call(self, request: dict[str, Any]) -> dict[str, Any]:
        """As the client takes it."""
        url = _API + quote(request["path"], safe="/%")
        headers = {"Range": "bytes=0-1000"} if "file" in request["path"] else {}
        query = (
            {str(k): v for k, v in (request.get("query") or {}).items()}
            if isinstance(request.get("query"), dict)
            else {}
        )
        query = {k: _plain(v) for k, v in query.items()}
        if "form" in request:
            fields = request["form"] if isinstance(request["form"], dict) else {}
            files = [("images", ("one.png", png(query_crop("red")), "image/png"))]
            return {"method": "POST", "url": url, "data": {str(k): str(v) for k, v in fields.items()}, "files": files}
        if "raw" in request:
            body = str(request["raw"]).encode("latin-1", "replace")
            return {"method": request["method"], "url": url, "content": body, "headers": _JSON}
        if request["method"] == "POST":
            return {"method": "POST", "url": url, "content": json.dumps(request.get("body")), "headers": _JSON}
        return {"method": "GET", "url": url, "params": query, "headers": headers}

    def _begin(self) -> None:
        """What requests refer to, which is forgotten after a while."""
        if not self.query:
            self.client.__enter__()  # one loop for all requests, whose thread begins where lines are noted
        if not self.query or self.client.get(f"{_API}/search/{self.search}").status_code != 200:
            self.query = self.client.post(f"{_API}/queries", content=png(query_crop("red"))).json()["id"]
            asked = {"pictures": [{"id": self.query}]}
            self.search = self.client.post(f"{_API}/search", json=asked).json()["search"]
            self.client.post(f"{_API}/saved-searches", json={"name": "kept", "search": self.search})

    def _page(self, path: str) -> tuple[str, str]:
        with TestClient(server.build_app(self.service), base_url="http://127.0.0.1") as client:
            return path, str(client.get(f"{_API}/{path}", params={"limit": 1}).json()["next"])

    def _app(self) -> Any:
        """The application, which tells when it is pydantic that refuses."""
        app = server.build_app(self.service)
        (api,) = (route.app for route in app.routes if isinstance(route, Mount) and isinstance(route.app, FastAPI))

        async def noted(request: Request, error: Exception) -> Response:
            self.refused = True
            return await server._say_what_is_invalid(request, error)

        api.add_exception_handler(RequestValidationError, noted)
        return app


def _plain(value: Any) -> Any:
    """As a query has it."""
    if isinstance(value, list):
        return [each if isinstance(each, str | int | float | bool | None) else json.dumps(each) for each in value]
    return value if isinstance(value, str | int | float | bool | None) else json.dumps(value)
