"""The whole and its horizontal stripes (PCB, Sun et al. 2018, arXiv 1711.09349; MGN, Wang et al. 2018)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.pooling import stripe_means
from reidapp.errors import UserError
from reidapp.options import BelowOne, Count


class Stripes(nn.Module):
    """Embeddings of all of the picture and of each of its stripes, every one for a loss of its own.

    e_0 = BN(W_0 mean(map) + b_0),  e_j = BN(W_j mean(stripe j) + b_j),  features = [e_0/‖e_0‖, …, e_m/‖e_m‖]

    PCB has the stripes only; the whole beside them is MGN's. A loss on each stripe makes the network look at all of a
    person instead of what tells the training identities apart most easily. Parts of length one count alike in the
    embedding.

    Args:
        channels: of the feature map.
        dim: of each embedding; PCB has 256.
        stripes: m; PCB has 6 for a map of 24 rows, MGN 2 and 3.
        dropout: of the means, before the linear layers.

    Shapes: feature map [N, channels, h, w] → ``whole``, ``stripe_1`` … ``stripe_m`` [N, dim], and ``features``
    [N, (1 + m) dim].

    Raises:
        UserError: fewer than two stripes.
    """

    def __init__(self, channels: int, dim: Count = 256, stripes: int = 4, dropout: BelowOne = 0.0) -> None:
        super().__init__()
        if stripes < 2:
            raise UserError(f"head.stripes: stripes is {stripes}; 2 or more expected")
        self.stripes = stripes
        self.names = ("whole", *(f"stripe_{number}" for number in range(1, stripes + 1)))
        self.dropout = nn.Dropout(dropout)
        self.embed = nn.ModuleList(
            nn.Sequential(nn.Linear(channels, dim), nn.BatchNorm1d(dim)) for _ in range(1 + stripes)
        )
        self.dim = dim * (1 + stripes)
        self.dims = dict.fromkeys(self.names, dim) | {"features": self.dim}

    def forward(self, feature_map: Tensor) -> dict[str, Tensor]:
        whole, parts = feature_map.mean((2, 3)), stripe_means(feature_map, self.stripes)
        means = [whole, *parts.chunk(self.stripes, 1)]
        vectors = [embed(self.dropout(mean)) for embed, mean in zip(self.embed, means, strict=True)]
        features = torch.cat([F.normalize(vector.float(), dim=1) for vector in vectors], 1)
        return dict(zip(self.names, vectors, strict=True)) | {"features": features}
