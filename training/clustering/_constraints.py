"""What is known of tracklets, imposed on clusters: each is one person, several may be one, and two may be two."""

from collections.abc import Iterable, Sequence

import numpy as np

from training.clustering import numbered
from training.data.datasets import NO_TRACKLET


def constrained(
    labels: np.ndarray,
    features: np.ndarray,
    tracklets: np.ndarray,
    together: Sequence[Sequence[int]],
    apart: Sequence[tuple[int, int]],
) -> np.ndarray:
    """Clusters that split no tracklet and no group, and hold no two tracklets that are known to be two people.

    All of it holds for whatever labels come in, and labels that keep it already stay as they are. A group is from here
    on one tracklet.

    1. A tracklet's crops go to the cluster that most of those inside a cluster are in; if none is, it stays outside,
       but a group becomes a cluster of its own. Only where there is no cluster at all, none is made.
    2. A cluster with a pair that is apart is dealt out anew. Of the tracklets with such pairs in it, those with most
       first, each joins the part whose mean is nearest among those that hold none of its pairs, and begins a part of
       its own if there is none. The other tracklets then join the nearest part. A part of one crop is an outlier.

    Args:
        labels: int ``[N]``, −1 for outliers.
        features: float ``[N, D]``, rows of length one.
        tracklets: int ``[N]``; crops of `NO_TRACKLET` are bound to none.
        together: groups of tracklets that are of one person; no tracklet is in two.
        apart: pairs of tracklets that are of two people.

    Returns:
        int64 ``[N]``, numbered by size (`numbered`).
    """
    bound = np.where(tracklets == NO_TRACKLET, -1 - np.arange(len(tracklets)), tracklets)
    ids, of_crop = np.unique(bound, return_inverse=True)
    place = {int(id_): at for at, id_ in enumerate(ids)}
    groups = _joined(place, together)
    of_crop = np.array([place[int(id_)] for id_ in ids])[of_crop]
    clusters = _elected(labels, of_crop, len(ids))
    number = clusters.max() + 1
    if number:
        outside = [group for group in groups if clusters[group] < 0]
        clusters[outside] = number + np.arange(len(outside))
        number += len(outside)
    means = np.zeros((len(ids), features.shape[1]))
    np.add.at(means, of_crop, features)
    foes: dict[int, set[int]] = {}
    for one, other in ((place[a], place[b]) for a, b in apart if a in place and b in place):
        if clusters[one] == clusters[other] >= 0:
            foes.setdefault(one, set()).add(other)
            foes.setdefault(other, set()).add(one)
    for cluster in np.unique(clusters[sorted(foes)]):
        for part in _parts(np.flatnonzero(clusters == cluster), foes, means):
            clusters[part] = number
            number += 1
    found = clusters[of_crop]
    alone = np.bincount(found[found >= 0], minlength=max(number, 1)) < 2
    return numbered(np.where((found >= 0) & alone[found], -1, found), features)


def _joined(place: dict[int, int], together: Sequence[Sequence[int]]) -> list[int]:
    """Give all tracklets of a group one place; those of the groups that several tracklets with crops are in."""
    places = []
    for group in together:
        if there := [place[id_] for id_ in group if id_ in place]:
            place |= dict.fromkeys(group, there[0])
            places += [there[0]] * (len(there) > 1)
    return places


def _elected(labels: np.ndarray, of_crop: np.ndarray, count: int) -> np.ndarray:
    """The cluster of every tracklet, int ``[count]``; of two with as many crops, the lower number; −1: none."""
    inside = labels >= 0
    pairs, votes = np.unique(np.stack([of_crop[inside], labels[inside]]), axis=1, return_counts=True)
    order = np.lexsort((-pairs[1], votes))  # the last one written stays
    clusters = np.full(count, -1)
    clusters[pairs[0, order]] = pairs[1, order]
    return clusters


def _parts(members: np.ndarray, foes: dict[int, set[int]], means: np.ndarray) -> list[list[int]]:
    """Tracklets of one cluster, dealt out so that no foes are together."""
    parts: list[list[int]] = []
    sums: list[np.ndarray] = []

    def nearest(one: int, among: Iterable[int]) -> int:
        return max(among, key=lambda at: float(means[one] @ sums[at]) / float(np.linalg.norm(sums[at]) + 1e-12))

    for one in sorted((m for m in map(int, members) if m in foes), key=lambda m: -len(foes[m])):
        if free := [at for at, part in enumerate(parts) if foes[one].isdisjoint(part)]:
            at = nearest(one, free)
            parts[at].append(one)
            sums[at] = sums[at] + means[one]
        else:
            parts.append([one])
            sums.append(means[one])
    others = [(m, nearest(m, range(len(parts)))) for m in map(int, members) if m not in foes]
    for one, at in others:
        parts[at].append(one)
    return parts
