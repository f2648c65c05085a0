"""Some users at one server who never pause, many for long, then far too many, then one: errors, times, its memory.

    python -m benchmarks.load [--rows 1000000] [--users 50] [--pause 10] [--seconds 600] > docs/results/load.json

The gallery and the searches are `benchmarks.served`'s, over loopback. Five situations after one another:

    alone      one user, a search after the other
    busy       a few users (`--busy-users`), each a search after the other, ten minutes (`--busy`): how many a server
               answers; its memory gets to what it keeps at most, 256 MB each of pictures and of searches
    together   all users, each with a search every ten seconds (`--pause`), for ten minutes (`--seconds`)
    crowd      many more users (`--crowd`), who search without a pause and come again at once when they are refused
    after      one user again

``memory`` is the server's resident memory, of its own ``/metrics``, each few seconds of `together`: medians of its
first and its last fifth. The rows' vectors are mapped files, and are in it as far as they were read. Goal: no error,
flat memory, and in the crowd hits or 503 with Retry-After, nothing else.
"""

import argparse
import json
import re
import statistics
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.machine import machine
from benchmarks.served import TOP, Load, Query, filled, note, served

LOOK_S = 5.0
RESIDENT = re.compile(r"^process_resident_memory_bytes (\S+)$", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="made-up ones")
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--pause", type=float, default=10.0, help="seconds from one search of a user to the next")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--busy", type=float, default=600.0, help="seconds without a pause before")
    parser.add_argument("--busy-users", type=int, default=4)
    parser.add_argument("--crowd", type=int, default=150, help="users who are far too many")
    parser.add_argument("--folder", type=Path, help="for the gallery, 3 GB; the system's temporary one by default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder, ignore_cleanup_errors=True) as folder:
        gallery, asked = filled(Path(folder), arguments.rows)
        with served(gallery.path) as client:
            result = measured(client, asked, arguments)
    facts = {
        "rows": arguments.rows,
        "users": arguments.users,
        "busy_users": arguments.busy_users,
        "crowd_users": arguments.crowd,
        "pause_s": arguments.pause,
    }
    print(json.dumps({"benchmark": "load", "top": TOP} | facts | result | {"machine": machine()}, indent=1))


def measured(client: httpx.Client, asked: list[Query], arguments: argparse.Namespace) -> dict[str, Any]:
    short = arguments.seconds / 20
    result: dict[str, Any] = {}
    note("alone")
    result["alone"] = Load(client, asked).of(1, 0.0, short)
    note("busy")
    busy = Load(client, asked).of(arguments.busy_users, 0.0, arguments.busy)
    result["busy"] = {"searches_per_s": round(busy["searches"] / arguments.busy, 1)} | busy
    note("together")
    with watched(client) as resident:
        result["together"] = Load(client, asked).of(arguments.users, arguments.pause, arguments.seconds)
    result["memory"] = summed_up(resident)
    note("crowd")
    result["crowd"] = Load(client, asked).of(arguments.crowd, 0.0, short)
    note("after")
    result["after"] = Load(client, asked).of(1, 0.0, short)
    return result


@contextmanager
def watched(client: httpx.Client) -> Iterator[list[float]]:
    """The server's resident memory, in MB, as it is looked at meanwhile."""
    found: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK_S):
            text = client.get("metrics").raise_for_status().text
            found.extend(float(number) / 1e6 for number in RESIDENT.findall(text))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield found
    finally:
        over.set()
        looking.join()


def summed_up(resident: list[float]) -> dict[str, float]:
    fifth = max(1, len(resident) // 5)
    first, last = (round(statistics.median(part), 1) for part in (resident[:fifth], resident[-fifth:]))
    return {"first_mb": first, "last_mb": last, "most_mb": round(max(resident), 1), "looks": len(resident)}


if __name__ == "__main__":
    main()
