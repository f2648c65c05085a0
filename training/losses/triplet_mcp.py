"""Improved triplet loss of the multi-channel parts network (MCP, Cheng et al., CVPR 2016)."""

from torch import Tensor, nn

from reidapp.options import NotNegative
from training.losses._batch import collapse, mean_over, squared_distances
from training.losses._triplet import triplets


class TripletMCPLoss(nn.Module):
    """Triplets whose partners must be near, and not only nearer than strangers.

    L = mean_{a,p,n} max(d_ap − d_an, τ1) + β max(d_ap, τ2),  d = squared Euclidean distance of features of length one,
    over all triplets of the batch

    The loss is negative where it is good: its least value is τ1 + β τ2. Identities may have any number of images.
    Arrays of B³ numbers are held, 64 MB each at B = 256.

    Args:
        tau1: τ1, how much nearer partners need to be, as a negative number; the paper uses −1.
        tau2: τ2, how near partners need to be; the paper uses 0.01.
        beta: β, the weight of the second demand; the paper uses 0.002.

    Shapes: features float [B, D] (any norm), labels int64 [B] → scalar.
    """

    needs_pairs = True

    def __init__(self, tau1: float = -1.0, tau2: NotNegative = 0.01, beta: NotNegative = 0.002) -> None:
        super().__init__()
        self.tau1, self.tau2, self.beta = tau1, tau2, beta

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        d = squared_distances(features, normalise=True)
        apart = (d[:, :, None] - d[:, None, :]).clamp(min=self.tau1)
        near = d.clamp(min=self.tau2)[:, :, None]
        return mean_over(apart + self.beta * near, triplets(labels))

    def diagnose(self, features: Tensor, labels: Tensor) -> str | None:
        return collapse("triplet", features, normalise=True)
