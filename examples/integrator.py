"""Ask a server for a person by the REST API: a line of JSON for each hit, and its clip as a file.

    REIDAPP_KEY=… python examples/integrator.py http://127.0.0.1:7860/ person.webp --clips clips/

With `--every 60` it goes on, and tells each minute which hits are new: something for a message queue to read.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import httpx


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("server", help="its address; the key is read from REIDAPP_KEY")
    parser.add_argument("image", type=Path, help="picture of the person")
    parser.add_argument("--camera", action="append", default=[], help="only this camera or group")
    parser.add_argument("--top", type=int, default=10, help="hits at most")
    parser.add_argument("--clips", type=Path, help="folder for a clip of each hit")
    parser.add_argument("--every", type=float, metavar="SECONDS", help="ask again and again, and tell what is new")
    parser.add_argument("--purpose", default="example", help="the server's log keeps it")
    said = parser.parse_args()
    if not (key := os.environ.get("REIDAPP_KEY")):
        parser.error("REIDAPP_KEY is not set; `reidapp users keys add` prints a key")

    address = f"{said.server.rstrip('/')}/api/v1/"
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {key}"}, timeout=60) as server:
        told: set[str] = set()
        while True:
            try:
                for hit in hits(server, said):
                    if hit["tracklet"] not in told:
                        tell(server, hit, said.clips)
                        told.add(hit["tracklet"])
                wait_s = said.every
            except BusyError as busy:
                wait_s = busy.wait_s
            except httpx.TransportError as error:  # it is not there; who goes on asks again when it is
                print(f"{address}: {error or type(error).__name__}", file=sys.stderr)
                if said.every is None:
                    sys.exit(1)
                wait_s = said.every
            if wait_s is None:
                return
            time.sleep(wait_s)


class BusyError(Exception):
    """The server has too much to do just now.

    Args:
        wait_s: seconds after which to ask again.
    """

    def __init__(self, wait_s: float) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


def hits(server: httpx.Client, said: argparse.Namespace) -> list[dict[str, Any]]:
    """The picture is given anew each time: a server keeps it for half an hour."""
    picture = answer(server.post("queries", params={"name": said.image.name}, content=said.image.read_bytes())).json()
    wanted = {"pictures": [{"id": picture["id"]}], "top": said.top, "cameras": said.camera, "purpose": said.purpose}
    found: list[dict[str, Any]] = answer(server.post("search", json=wanted)).json()["hits"]
    return found


def tell(server: httpx.Client, hit: dict[str, Any], clips: Path | None) -> None:
    """One line; an address in an answer is used as it stands."""
    line = {name: hit[name] for name in ("tracklet", "camera", "start", "end", "score", "p_match")}
    if clips:
        clips.mkdir(parents=True, exist_ok=True)
        file = clips / f"{hit['tracklet']}.mp4"
        file.write_bytes(answer(server.get(server.base_url.join(hit["clip_url"]))).content)
        line["clip"] = str(file)
    print(json.dumps(line), flush=True)


def answer(got: httpx.Response) -> httpx.Response:
    """What is no error; an error is one line that says what to do.

    Raises:
        BusyError: to be asked again.
    """
    if got.status_code == 503:
        raise BusyError(float(got.headers.get("Retry-After", 5)))
    if got.is_error:
        by_proxy = "json" not in got.headers.get("Content-Type", "")  # whose words are a page
        sys.exit(f"{got.request.url.path}: {got.reason_phrase if by_proxy else got.json()['error']}")
    return got


if __name__ == "__main__":
    main()
