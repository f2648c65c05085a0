"""Which images make a batch."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np

from reidapp import registry
from reidapp.errors import UserError
from reidapp.options import Count, Positive
from training.data.datasets import NO_CAMERA, UNLABELLED


class _Sampler:
    """Batches of one size: whole groups of labelled images, then some without a label.

    Args:
        labels: int ``[N]``, the identity of every image; −1: none.
        group: images that stay together when a batch is shared out.
        groups: groups in a batch.
        unlabelled: images of label −1 at the end of every batch, in turn.

    Attributes:
        batches: of an epoch.
        has_pairs: whether a batch has room for two images of an identity, and for two identities.
    """

    batches: int
    has_pairs = True

    def __init__(self, labels: np.ndarray, group: int, groups: int, unlabelled: int) -> None:
        _whole(0, unlabelled=unlabelled)
        self._labelled = np.flatnonzero(labels != UNLABELLED)
        self._rest = np.flatnonzero(labels == UNLABELLED)
        self.group, self.groups, self.unlabelled = group, groups, unlabelled
        if not len(self._labelled):
            raise UserError("sampler: no image has an identity; a method for unlabelled images is needed")
        if unlabelled and not len(self._rest):
            raise UserError(f"sampler: {unlabelled} unlabelled images a batch, but all images have an identity")

    @property
    def batch_size(self) -> int:
        return self.group * self.groups + self.unlabelled

    def epoch(self, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """The batches of one epoch, each int ``[batch_size]`` indices of images."""
        labelled = self._draw(rng)
        rest = np.resize(rng.permutation(self._rest), (self.batches, self.unlabelled))
        yield from np.concatenate([labelled, rest], axis=1)

    def _draw(self, rng: np.random.Generator) -> np.ndarray:
        """The labelled part of one epoch, int ``[batches, group · groups]``."""
        raise NotImplementedError


class IdentitySampler(_Sampler):
    """P × K batches: P identities with K images each.

    In an epoch of images, every identity's images are shuffled and cut into groups of K (the last one filled up from
    the same identity), and an identity's groups are spread evenly over the epoch. So every image is shown, an identity
    with many images comes often, and hardly ever twice in a batch. In an epoch of identities (open-reid, SphereReID,
    Cluster-Contrast) every identity has one group: on Market-1501 47 batches of 16 × 4 instead of 220. The last batch
    is filled up from the beginning: all batches have P × K images.

    An epoch of a given number of batches is cut short, or goes round again with images drawn anew. There may be fewer
    identities than P in it: a batch then shows some several times.

    Args:
        labels: int ``[N]``, the identity of every image; those of −1 are nobody's.
        identities: P.
        images: K.
        each: what an epoch, or a round of it, shows once, ``images`` or ``identities``.
        batches: of an epoch; if not given, those that show each once.
        spread_cameras: a group shows its identity from as many cameras as there are (images without a camera count as
            from one camera).
        unlabelled: images of label −1 at the end of every batch, in turn.
        cameras: int ``[N]``, the camera of every image.

    Raises:
        UserError: an empty batch, more identities in it than there are, an unknown word for ``each``, or no image of
            the kind asked for.
    """

    def __init__(
        self,
        labels: np.ndarray,
        identities: int = 16,
        images: int = 4,
        each: Literal["images", "identities"] = "images",
        batches: Count | None = None,
        spread_cameras: bool = False,
        unlabelled: int = 0,
        cameras: np.ndarray | None = None,
    ) -> None:
        _whole(1, identities=identities, images=images)
        if identities * images < 2:
            raise UserError("sampler: 1 identity with 1 image is no batch")
        if each not in ("images", "identities"):
            raise UserError(f'sampler: each is "{each}"; images or identities expected')
        super().__init__(labels, images, identities, unlabelled)
        if batches is None and identities > (people := len(np.unique(labels[self._labelled]))):
            raise UserError(
                f"sampler: {identities} identities a batch, but there are {people}; set sampler.identities={people}"
            )
        order = self._labelled[np.argsort(labels[self._labelled], kind="stable")]
        self._of_identity = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
        self._cameras = cameras if spread_cameras else None
        self.identities, self.images = identities, images
        self.has_pairs = min(identities, images) > 1
        self._counts = [1 if each == "identities" else -(-len(own) // images) for own in self._of_identity]
        self.batches = batches or -(-sum(self._counts) // identities)
        self._rounds = -(-batches * identities // sum(self._counts)) if batches else 1

    def _draw(self, rng: np.random.Generator) -> np.ndarray:
        rounds = np.concatenate([self._round(rng) for _ in range(self._rounds)])
        full = np.resize(rounds, (self.batches * self.identities, self.images))
        return full.reshape(self.batches, -1)

    def _round(self, rng: np.random.Generator) -> np.ndarray:
        """Groups of images int ``[·, images]``, everything once."""
        groups, times = [], []
        for own, count in zip(self._of_identity, self._counts, strict=True):
            groups.append(np.resize(self._shuffled(own, rng), (count, self.images)))
            times.append((np.arange(count) + rng.random()) / count)
        return np.concatenate(groups)[np.argsort(np.concatenate(times))]

    def _shuffled(self, own: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One identity's images in random order; with cameras, one of each camera in turn, as long as they last."""
        own = rng.permutation(own)
        if self._cameras is None:
            return own
        by_camera = [own[self._cameras[own] == camera] for camera in rng.permutation(np.unique(self._cameras[own]))]
        turns = np.concatenate([np.arange(len(part)) for part in by_camera])
        return np.concatenate(by_camera)[np.argsort(turns, kind="stable")]


class RandomSampler(_Sampler):
    """Shuffled batches: an epoch shows every labelled image once; the last batch is filled up from the beginning.

    Args:
        labels: int ``[N]``, the identity of every image; those of −1 are left out.
        batch: images in a batch.
        unlabelled: images of label −1 at the end of every batch, besides, in turn.

    Raises:
        UserError: an empty batch, one of more images than there are, or no image of the kind asked for.
    """

    def __init__(self, labels: np.ndarray, batch: int = 32, unlabelled: int = 0) -> None:
        _whole(2, batch=batch)
        super().__init__(labels, 1, batch, unlabelled)
        if batch > (images := len(self._labelled)):
            raise UserError(f"sampler: {batch} images a batch, but there are {images}; set sampler.batch={images}")
        self.batches = -(-len(self._labelled) // batch)

    def _draw(self, rng: np.random.Generator) -> np.ndarray:
        return np.resize(rng.permutation(self._labelled), (self.batches, self.groups))


class JoinedSampler:
    """Half of every batch from one sampler, half from another: a group of each in turn, so in every process's part.

    Args:
        first, second: with as many groups of as many images; ``first`` says how many batches there are.
    """

    unlabelled = 0

    def __init__(self, first: IdentitySampler, second: IdentitySampler) -> None:
        self._both = first, second
        self.group, self.groups, self.batches = first.group, 2 * first.groups, first.batches

    @property
    def batch_size(self) -> int:
        return self.group * self.groups

    def epoch(self, rng: np.random.Generator) -> Iterator[np.ndarray]:
        for parts in zip(*(sampler.epoch(rng) for sampler in self._both), strict=True):
            yield np.stack([part.reshape(-1, self.group) for part in parts], axis=1).ravel()


class FramePairSampler:
    """Batches of whole frames, two by two: a frame's people, and those of another frame of the same camera soon after.

    Every frame that shows two people or more, and is followed by another such frame, is the earlier one of a pair in
    turn; the later one is drawn. Frames differ in size, and batches do not: in a batch's last pair, people of the
    smaller frame are left out until it fits, so that those who stay can still be found in the larger one. Where there
    is no room for two of them, the smaller frame is empty, and images of the larger one fill the batch.

    Args:
        cameras: int ``[N]``, the camera of every image; −1: not known.
        times: float ``[N]``, in seconds; NaN: not known. Images of one camera and time are a frame.
        batch: images in a batch.
        gap: seconds between the two frames at most.
        batches: of an epoch; if not given, as many as all pairs fill.

    Raises:
        UserError: no times or cameras, no pair of frames, or a frame that is too large for a batch.
    """

    group, unlabelled = 1, 0

    def __init__(
        self,
        cameras: np.ndarray,
        times: np.ndarray,
        batch: int = 64,
        gap: Positive = 2.0,
        batches: Count | None = None,
    ) -> None:
        _whole(4, batch=batch)
        order = np.lexsort([times, cameras])
        order = order[(cameras[order] != NO_CAMERA) & ~np.isnan(times[order])]
        if not len(order):
            raise UserError("sampler: no image has a camera and a time, to tell frames by; give footage:DIR")
        begins = (np.diff(cameras[order]) != 0) | (np.diff(times[order]) != 0)
        frames = np.split(order, np.flatnonzero(begins) + 1)
        self._frames = [frame for frame in frames if len(frame) > 1]
        if not self._frames:
            raise UserError(
                "sampler: no frame shows two people (images of one camera and time are a frame, and a gallery has few "
                "of anybody); give footage:DIR with several people at a time"
            )
        first, sizes = np.array([frame[0] for frame in self._frames]), np.array([len(frame) for frame in self._frames])
        self._ends = np.empty(len(first), np.int64)  # the first frame that is too late, or of another camera
        for camera in np.unique(cameras[first]):
            own = np.flatnonzero(cameras[first] == camera)
            self._ends[own] = own[0] + np.searchsorted(times[first[own]], times[first[own]] + gap, side="right")
        self._earlier = np.flatnonzero(self._ends > np.arange(len(first)) + 1)
        if not len(self._earlier):
            raise UserError(f"sampler: no two frames with two people each within {gap:g} s; raise sampler.gap")
        if sizes.max() + 2 > batch:
            raise UserError(
                f"sampler: a frame shows {sizes.max()} people, too many for batches of {batch}; set "
                f"sampler.batch={2 * sizes.max()}"
            )
        self.groups = self.batch_size = batch
        self.batches = batches or int(-(-2 * sizes[self._earlier].sum() // batch))

    def epoch(self, rng: np.random.Generator) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
        """The batches of one epoch: pairs of int indices of images, the smaller frame's first."""
        pairs = self._pairs(rng)
        for _ in range(self.batches):
            batch, room = [], self.batch_size
            while room:
                few, many = next(pairs)
                few = few[: room - len(many)] if room - len(many) > 1 else few[:0]
                many = many[: room - len(few)]
                batch.append((few, many))
                room -= len(few) + len(many)
            yield batch

    def _pairs(self, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        while True:
            for at in rng.permutation(self._earlier):
                both = at, rng.integers(at + 1, self._ends[at])
                few, many = sorted((rng.permutation(self._frames[frame]) for frame in both), key=len)
                yield few, many


Sampler = IdentitySampler | RandomSampler


def build_sampler(options: Mapping[str, Any] | None, labels: np.ndarray, cameras: np.ndarray, recipe: str) -> Sampler:
    """The sampler that a recipe asks for: plain batches if it says ``batch``, else P × K.

    Args:
        options: for example ``{identities: 16, images: 4}`` or ``{batch: 32}``.
        labels, cameras: int ``[N]``.
        recipe: named in errors.

    Raises:
        UserError: an unknown option, a wrong value, or no image of the kind asked for.
    """
    kind = RandomSampler if "batch" in (options or {}) else IdentitySampler
    sampler: Sampler = registry.build(kind, options, f"{recipe}, sampler", labels=labels, cameras=cameras)
    return sampler


def split(batch: Any, sampler: Sampler | JoinedSampler | FramePairSampler, world: int, rank: int) -> Any:
    """The share of one of ``world`` processes: whole groups, and as many unlabelled images as the others get.

    Args:
        batch: indices, int ``[batch_size]``, NumPy's or torch's; so is the result.

    Raises:
        UserError: the batch cannot be shared out equally.
    """
    if world == 1:
        return batch
    if sampler.groups % world or sampler.unlabelled % world:
        what = f"{sampler.groups} images" if sampler.group == 1 else f"{sampler.groups} identities"
        rest = f" and {sampler.unlabelled} unlabelled images" if sampler.unlabelled else ""
        raise UserError(f"sampler: a batch of {what}{rest} cannot be shared out equally among {world} processes")
    cut = sampler.group * sampler.groups
    own = [part.reshape(world, -1)[rank] for part in np.split(np.arange(sampler.batch_size), [cut])]
    return batch[np.concatenate(own)]


def _whole(least: int, **options: int) -> None:
    for name, value in options.items():
        if value < least:
            raise UserError(f"sampler: {name} is {value}; a whole number of at least {least} expected")
