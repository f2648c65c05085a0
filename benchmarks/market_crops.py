"""Real crops for what needs no training: Market-1501's training images, embedded by the shipped model."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models import zoo
from reidapp.embedding import Embedder
from reidapp.imaging import read_image
from reidapp.metrics import RetrievalScores, evaluate_ranking

FPS, APART_S = 25, 10  # of the recordings; a longer gap begins another tracklet
TEST = 251  # identities of Market-500/251 that are the test, the last ones
_AT_ONCE = 64


@dataclass(frozen=True)
class Crops:
    """Arrays ``[N]``, ``embeddings`` float32 ``[N, D]`` as a gallery stores them.

    ``time_s`` is within a sequence; the six sequences are kept apart like days.
    """

    embeddings: np.ndarray
    pid: np.ndarray
    camera: np.ndarray
    time_s: np.ndarray
    tracklet: np.ndarray

    def of(self, kept: np.ndarray) -> "Crops":
        return Crops(*(array[kept] for array in vars(self).values()))

    @property
    def test(self) -> "Crops":
        """The last 251 identities."""
        return self.of(np.isin(self.pid, np.unique(self.pid)[-TEST:]))

    @property
    def queries(self) -> np.ndarray:
        """The first crop of each identity in each camera."""
        return np.unique(np.stack([self.pid, self.camera], axis=1), axis=0, return_index=True)[1]

    def scores(self, queries: np.ndarray, rows: np.ndarray) -> RetrievalScores:
        """By Market-500/251's protocol, of the queries' embeddings and the rows'."""
        asking = self.of(self.queries)
        of = queries.astype(np.float32), asking.pid, asking.camera
        return evaluate_ranking(*of, rows.astype(np.float32), self.pid, self.camera, protocol="Market-500/251")

    @property
    def together(self) -> list[tuple[int, int]]:
        """Tracklets that are in one frame of one camera."""
        frame = np.stack([self.camera, np.rint(self.time_s * FPS).astype(int)], axis=1)
        frames = np.unique(frame, axis=0, return_inverse=True)[1].ravel()
        groups = np.split(self.tracklet[np.argsort(frames, kind="stable")], np.cumsum(np.bincount(frames))[:-1])
        return sorted({(int(a), int(b)) for group in groups for a in group for b in group if a < b})


def market_crops(folder: Path, kept: Path | None = None) -> Crops:
    """All crops of Market-1501's training folder; names are ``PPPP_cCsS_FFFFFF_DD.jpg``.

    Args:
        kept: file for the embeddings, for another run.
    """
    files = sorted(folder.glob("*.jpg"))
    if kept and kept.is_file():
        embeddings = np.load(kept)
    else:
        embedder = Embedder(zoo.path_of(zoo.DEFAULT))
        images = (files[i : i + _AT_ONCE] for i in range(0, len(files), _AT_ONCE))
        embeddings = np.concatenate([embedder.embed([read_image(file) for file in some]) for some in images])
        if kept:
            np.save(kept, embeddings)
    pid, camera, sequence, frame = np.array(
        [(int(f.name[:4]), int(f.name[6]), int(f.name[8]), int(f.name[10:16])) for f in files]
    ).T
    time_s = frame / FPS + sequence * 1e6
    order = np.lexsort((time_s, camera, pid))
    new = (np.diff(pid[order]) != 0) | (np.diff(camera[order]) != 0) | (np.diff(time_s[order]) > APART_S)
    tracklet = np.empty(len(files), int)
    tracklet[order] = np.concatenate([[0], np.cumsum(new)])
    return Crops(embeddings.astype(np.float16).astype(np.float32), pid, camera, time_s, tracklet)
