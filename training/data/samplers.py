"""Which images make a batch."""

from collections.abc import Iterator

import numpy as np

from reidapp.errors import UserError


class IdentitySampler:
    """P × K batches: P identities with K images each; one epoch shows every image at least once.

    Every identity's images are shuffled and cut into groups of K (the last one filled up from the same identity), and
    an identity's groups are spread evenly over the epoch. So an identity with many images comes often, and hardly ever
    twice in a batch. The last batch is filled up from the beginning: all batches have P × K images.

    Args:
        labels: int ``[N]``, the identity of every image.
        identities: P.
        images: K.
    """

    def __init__(self, labels: np.ndarray, identities: int = 16, images: int = 4) -> None:
        if identities < 1 or images < 1 or identities * images < 2:
            raise UserError(f"sampler: {identities} identities × {images} images is no batch")
        order = np.argsort(labels, kind="stable")
        self._of_identity = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
        self.identities, self.images = identities, images
        groups = sum(-(-len(own) // images) for own in self._of_identity)
        self.batches = -(-groups // identities)

    def epoch(self, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """The batches of one epoch, each int ``[P * K]`` indices of images."""
        groups, times = [], []
        for own in self._of_identity:
            count = -(-len(own) // self.images)
            groups.append(np.resize(rng.permutation(own), (count, self.images)))
            times.append((np.arange(count) + rng.random()) / count)
        by_time = np.concatenate(groups)[np.argsort(np.concatenate(times))]
        full = np.resize(by_time, (self.batches * self.identities, self.images))
        yield from full.reshape(self.batches, -1)
