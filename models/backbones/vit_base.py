"""ViT-B/16 (Dosovitskiy et al. 2021, arXiv 2010.11929)."""

from torchvision.models import ViT_B_16_Weights

from models.backbones._vit import ReidViT
from reidapp.options import BelowOne


class ViTBase(ReidViT):
    """768 channels and 12 heads. Options and shapes are those of `ReidViT`."""

    imagenet = ViT_B_16_Weights.IMAGENET1K_V1

    def __init__(self, image_size: tuple[int, int], stride: int = 16, drop_path: BelowOne = 0.1) -> None:
        super().__init__(image_size, dim=768, heads=12, stride=stride, drop_path=drop_path)
