"""Backbones: one file per family.

A backbone is a module with ``channels``. It maps images float [N, 3, H, W] to a feature map [N, channels, h, w], or to
two of them, when ``channels`` is a pair. A constructor that names ``image_size`` gets the network's (height, width).

Two things are asked of it if it has them, when it starts from weights of elsewhere (`models.pretrained`): ``imagenet``,
torchvision's weights for it, and ``adapt``, which renames or reshapes a state dict of another making.
"""
