"""What a server does, as JSON, an object a line on standard error, for programs that collect and count it.

None of it is about a person: a request is told by its route, not by its path, a job by its kind, a fault by its type
and place, not by its words, in which a name may stand. Who did what, is in the log of `audit`.
"""

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType

from reidapp.gallery.facts import iso

_events = logging.getLogger("reidapp.events")
# Their messages are the same whatever they are about: what they are about stands apart, in the record's arguments.
_PLAIN = ("reidapp.", "uvicorn.")
_FRAMES = 8


def tell(event: str, **facts: str | float | None) -> None:
    """Write an event, where they are written; with nothing that says who somebody is."""
    _events.info(event, extra={"facts": facts})


def write_events() -> None:
    """From now on this process writes events, and what its libraries warn of, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    _events.setLevel(logging.INFO)


class JsonLines(logging.Formatter):
    """A record as an object: when, how bad, what, and of a fault its type and where it came about."""

    def format(self, record: logging.LogRecord) -> str:
        at = iso(datetime.fromtimestamp(record.created, UTC))
        told: dict[str, object] = {"time": at, "level": record.levelname.lower()}
        event = str(record.msg).strip().removesuffix(": %s")
        if facts := getattr(record, "facts", None):
            told |= {"event": event, **facts}
        elif record.name.startswith(_PLAIN):
            told |= {"event": event, "by": record.name}
        else:
            told |= {"event": f"{record.module}:{record.lineno}", "by": record.name}
        if record.exc_info and record.exc_info[0]:
            told |= _fault(record.exc_info[0], record.exc_info[2])
        return json.dumps(told, ensure_ascii=False)


def _fault(kind: type[BaseException], where: TracebackType | None) -> Mapping[str, object]:
    frames = traceback.extract_tb(where)[-_FRAMES:]
    return {"fault": kind.__name__, "at": [f"{frame.filename}:{frame.lineno}" for frame in reversed(frames)]}
