"""ResNet-18 (He et al. 2016, arXiv 1512.03385)."""

from torchvision.models import ResNet18_Weights
from torchvision.models.resnet import BasicBlock

from models.backbones._resnet import ReidResNet


class ResNet18(ReidResNet):
    """Eight blocks of two 3×3 convolutions; ``channels`` is 512. Options and shapes are those of `ReidResNet`."""

    block, depths = BasicBlock, (2, 2, 2, 2)
    imagenet = ResNet18_Weights.IMAGENET1K_V1
