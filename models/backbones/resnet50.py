"""ResNet-50 (He et al. 2016, arXiv 1512.03385)."""

from torchvision.models import ResNet50_Weights
from torchvision.models.resnet import Bottleneck

from models.backbones._resnet import ReidResNet


class ResNet50(ReidResNet):
    """Sixteen bottlenecks; ``channels`` is 2048. Options and shapes are those of `ReidResNet`."""

    block, depths = Bottleneck, (3, 4, 6, 3)
    imagenet = ResNet50_Weights.IMAGENET1K_V1  # not V2: the published re-identification results began with these
