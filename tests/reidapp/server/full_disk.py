"""A server whose galleries and log are on a disk that is full, and again once there is room.

`python -m tests.reidapp.server.full_disk FOLDER log|gallery Tmpfs|Limit` prints JSON: each answer's status and what it
says; and what is wrong with the log in the end. With ``gallery`` the log is on another disk.
"""

import json
import sys
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from reidapp.server.access_folder import AccessFolder
from reidapp.server.app import build_app
from reidapp.server.audit import Audit
from tests import small_disk
from tests.small_gallery import make_service, png, query_crop

API = "/api/v1"


def main(folder: Path, what: str, kind: str) -> None:
    disk = small_disk.disk(folder / "small", kind)
    audit = Audit(AccessFolder(folder / ("small/access" if what == "log" else "access")))
    app = build_app(make_service(folder / "small"), audit=audit)
    with TestClient(app, base_url="http://127.0.0.1", headers={"Origin": "http://127.0.0.1"}) as client:
        tracklet, other = (each["id"] for each in client.get(f"{API}/tracklets").json()["tracklets"][:2])
        query = client.post(f"{API}/queries", content=png(query_crop("red"))).json()["id"]
        search = client.post(f"{API}/search", json={"pictures": [{"id": query}]}).json()["search"]

        def asked() -> dict[str, Any]:
            answers = {
                "list": client.get(f"{API}/tracklets"),
                "tracklet": client.get(f"{API}/tracklets/{tracklet}"),
                "search": client.post(f"{API}/search", json={"pictures": [{"id": query}]}),
                "identity": client.post(f"{API}/identities", json={"name": "Ann", "tracklets": [tracklet]}),
                "case": client.post(f"{API}/cases", json={"name": "case"}),
                "saved": client.post(f"{API}/saved-searches", json={"name": "saved", "search": search}),
                "clip": client.get(f"{API}/tracklets/{other}/clip"),
            }
            return {what: [answer.status_code, _error(answer)] for what, answer in answers.items()}

        disk.leave(0)
        full = asked()
        files = [path for path in (folder / "small").rglob("*") if path.is_file()]
        parts = (".new", "queries/", "audit.head.", "audit.key.")
        left = [str(path) for path in files if any(part in str(path) for part in parts)]
        disk.make_room()
        answers = {"full": full, "left": left, "with room": asked(), "log": audit.verify().broken}
    print(json.dumps(answers))


def _error(answer: Any) -> str:
    return answer.json()["error"] if answer.status_code >= 400 else ""


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
