"""A fixed case of the losses that classify: four images, the weights of three classes, and whose the images are."""

import torch

X = [[0.5, -1.2, 0.3], [-0.7, 0.4, 1.1], [1.3, 0.2, -0.6], [-0.9, -0.8, -0.2]]
W = [[0.8, -0.9, 0.1], [0.5, -0.6, 0.7], [1.1, -0.2, -0.3]]
LABELS = torch.tensor([0, 1, 2, 0])
