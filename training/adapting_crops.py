"""A gallery's crops as adapting looks at them: what embeddings are worth, and which batch norm statistics suit them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.camera_batch_norm import FEWEST, look
from models.camera_statistics import CameraStatistics, fit_statistics, steadied
from models.network import Network
from reidapp.gallery.label_free import LabelFreeScores, label_free_scores
from reidapp.imaging import decode_crop, resize
from training.data.datasets import Record
from training.data.datasets.gallery import Gallery as GalleryData

COMMON, EACH_CAMERA, NO_BATCH_NORM = "common statistics", "statistics of each camera", "no batch norm"
_CROPS = 8192  # looked at, at most: more change the statistics no further
_OF_A_CAMERA = 1024
_WEIGHTS = (0, 16, 64, 256)  # that the network's own statistics may have, as crops


@dataclass(frozen=True)
class Tried:
    """Batch norm statistics in words, themselves (of no camera: common ones), and the scores with them."""

    name: str
    statistics: CameraStatistics
    scores: LabelFreeScores


class AdaptingCrops:
    """Crops of every camera, spread evenly over its time.

    Attributes:
        counts: {camera: crops}.
        fitted: the same, 0 for cameras that have too few for statistics of their own.
    """

    def __init__(self, data: GalleryData, network: Network) -> None:
        """
        Args:
            network: of the height and width that the crops get.
        """
        records = _spread(data.train)
        self._tracklets = np.array([record.tracklet for record in records])
        self._camids = np.array([record.camid for record in records])
        self._at_once = data.at_once
        self._cameras = np.array(data.cameras)[self._camids]
        self._images = _images(records, network)
        self.counts = {name: int((self._cameras == name).sum()) for name in data.cameras}
        self.fitted = {name: count if count >= FEWEST else 0 for name, count in self.counts.items()}
        self._own = {name: np.flatnonzero(self._cameras == name) for name, count in self.fitted.items() if count}

    def scores(self, network: Network) -> LabelFreeScores:
        """Those of a network as it is."""
        return self._scores(look(network, self._images, network.embed).numpy())

    def each_camera(self, network: Network) -> list[Tried]:
        """Statistics of each camera: of its crops alone, then with more and more of the network's own in them.

        Dozens of crops say little of what is normal; and where a camera is like those that the network learnt from, its
        own say more. None if no camera has enough crops. The network is left as it was.
        """
        return self._steadied(network, self._fit(network))

    def better_statistics(self, network: Network) -> tuple[Tried, list[Tried]]:
        """Statistics of each camera where they improve on common ones, else these; and all that were tried.

        The network has common ones afterwards.
        """
        found = self._fit(network)
        tried = self._steadied(network, found)
        shared = CameraStatistics([], {name: table[:1] for name, table in found.tables.items()})
        shared.put_into(network, 0)
        common = Tried(COMMON, shared, self.scores(network))
        return best(tried, common.scores) or common, [common, *tried]

    def _fit(self, network: Network) -> CameraStatistics:
        return fit_statistics(network, self._images, {name: self._images[rows] for name, rows in self._own.items()})

    def _steadied(self, network: Network, found: CameraStatistics) -> list[Tried]:
        own = CameraStatistics([], {name: network.get_buffer(name).clone()[None] for name in found.tables})
        crops = [len(self._images), *map(len, self._own.values())]
        tried = []
        for weight in _WEIGHTS if self._own else ():
            statistics = steadied(found, network, crops, weight)
            scores = self._scores(self._embedded(network, statistics))
            own.put_into(network, 0)
            share = f", the network's own as {weight} crops more" if weight else ""
            tried.append(Tried(EACH_CAMERA + share, statistics, scores))
        return tried

    def _embedded(self, network: Network, statistics: CameraStatistics) -> np.ndarray:
        """As the exported model embeds them."""
        embeddings = np.empty((len(self._images), network.dim), np.float32)
        for camera in np.unique(self._cameras):
            rows = np.flatnonzero(self._cameras == camera)
            known = camera in statistics.cameras
            statistics.put_into(network, 1 + statistics.cameras.index(camera) if known else 0)
            embeddings[rows] = look(network, self._images[rows], network.embed).numpy()
        return embeddings

    def _scores(self, embeddings: np.ndarray) -> LabelFreeScores:
        return label_free_scores(embeddings, self._tracklets, self._camids, self._at_once)


def best(tried: Sequence[Tried], than: LabelFreeScores) -> Tried | None:
    """Of those that improve on some scores the one whose embeddings are drawn to their own camera the least.

    In one camera: whose tracklets are told apart best.
    """
    better = [one for one in tried if one.scores.improves(than)]
    return min(better, key=lambda one: (one.scores.same_camera or 0.0, -(one.scores.auc or 0.0)), default=None)


def _spread(records: Sequence[Record]) -> list[Record]:
    of_camera: dict[int, list[Record]] = {}
    for record in records:
        of_camera.setdefault(record.camid, []).append(record)
    most = max(FEWEST, min(_OF_A_CAMERA, _CROPS // len(of_camera)))
    return [record for own in of_camera.values() for record in own[:: -(-len(own) // most)]]


def _images(records: Sequence[Record], network: Network) -> np.ndarray:
    images = np.empty((len(records), network.height, network.width, 3), np.uint8)
    for image, record in zip(images, records, strict=True):
        image[:] = resize(decode_crop(record.path.read_bytes()), network.height, network.width)
    return images
