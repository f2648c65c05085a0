"""How far P(match) can be believed, and whom a search calls absent, on generated worlds that nothing was fitted to.

    python -m benchmarks.calibration [--detector yolox:PATH] [--seeds 30 31 32] > docs/results/calibration.json

A world: four cameras, two minutes each, 24 people in groups. One half of its people calibrates the gallery; each of the
other half is searched for from each camera, with the best stored crop, in all other cameras; then the halves change
places. The first 20 hits of all searches go into 15 bins of equal size (`ece`), together and world by world; of each
bin of all together, `reliability` has the mean P(match) and the share that is right. Then the searches are asked again
with the person's tracklets left out: `told`, the share that is answered "probably not in this gallery", with
`false_alarms` of the people who are there; and what it would be at exactly 10 % of these.

    identities   the half has names
    of another world   the names are those of the world before, whose calibration is used here
    answers      the half was searched for and saved, and the truth has answered the first ten hits
    label-free   nothing is said of anybody

Goals: an error of at most 0.05 with identities and with answers; 80 % of absent people told at 10 % false alarms.
Rows `by` two pictures and `after two answers` say for which searches a calibration of single pictures holds: it does
not after answers, so `reidapp search` says no P(match) then.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.machine import machine
from benchmarks.worlds import World, named, opened, options, world_facts
from reidapp.errors import UserError
from reidapp.gallery.calibration import (
    FALSE_ALARMS,
    Point,
    calibrate,
    calibration_error,
    keep,
    presence,
    reliability,
)
from reidapp.gallery.queries import asked
from reidapp.gallery.saved_searches import SavedSearches
from reidapp.gallery.search import SearchResult
from reidapp.gallery.trials import SHOWN
from reidapp.imaging import read_image

ERROR, TOLD = 0.05, 0.8
ANSWERED = 10  # hits of each saved search


@dataclass
class Found:
    """Hits of some searches: P(match) and whether they are right; and presence with and without the person."""

    p_match: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    there: list[tuple[float, bool]] = field(default_factory=list)
    left_out: list[tuple[float, bool]] = field(default_factory=list)

    @property
    def bins(self) -> tuple[Point, ...]:
        return reliability(np.array(self.p_match), np.array(self.right))

    @property
    def error(self) -> float:
        return calibration_error(self.bins)


def main() -> None:
    arguments = options(__doc__).parse_args()
    found: dict[str, list[Found]] = {}
    with opened(arguments) as worlds:
        for world, before in zip(worlds, [worlds[-1], *worlds[:-1]], strict=True):
            for way, searches in measured(world, before).items():
                found.setdefault(way, []).append(searches)
                print(way, json.dumps(row([searches])), file=sys.stderr)
    rows = {way: row(each) for way, each in found.items()}
    goals = {f"{way}, error": rows[way]["ece"] <= ERROR for way in ("identities", "answers")}
    goals |= {f"{way}, absent": rows[way]["told_at_10_percent"] >= TOLD for way in ("identities", "answers")}
    result = world_facts("calibration", arguments, worlds) | {
        "goals": {"ece": ERROR, "told_at_10_percent": TOLD},
        "reached": goals,
        "rows": rows,
        "machine": machine(),
    }
    print(json.dumps(result, indent=1))


def measured(world: World, before: World) -> dict[str, Found]:
    found = {way: Found() for way in ("identities", "of another world", "answers", "label-free")}
    found |= {f"by {way}": Found() for way in ("mean", "max", "set")} | {"after two answers": Found()}
    for number in (0, 1):
        known, asking = world.half(number), world.half(1 - number)
        with named(world, known):
            calibrate(world.gallery, lambda: world.searcher.embedder, "identities")
            search_for(world, asking, found["identities"])
            for combine in ("mean", "max", "set"):
                search_with_two(world, asking, combine, found[f"by {combine}"])
            search_after_answers(world, asking, found["after two answers"])
        with named(before, before.half(number)):
            elsewhere = calibrate(before.gallery, lambda: before.searcher.embedder, "identities")
        keep(world.gallery, world.searcher.embedder.identity, elsewhere)
        search_for(world, asking, found["of another world"])
        with answered(world, known):
            calibrate(world.gallery, lambda: world.searcher.embedder, "answers")
            search_for(world, asking, found["answers"])
        try:
            calibrate(world.gallery, lambda: world.searcher.embedder, "label-free")
            search_for(world, asking, found["label-free"])
        except UserError as error:
            print(error, file=sys.stderr)
    return {way: searches for way, searches in found.items() if searches.p_match}


@contextmanager
def answered(world: World, people: Sequence[int]) -> Iterator[None]:
    """Saved searches for people from each camera, whose first hits the truth has answered."""
    searches = SavedSearches(world.gallery, "truth")
    names = []
    for (person, camera), (crop, query) in world.crops.items():
        if person in people:
            cameras = world.others(camera)
            names.append(f"person {person} from {camera}")
            searches.save(names[-1], [read_image(crop.file)], filters={"cameras": cameras})
            hits = [hit.tracklet for hit in world.searcher.search(query, cameras=cameras, top=ANSWERED).hits]
            yes = [id_ for id_ in hits if world.who[id_] == person]
            searches.answer(names[-1], yes, [id_ for id_ in hits if id_ not in yes])
    yield
    for name in names:
        searches.delete(name)


def search_for(world: World, people: Sequence[int], found: Found) -> None:
    """Everybody from each camera in all others, once as it is and once with the person's tracklets left out."""
    for (person, camera), (_, query) in world.crops.items():
        if person not in people:
            continue
        cameras = world.others(camera)
        own = world.tracklets(person, cameras)
        there = judge(world, person, found, query, cameras=cameras)
        gone = world.searcher.search(query, cameras=cameras, without=own)
        if own and None not in (there.probably_absent, gone.probably_absent):
            found.there.append(answer(there))
            found.left_out.append(answer(gone))


def search_with_two(world: World, people: Sequence[int], combine: str, found: Found) -> None:
    """Everybody with the best crops of two cameras in the other two."""
    for person in people:
        seen = [camera for one, camera in world.crops if one == person]
        for pair in zip(seen, [*seen[1:], seen[0]], strict=True) if len(seen) > 1 else ():
            query = np.concatenate([world.crops[person, camera][1] for camera in pair])
            judge(world, person, found, query, cameras=world.others(*pair), combine=combine)


def search_after_answers(world: World, people: Sequence[int], found: Found) -> None:
    """Everybody from each camera, after the first two hits were answered."""
    for (person, camera), (_, query) in world.crops.items():
        if person in people:
            cameras = world.others(camera)
            first = [hit.tracklet for hit in world.searcher.search(query, cameras=cameras, top=2).hits]
            yes = [id_ for id_ in first if world.who[id_] == person]
            no = [id_ for id_ in first if id_ not in yes]
            ask = asked(world.gallery, world.searcher.embedder.identity, query, yes=yes, no=no)
            judge(world, person, found, ask.embeddings, cameras=cameras, without=ask.without)


def judge(world: World, person: int, found: Found, query: np.ndarray, **options: Any) -> SearchResult:
    result = world.searcher.search(query, top=SHOWN, **options)
    for hit in result.hits:
        assert hit.p_match is not None
        found.p_match.append(hit.p_match)
        found.right.append(world.who[hit.tracklet] == person)
    return result


def answer(result: SearchResult) -> tuple[float, bool]:
    assert result.probably_absent is not None
    return presence(np.array([hit.p_match for hit in result.hits])), result.probably_absent


def row(worlds: Sequence[Found]) -> dict[str, Any]:
    """All worlds together; of each world its error alone."""
    every = Found(
        *([value for each in worlds for value in getattr(each, name)] for name in ("p_match", "right")),
        *([value for each in worlds for value in getattr(each, name)] for name in ("there", "left_out")),
    )
    p_match, right = np.array(every.p_match), np.array(every.right, float)
    facts: dict[str, Any] = {
        "ece": round(every.error, 4),
        "ece_of_each_world": [round(each.error, 4) for each in worlds],
        "brier": round(float(((p_match - right) ** 2).mean()), 4),
        "mean_p_match": round(float(p_match.mean()), 4),
        "right": round(float(right.mean()), 4),
        "hits": len(right),
        "reliability": [[round(each.p_match, 4), round(each.right, 4)] for each in every.bins],
    }
    if every.there:
        there, left_out = np.array(every.there), np.array(every.left_out)
        below = np.quantile(there[:, 0], FALSE_ALARMS)
        facts |= {
            "false_alarms": round(float(there[:, 1].mean()), 3),
            "told": round(float(left_out[:, 1].mean()), 3),
            "told_at_10_percent": round(float((left_out[:, 0] < below).mean()), 3),
            "searches": len(there),
        }
    return facts


if __name__ == "__main__":
    main()
