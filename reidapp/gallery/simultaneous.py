"""Tracklets that are two people for certain: seen at the same time in one camera, at different places."""

import itertools
from collections import defaultdict
from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.orm import Session

from reidapp.box import Box
from reidapp.gallery import schema
from reidapp.gallery.pieces import roots
from reidapp.gallery.store import Gallery


def simultaneous(gallery: Gallery) -> list[tuple[str, str]]:
    """Pairs of tracklets that were in one frame together, sorted; pieces that continue one another are one tracklet.

    A pair whose boxes overlap in any frame is left out: one of them may be a second detection of the same person.
    """
    apart: set[tuple[str, str]] = set()
    touching: set[tuple[str, str]] = set()
    with Session(gallery.engine) as session:
        first_piece = roots(session)
        rows = session.execute(
            select(schema.Tracklet.chunk_id, schema.Tracklet.id, schema.Tracklet.path).order_by(
                schema.Tracklet.chunk_id, schema.Tracklet.id
            )
        )
        for _, pieces in itertools.groupby(rows, key=lambda row: row[0]):
            for one, other, overlap in _together([(first_piece.get(id_, id_), path) for _, id_, path in pieces]):
                (touching if overlap else apart).add((min(one, other), max(one, other)))
    return sorted(apart - touching)


def _together(pieces: list[tuple[str, list[list[float]]]]) -> Iterator[tuple[str, str, bool]]:
    """Every two boxes of one frame: (tracklet, tracklet, whether they overlap)."""
    frames: dict[float, list[tuple[str, Box]]] = defaultdict(list)
    for tracklet, path in pieces:
        for time_s, *corners in path:
            frames[time_s].append((tracklet, Box(*corners)))
    for boxes in frames.values():
        for (one, box), (other, other_box) in itertools.combinations(boxes, 2):
            if one != other:
                yield one, other, box.iou(other_box) > 0
