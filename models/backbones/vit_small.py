"""ViT-S/16 in the size of DeiT-S (Touvron et al. 2021, arXiv 2012.12877)."""

from models.backbones._vit import ReidViT
from reidapp.options import BelowOne


class ViTSmall(ReidViT):
    """384 channels and 6 heads. Options and shapes are those of `ReidViT`."""

    def __init__(self, image_size: tuple[int, int], stride: int = 16, drop_path: BelowOne = 0.1) -> None:
        super().__init__(image_size, dim=384, heads=6, stride=stride, drop_path=drop_path)
