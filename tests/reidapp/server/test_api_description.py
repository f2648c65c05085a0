"""The API does what its description says, whatever is asked: no fault, no answer of another form."""

import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck
from schemathesis import checks as all_checks
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks as openapi_checks

from reidapp.gallery.cases import Cases, NewCaseHit
from reidapp.gallery.identities import Identities
from reidapp.gallery.store import Gallery
from reidapp.server.access_folder import AccessFolder
from reidapp.server.app import build_app
from reidapp.server.audit import Audit
from reidapp.server.jobs import Jobs
from reidapp.server.service import SearchService
from reidapp.server.users import Users
from tests.reidapp.server.live import live
from tests.small_gallery import make_service, png, query_crop

CHECKS = [
    all_checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.response_headers_conformance,
]
SENSIBLE, WILD = 6, 3  # calls of each operation: with what is there, and with anything


class Filled:
    """A served gallery with something of everything, and values that fit it."""

    def __init__(self, service: SearchService, users: Users, url: str, footage: Path) -> None:
        self.users = users
        self.gallery: Gallery = service.gallery
        self.api = f"{url}/api/v1"
        self.random = random.Random(0)
        self.tracklets = [tracklet.id for tracklet in self.gallery.tracklets()]
        self.crops = [crop.id for tracklet in self.gallery.tracklets() for crop in tracklet.crops]
        self.video = self.gallery.tracklet(self.tracklets[0]).video.id
        self.footage = footage
        self.people = Identities(self.gallery, "test")
        self.cases = Cases(self.gallery, "test")
        self.query = httpx.post(f"{self.api}/queries", content=png(query_crop("red")), timeout=60).json()["id"]
        self.search = self.new_search()
        self.people.new("Ann", self.tracklets[:1])
        self.cases.new("case")
        self.count = 0

    def new_search(self) -> str:
        asked = {"pictures": [{"id": self.query}]}
        return str(httpx.post(f"{self.api}/search", json=asked, timeout=60).json()["search"])

    def fresh(self) -> str:
        self.count += 1
        return f"name {self.count}"

    def person(self) -> str:
        self.people.new(name := self.fresh())
        return name

    def saved(self) -> str:
        wanted = {"name": self.fresh(), "search": self.search}
        httpx.post(f"{self.api}/saved-searches", json=wanted, timeout=60).raise_for_status()
        return wanted["name"]

    def job(self) -> str:
        wanted = {"kind": "calibrate"}
        return str(httpx.post(f"{self.api}/jobs", json=wanted, timeout=60).json()["id"])

    def path(self, operation: str, path: str) -> dict[str, Any]:
        """Values of a path's parameters."""
        name = ""
        if path.startswith("/cameras"):
            name = "Gate"
        elif path.startswith("/identities"):
            name = self.person()
            if operation == "unmerge":
                self.people.merge(self.person(), name)
        elif path.startswith("/saved-searches"):
            name = self.saved()
        elif path.startswith("/users"):
            self.users.add(name := self.fresh(), "seven green bottles")
        elif path.startswith("/keys"):
            self.users.add_key(name := self.fresh())
        elif path.startswith("/cases"):
            self.cases.new(name := self.fresh())
            self.cases.add(name, [NewCaseHit(self.tracklets[0])])
        return {
            "name": name,
            "number": 0,
            "video_id": self.video,
            "tracklet_id": self.tracklets[0],
            "crop_id": self.random.choice(self.crops),
            "query_id": self.query,
            "search_id": self.search,
            "job_id": self.job() if "{job_id}" in path else "",
        }

    def body(self, operation: str, body: Any) -> Any:
        """A generated body with ids and names that are there."""
        if not isinstance(body, dict):
            return png(query_crop("green")) if operation == "give_picture" else body
        fits: dict[str, Any] = {
            "tracklets": [self.tracklets[2]],
            "tracklet": self.tracklets[3],
            "yes": [self.tracklets[1]],
            "no": [self.tracklets[3]],
            "pictures": [{"id": self.query}],
            "identity": None,
            "saved": None,
            "search": self.search,
            "cameras": [],
            "groups": [],
            "crop": None,
            "folder": str(self.footage),
            "template": None,
            "zone": "Europe/Berlin",
            "group": "",
            "model": self.gallery.model_id,
            "count": 1,
            "password": "eight green bottles",
            "after": None,
            "before": None,
            "head": None,
        }
        body = {key: fits.get(key, value) for key, value in body.items()}
        if operation == "search":
            body |= {"tracklets": [self.tracklets[2]]}
        if operation == "change_camera":
            body.pop("name", None)
        if "hits" in body:
            body["hits"] = [hit | {"tracklet": self.tracklets[4], "crop": None} for hit in body["hits"]]
        if "into" in body:
            body["into"] = self.person() if operation == "merge" else "Hall"
        if operation in ("new_identity", "rename_identity", "new_case", "save_search", "new_user", "new_key"):
            body["name"] = self.fresh()
        if operation in ("new_identity", "judge"):
            self.people.new(self.fresh())
            body["tracklets"] = [self.tracklets[5]]
            body.pop("verdict", None)
            for person in self.people.all():
                if self.tracklets[5] in person.tracklets("yes"):
                    self.people.remove(person.name, [self.tracklets[5]])
        if operation in ("undo", "redo"):
            self.person()
            if operation == "redo":
                self.people.undo()
        return body

    def settle(self, case: schemathesis.Case) -> None:
        """Put in what fits."""
        operation = str(case.operation.definition.raw["operationId"])
        path = case.operation.path
        case.path_parameters = {key: value for key, value in self.path(operation, path).items() if f"{{{key}}}" in path}
        if case.query:
            case.query = {
                k: v for k, v in case.query.items() if k not in ("page", "camera", "video", "at_s", "start_s")
            }
        case.body = self.body(operation, case.body)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    folder = Path(tmp_path_factory.mktemp("described"))
    service = make_service(folder)
    jobs = Jobs(command=(sys.executable, "-c", "pass"))
    users = Users(AccessFolder(folder / "access"))
    with live(build_app(service, users=users, audit=Audit(users.folder), jobs=jobs)) as url:
        yield Filled(service, users, url, folder)
    jobs.close()


def ask(operation: Any, mode: GenerationMode, examples: int, call: Callable[[schemathesis.Case], None]) -> None:
    """Call an operation with examples of that mode."""

    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def run(case: schemathesis.Case) -> None:
        call(case)

    run()


@pytest.mark.slow
def test_every_answer_is_as_described(filled: Filled) -> None:
    schema = schemathesis.openapi.from_url(f"{filled.api}/openapi.json")
    counts: Counter[str] = Counter()
    told: Counter[str] = Counter()
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 50

    def wild(case: schemathesis.Case) -> None:
        answer = case.call(base_url=filled.api, timeout=60)
        counts["2xx" if answer.status_code < 300 else "other"] += 1
        try:
            case.validate_response(answer, checks=CHECKS)
        except FailureGroup as failures:
            told[f"{case.operation.label}: {failures.exceptions}"] += 1

    def sensible(case: schemathesis.Case) -> None:
        filled.settle(case)
        wild(case)

    for operation in operations:
        if operation.label == "POST /search/images":
            continue  # its files are given in another test
        ask(operation, GenerationMode.POSITIVE, SENSIBLE, sensible)
        with suppress(hypothesis.errors.Unsatisfiable):  # nothing that is wrong can be said
            ask(operation, GenerationMode.NEGATIVE, WILD, wild)
    assert not told, "\n".join(told)
    assert counts["2xx"] > counts["other"]
