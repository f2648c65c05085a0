"""What yes and no answers to the first hits are worth: residual mAP on generated footage, before and after them.

    reidapp synth footage world --cameras 4 --people 24 --seconds 120 --crowd 2 --seed 7
    reidapp index world --gallery gallery --zone UTC
    python -m benchmarks.feedback world gallery > docs/results/feedback.json

Everybody is searched for from each camera, with the best stored crop, in all other cameras. The truth answers the first
hits, and these tracklets, pieces included, are taken out of both rankings: the score is of what is still to be found.
Goal: two answers raise it by 5 points.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine
from reidapp.embedding import Embedder
from reidapp.footage.detection import open_detector
from reidapp.gallery.queries import asked
from reidapp.gallery.search import Searcher
from reidapp.gallery.store import Gallery
from reidapp.measures import Followed, Query, RankedHit, best_crop
from reidapp.query import embed_query
from reidapp.truth import Truth

ANSWERS = (1, 2, 4, 8, 16, 32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("footage", type=Path)
    parser.add_argument("gallery", type=Path)
    parser.add_argument("--answers", type=int, nargs="+", default=ANSWERS)
    arguments = parser.parse_args()
    result = measure(Gallery.open(arguments.gallery), arguments.footage, arguments.answers)
    print(json.dumps({"benchmark": "feedback", **result, "machine": machine()}, indent=1))


def measure(gallery: Gallery, footage: Path, answers: list[int] | tuple[int, ...]) -> dict[str, Any]:
    truth, embedder = Truth.read(footage), Embedder(gallery.model_file)
    searcher, detector = Searcher(gallery, embedder), open_detector(gallery.detector)
    followed = [Followed(one, tuple(truth.people_in(one.camera, one.path))) for one in gallery.tracklets()]
    who = {one.tracklet.id: one.person for one in followed}
    queries, images = [], []
    for person in truth.people:
        for camera in truth.cameras:
            others = [other for other in truth.cameras if other != camera]
            if crop := best_crop(truth, followed, person, camera):
                image = embed_query([crop.file], gallery, embedder, detector)
                found = searcher.search(image, cameras=others, top=len(followed)).hits
                queries.append(Query(person, camera, crop, tuple(RankedHit(hit, who[hit.tracklet]) for hit in found)))
                images.append(image)
    rows = []
    for count in answers:
        before, after, accepted = [], [], []
        for query, image in zip(queries, images, strict=True):
            judged = {hit.hit.tracklet: hit.person == query.person for hit in query.hits[:count]}
            rest = replace(query, hits=tuple(hit for hit in query.hits if hit.hit.tracklet not in judged))
            if all(hit.person != query.person for hit in rest.hits):
                continue  # everything was found before
            yes = [tracklet for tracklet, right in judged.items() if right]
            ask = asked(gallery, embedder.identity, image, yes=yes, no=[each for each in judged if each not in yes])
            others = [other for other in truth.cameras if other != query.camera]
            hits = searcher.search(ask.embeddings, cameras=others, without=ask.without, top=len(followed)).hits
            again = replace(query, hits=tuple(RankedHit(hit, who[hit.tracklet]) for hit in hits))
            before.append(rest.precision_and_rank1[0])
            after.append(again.precision_and_rank1[0])
            accepted.append(len(yes))
        rows.append(
            {
                "answers": count,
                "queries": len(before),
                "yes_of_them": round(float(np.mean(accepted)), 2),
                "residual_mAP_before": round(100 * float(np.mean(before)), 2),
                "residual_mAP_after": round(100 * float(np.mean(after)), 2),
                "gain": round(100 * float(np.mean(after) - np.mean(before)), 2),
                "queries_better": int(np.sum(np.array(after) > np.array(before))),
                "queries_worse": int(np.sum(np.array(after) < np.array(before))),
            }
        )
    mean = float(np.mean([query.precision_and_rank1[0] for query in queries]))
    return {
        "cameras": len(truth.cameras),
        "people": len(truth.people),
        "tracklets": len(followed),
        "queries": len(queries),
        "model": embedder.card.name,
        "mAP": round(100 * mean, 2),
        "rows": rows,
    }


if __name__ == "__main__":
    main()
