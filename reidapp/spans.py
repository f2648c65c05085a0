"""Where recordings of one camera overlap, and where none is."""

from collections.abc import Iterable
from dataclasses import dataclass

_SLACK_MS = 1500  # names have whole seconds, and recorders take a moment from one file to the next


@dataclass(frozen=True)
class Span:
    """A recording's time, UTC milliseconds."""

    name: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True)
class Between:
    """Two recordings that follow one another, and the seconds that lie between or that both have."""

    first: str
    second: str
    seconds: float


def gaps_and_overlaps(spans: Iterable[Span]) -> tuple[list[Between], list[Between]]:
    """Both in order of time. A recording is compared with the one before it that ends last."""
    gaps, overlaps = [], []
    last: Span | None = None
    for span in sorted(spans, key=lambda span: (span.start_ms, span.end_ms)):
        if last is not None:
            between_ms = span.start_ms - last.end_ms
            if between_ms > _SLACK_MS:
                gaps.append(Between(last.name, span.name, between_ms / 1000))
            elif min(span.end_ms, last.end_ms) - span.start_ms > _SLACK_MS:
                overlaps.append(Between(last.name, span.name, (min(span.end_ms, last.end_ms) - span.start_ms) / 1000))
        if last is None or span.end_ms > last.end_ms:
            last = span
    return gaps, overlaps
