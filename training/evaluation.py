"""Scores of a model, exported or still in its run folder, on a labelled data set."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from reidapp.embedding import Embedder
from reidapp.errors import UserError
from reidapp.imaging import read_image
from reidapp.metrics import RetrievalScores, SameCamera, evaluate_ranking
from training.data.datasets import NO_CAMERA, Record, load_dataset
from training.progress import Notes, bar

_CHUNK = 256
Embed = Callable[[Sequence[np.ndarray]], np.ndarray]


def evaluate(
    model: Path,
    data: str,
    *,
    flip: bool = False,
    same_camera: SameCamera | None = None,
    device: str = "auto",
    quiet: bool = False,
) -> RetrievalScores:
    """Rank a data set's gallery for each of its queries.

    Args:
        model: an ``.onnx`` file (torch is not needed) or a run folder.
        data: ``KIND:DIR``; its query and gallery parts are used.
        flip: average the embeddings of a crop and its mirror image.
        same_camera: see `evaluate_ranking`; by default ``remove`` if any camera is known, else ``keep``.
        device: for run folders; ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UserError: bad model or data, or no query that could be answered.
    """
    dataset = load_dataset(data)
    if not dataset.query or not dataset.gallery:
        raise UserError(f"data {data}: no {'gallery' if dataset.query else 'query'} images to evaluate on")
    notes = Notes()
    embed = _embed_function(model, device)
    records = list(dict.fromkeys([*dataset.query, *dataset.gallery]))  # a query may be in the gallery: embed it once
    with bar("embedding", len(records), notes.console, quiet) as advance:
        embeddings, skipped = _embed_files(embed, records, flip, lambda count: advance(count, ""))
    if skipped := dataset.skipped + skipped:
        notes.warn(f"{len(skipped)} images left out: " + "; ".join(f"{path}: {why}" for path, why in skipped[:5]))

    query, gallery = ([r for r in part if r in embeddings] for part in (dataset.query, dataset.gallery))
    if not query or not gallery:
        part, (path, why) = "gallery" if query else "query", skipped[0]
        raise UserError(f"data {data}: none of its {part} images can be read (the first: {path.name}: {why})")
    if same_camera is None:
        known = any(r.camid != NO_CAMERA for r in [*query, *gallery])
        same_camera = "remove" if known else "keep"
    protocol = dataset.protocol + (", flip-averaged" if flip else "")
    if skipped:
        protocol += f", {len(skipped)} unreadable images left out"
    return evaluate_ranking(
        *_arrays(query, embeddings), *_arrays(gallery, embeddings), same_camera=same_camera, protocol=protocol
    )


def _arrays(records: list[Record], embeddings: dict[Record, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings [N, D], pids [N] and camids [N]."""
    vectors = np.array([embeddings[r] for r in records], np.float32)
    return vectors, np.array([r.pid for r in records]), np.array([r.camid for r in records])


def _embed_files(
    embed: Embed, records: list[Record], flip: bool, advance: Callable[[int], object]
) -> tuple[dict[Record, np.ndarray], list[tuple[Path, str]]]:
    embeddings: dict[Record, np.ndarray] = {}
    skipped: list[tuple[Path, str]] = []
    for start in range(0, len(records), _CHUNK):
        read: dict[Record, np.ndarray] = {}
        for record in records[start : start + _CHUNK]:
            try:
                read[record] = read_image(record.path)
            except UserError as error:
                skipped.append((record.path, str(error).removeprefix(f"{record.path}: ")))
        crops = list(read.values())
        vectors = embed(crops)
        if flip:
            vectors = vectors + embed([crop[:, ::-1] for crop in crops])
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        embeddings |= zip(read, vectors, strict=True)
        advance(min(_CHUNK, len(records) - start))
    return embeddings, skipped


def _embed_function(model: Path, device: str) -> Embed:
    if not model.is_dir():
        return Embedder(model, batch=64).embed
    import torch

    from models.device import pick_device
    from models.run_folder import load_network

    network = load_network(model).to(pick_device(device))
    return network.to(memory_format=torch.channels_last).embed_crops
