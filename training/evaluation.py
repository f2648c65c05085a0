"""Scores of a model, exported or still in its run folder, on a labelled data set."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from reidapp.embedding import Embedder
from reidapp.errors import UserError
from reidapp.imaging import read_image
from reidapp.kreciprocal import Reranking
from reidapp.metrics import (
    JUNK,
    Distances,
    People,
    RetrievalScores,
    SameCamera,
    cosine_distances,
    evaluate_distances,
    verify,
)
from training.data.datasets import NO_CAMERA, Record, load_dataset
from training.progress import Notes

_CHUNK = 256
Embed = Callable[[Sequence[np.ndarray]], np.ndarray]


def evaluate(
    model: Path,
    data: str,
    *,
    flip: bool = False,
    rerank: bool = False,
    figures: Path | None = None,
    same_camera: str | None = None,
    device: str = "auto",
    quiet: bool = False,
) -> RetrievalScores:
    """Rank a data set's gallery for each of its queries.

    Args:
        model: an ``.onnx`` file (torch is not needed) or a run folder.
        data: ``KIND:DIR``; its query and gallery parts are used.
        flip: average the embeddings of a crop and its mirror image.
        rerank: rank by k-reciprocal neighbours; the threshold stays one of the cosine.
        figures: folder to draw into, see `training.figures`.
        same_camera: see `evaluate_ranking`; by default ``remove`` if any camera is known, else ``keep``. A query's own
            file in the gallery is no match of it either way.
        device: for run folders; ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UserError: bad model or data, one identity only, or no query that could be answered.
    """
    if same_camera not in (None, "remove", "keep"):
        raise UserError(f"--same-camera {same_camera}: remove or keep expected")
    if figures is not None:
        from training.figures import Shown, make_folder, write_figures

        make_folder(figures)
    dataset = load_dataset(data)
    dataset.gallery = [r for r in dataset.gallery if r.pid != JUNK]
    if not dataset.query or not dataset.gallery:
        raise UserError(f"data {data}: no {'gallery' if dataset.query else 'query'} images to evaluate on")
    notes = Notes()
    embed = _embed_function(model, device)
    records = list(dict.fromkeys([*dataset.query, *dataset.gallery]))  # a query may be in the gallery: embed it once
    with notes.bar("embedding", len(records), quiet) as advance:
        embeddings, skipped = _embed_files(embed, records, flip, advance)
    skipped = dataset.skipped + skipped
    notes.warn_left_out(skipped)

    query, gallery = ([r for r in part if r in embeddings] for part in (dataset.query, dataset.gallery))
    _check_read(data, query, gallery, skipped)
    seen = _trained_on(model, data) and not {r.path for r in dataset.train}.isdisjoint(r.path for r in gallery)
    if seen:
        notes.warn("these are the training images of the run; how well it tells other people apart, they cannot say")
    known = list({r.path: r.camid != NO_CAMERA for r in [*query, *gallery]}.values())
    rule: SameCamera = "remove" if same_camera == "remove" or (same_camera is None and any(known)) else "keep"
    remarks = {
        "flip-averaged": flip,
        f"{known.count(False)} of no known camera": rule == "remove" and not all(known),
        "training images": seen,
        f"{len(skipped)} unreadable left out": bool(skipped),
    }
    protocol = ", ".join([dataset.protocol, *(remark for remark, said in remarks.items() if said)])

    query_side, gallery_side = _arrays(query, embeddings), _arrays(gallery, embeddings)
    places = {r.path: place for place, r in enumerate(gallery)}
    own = np.array([places.get(r.path, -1) for r in query])
    verification = verify(*query_side, *gallery_side, same_camera=rule, own=own)
    distances, how = _ranking(query_side[0], gallery_side[0], rerank)
    people = *query_side[1:], *gallery_side[1:]
    scores = evaluate_distances(distances, *people, same_camera=rule, own=own, protocol=f"{how}; {protocol}")
    scores = replace(scores, verification=verification)
    if rerank and scores.matches_per_query < 2:
        notes.warn(
            f"a query has {scores.matches_per_query:.1f} right matches on average; with fewer than 2, re-ranking often "
            "lowers the scores. Compare without it"
        )
    if figures is not None:
        seen_from = People(*people, rule, own)
        shown = Shown(query, gallery, seen_from, distances, "distance" if rerank else "cosine")
        write_figures(figures, model, scores, shown, notes.warn)
    return scores


def _check_read(
    data: str, query: Sequence[Record], gallery: Sequence[Record], skipped: Sequence[tuple[Path, str]]
) -> None:
    """Refuse what has nobody to ask for, nobody to find, or nobody to confuse them with."""
    if not query or not gallery:
        part, (path, why) = "gallery" if query else "query", skipped[0]
        raise UserError(f"data {data}: none of its {part} images can be read (the first: {path.name}: {why})")
    if len({r.pid for r in [*query, *gallery]}) < 2:
        raise UserError(f"data {data}: one identity only; a ranking of one person says nothing, so give several")


def _trained_on(model: Path, data: str) -> bool:
    if not model.is_dir():
        return False
    from models.run_folder import read_facts

    specs = read_facts(model)["data"]
    return _place(data) in [_place(spec) for spec in ([specs] if isinstance(specs, str) else specs)]


def _place(spec: str) -> tuple[str, Path]:
    kind, _, place = spec.partition(":")
    return kind, Path(place).expanduser().resolve()


def _ranking(query: np.ndarray, gallery: np.ndarray, rerank: bool) -> tuple[Distances, str]:
    if not rerank:
        return cosine_distances(query, gallery), "cosine"
    reranking = Reranking(query, gallery)
    return reranking.distances, str(reranking)


def _arrays(records: list[Record], embeddings: dict[Record, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings [N, D], pids [N] and camids [N]."""
    vectors = np.array([embeddings[r] for r in records], np.float32)
    return vectors, np.array([r.pid for r in records]), np.array([r.camid for r in records])


def _embed_files(
    embed: Embed, records: list[Record], flip: bool, advance: Callable[[int], object]
) -> tuple[dict[Record, np.ndarray], list[tuple[Path, str]]]:
    embeddings: dict[Record, np.ndarray] = {}
    skipped: list[tuple[Path, str]] = []

    def read(record: Record) -> np.ndarray | None:
        try:
            return read_image(record.path)
        except UserError as error:
            skipped.append((record.path, str(error).removeprefix(f"{record.path}: ")))
            return None

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # decoding releases the interpreter's lock
        for start in range(0, len(records), _CHUNK):
            chunk = records[start : start + _CHUNK]
            crops = {r: crop for r, crop in zip(chunk, pool.map(read, chunk), strict=True) if crop is not None}
            vectors = embed(list(crops.values()))
            if flip:
                vectors = vectors + embed([crop[:, ::-1] for crop in crops.values()])
                vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            embeddings |= zip(crops, vectors, strict=True)
            advance(len(chunk))
    return embeddings, sorted(skipped)


def _embed_function(model: Path, device: str) -> Embed:
    if not model.is_dir():
        return Embedder(model, batch=64).embed
    import torch

    from models.device import pick_device
    from models.run_folder import load_network

    network = load_network(model).to(pick_device(device))
    return network.to(memory_format=torch.channels_last).embed_crops
