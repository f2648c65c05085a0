"""Global and local embeddings (JLML, Li, Zhu, Gong 2017)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.backbones.jlml import BRANCHES, check_branches
from models.pooling import stripe_means
from reidapp.errors import UserError
from reidapp.options import Count


class JLML(nn.Module):
    """Two embeddings of one picture: of all of it, and of its horizontal stripes, each learnt by a loss of its own.

    global = W_G mean(map) + b_G,  local = W_L [mean(stripe 1), …, mean(stripe m)] + b_L,  features = [global, local]

    They are joined as they are, as in the paper, and so the branch with the longer vectors counts more. A stripe is
    1/m of the map's height; where m does not divide it, neighbouring stripes share a row.

    Args:
        channels: of the one map that both branches read, or of the global and the local map (`JLMLResNet39`).
        dim: of each branch; the paper has 512.
        stripes: m; the paper has 4. A local map made of stripes needs their number here.
        branches: ``global``, ``local`` or both; the same as the backbone's where that has branches.
        batch_norm: after each linear layer. The paper's figure shows none. With it the sparsity losses lose their grip:
            the scale of the weights no longer counts.

    Shapes: feature map [N, C, h, w], or two → ``global`` and ``local`` [N, dim], ``features`` [N, dim or 2 dim]; for
    the sparsity losses ``global_weight`` W_G [dim, C] and ``local_weight`` W_L [dim, m C], stripe by stripe.

    Raises:
        UserError: an unknown branch, or none; no stripe; one branch for the two maps of the backbone.
    """

    def __init__(
        self,
        channels: int | tuple[int, int],
        dim: Count = 512,
        stripes: int = 4,
        branches: Sequence[str] = BRANCHES,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        check_branches(branches, "head.jlml")
        if stripes < 1:
            raise UserError(f"head.jlml: stripes is {stripes}; 1 or more expected")
        if isinstance(channels, tuple) and len(branches) == 1:
            raise UserError(f"head.jlml: only {branches[0]} for a backbone with both; give the backbone these branches")
        both = channels if isinstance(channels, tuple) else (channels, channels)
        rows = {"global": 1, "local": stripes}
        self.stripes = {name: rows[name] for name in BRANCHES if name in branches}
        columns = {name: own * rows[name] for name, own in zip(BRANCHES, both, strict=True) if name in branches}
        # A list, not a dictionary: "global" as a module's name is no Python, and the ONNX exporter writes Python.
        self.embed = nn.ModuleList(
            nn.Sequential(nn.Linear(count, dim), nn.BatchNorm1d(dim) if batch_norm else nn.Identity())
            for count in columns.values()
        )
        self.dim = dim * len(branches)
        self.dims = dict.fromkeys(self.stripes, dim) | {"features": self.dim}
        self.weights = {f"{name}_weight": count for name, count in columns.items()}

    def forward(self, feature_map: Tensor | tuple[Tensor, ...]) -> dict[str, Tensor]:
        maps = feature_map if isinstance(feature_map, tuple) else [feature_map] * len(self.embed)
        outputs, weights = dict[str, Tensor](), dict[str, Tensor]()
        for (name, stripes), embed, own in zip(self.stripes.items(), self.embed, maps, strict=True):
            outputs[name] = embed(stripe_means(own, stripes))
            weights[f"{name}_weight"] = embed.get_parameter("0.weight")
        return outputs | {"features": torch.cat(list(outputs.values()), 1)} | weights
