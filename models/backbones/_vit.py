"""What vision transformers of all sizes share."""

import math
import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.vision_transformer import Encoder
from torchvision.ops import StochasticDepth

from reidapp.errors import UserError

PATCH = 16
LAYERS = 12


class ReidViT(nn.Module):
    """Vision transformer (Dosovitskiy et al. 2021, arXiv 2010.11929), with torchvision's names of parameters.

    Patches of 16×16 pixels and a class token pass twelve layers of attention; the class token is the feature map, one
    position large. The position embeddings are learnt for the grid of patches of the network's input.

    Args:
        image_size: height and width of the network's input.
        dim: channels.
        heads: of the attention.
        stride: between patches; 16 cuts the image, less lets them overlap (TransReID, He et al. 2021: 12).
        drop_path: share of the images for which training leaves out the last layer's residuals (stochastic depth,
            Huang et al. 2016); it rises linearly from none in the first layer. TransReID has 0.1.

    Shapes: images float [N, 3, H, W] → features [N, channels, 1, 1].

    Raises:
        UserError: the image is smaller than a patch, or the stride is not 1 to 16.
    """

    def __init__(self, image_size: tuple[int, int], dim: int, heads: int, stride: int, drop_path: float) -> None:
        super().__init__()
        if not 1 <= stride <= PATCH or min(image_size) < PATCH:
            size = "×".join(map(str, image_size))
            raise UserError(f"backbone: stride {stride} on {size} pixels: 1 to {PATCH}, on {PATCH}×{PATCH} or more")
        self.channels = dim
        height, width = image_size
        self.grid = ((height - PATCH) // stride + 1, (width - PATCH) // stride + 1)
        self.conv_proj = nn.Conv2d(3, dim, PATCH, stride)
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.encoder = Encoder(math.prod(self.grid) + 1, LAYERS, heads, dim, 4 * dim, dropout=0, attention_dropout=0)
        nn.init.trunc_normal_(self.conv_proj.weight, std=math.sqrt(1 / self.conv_proj.weight[0].numel()))
        if self.conv_proj.bias is not None:
            nn.init.zeros_(self.conv_proj.bias)
        for index, layer in enumerate(self.encoder.layers):
            # The two places where torchvision drops single values just before they are added.
            layer.dropout = layer.mlp[4] = StochasticDepth(drop_path * index / (LAYERS - 1), mode="row")

    def forward(self, images: Tensor) -> Tensor:
        patches = self.conv_proj(images).flatten(2).transpose(1, 2)
        tokens = torch.cat((self.class_token.expand(patches.shape[0], -1, -1), patches), dim=1)
        return self.encoder(tokens)[:, 0, :, None, None]

    def adapt(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights in timm's naming (DeiT, TransReID), or of another grid, for this network."""
        adapted = {_from_timm(name): tensor for name, tensor in weights.items()}
        positions = adapted.get("encoder.pos_embedding")
        if positions is not None and positions.ndim == 3:
            adapted["encoder.pos_embedding"] = _interpolate(positions, self.grid)
        return adapted


_FROM_TIMM = (
    (r"^cls_token$", "class_token"),
    (r"^pos_embed$", "encoder.pos_embedding"),
    (r"^patch_embed\.proj\.", "conv_proj."),
    (r"^norm\.", "encoder.ln."),
    (r"^blocks\.(\d+)\.", r"encoder.layers.encoder_layer_\1."),
    (r"\.norm([12])\.", r".ln_\1."),
    (r"\.attn\.qkv\.", ".self_attention.in_proj_"),
    (r"\.attn\.proj\.", ".self_attention.out_proj."),
    (r"\.mlp\.(fc|linear_)1\.", ".mlp.0."),  # linear_1 and linear_2: torchvision's own file of ViT-B/16
    (r"\.mlp\.(fc|linear_)2\.", ".mlp.3."),
)


def _from_timm(name: str) -> str:
    for pattern, own in _FROM_TIMM:
        name = re.sub(pattern, own, name)
    return name


def _interpolate(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Position embeddings [1, 1 + G, C] for another grid: the class token's stays, the others follow bicubically.

    G positions are a square, as after ImageNet, or else have about the proportions of ``grid``; what is neither is
    returned as it is.
    """
    token, patches = positions[:, :1], positions[:, 1:]
    count, (height, width) = patches.shape[1], grid
    if count == height * width:
        return positions
    columns = math.isqrt(count)
    if columns**2 != count:
        columns = max(1, round(math.sqrt(count * width / height)))
    if count % columns or not count:
        return positions
    image = patches.transpose(1, 2).unflatten(2, (count // columns, columns))
    resized = F.interpolate(image.float(), grid, mode="bicubic", align_corners=False)
    return torch.cat((token.float(), resized.flatten(2).transpose(1, 2)), dim=1)
