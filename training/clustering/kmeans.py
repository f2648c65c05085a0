"""k-means (Lloyd 1982), from k-means++ (Arthur and Vassilvitskii 2007), by Faiss."""

import faiss
import numpy as np
from torch import Tensor

from reidapp.errors import UserError
from reidapp.options import Count
from training.clustering import numbered
from training.clustering._input import checked


class KMeans:
    """Clusters about C centres: Σ_i min_c ‖x_i − m_c‖² falls until nothing moves. Nobody is an outlier.

    C has to be known, roughly: 500, 700 or 900 are habits on Market-1501, which has 751 identities. Images that belong
    nowhere spoil the cluster that they are nearest to. On the GPU where Faiss has one.

    The first centres are drawn from the images as they lie along a random direction, not as the files lie: the same
    seed draws the same images in any order.

    Args:
        clusters: C. Fewer are given where several images are equal.
        iterations: at most so many; each costs N · C · D.
        seed: of the draw.

    Raises:
        UserError: fewer images than clusters.
    """

    def __init__(self, clusters: Count, iterations: Count = 50, seed: int = 0) -> None:
        self.clusters, self.iterations, self.seed = clusters, iterations, seed

    def __call__(self, features: Tensor | np.ndarray) -> np.ndarray:
        x = checked(features)
        if len(x) < self.clusters:
            raise UserError(f"clustering kmeans: {len(x)} images for {self.clusters} clusters; ask for fewer clusters")
        along = np.argsort(x @ np.random.default_rng(self.seed).standard_normal(x.shape[1]), kind="stable")
        centres = faiss.Kmeans(
            x.shape[1],
            self.clusters,
            niter=self.iterations,
            seed=self.seed,
            gpu=faiss.get_num_gpus() > 0,
            init_method=faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS,
            min_points_per_centroid=1,  # without a warning
            max_points_per_centroid=len(x),  # all of them, not a sample
        )
        centres.train(x[along])
        return numbered(centres.assign(x)[1], x)
