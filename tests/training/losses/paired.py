"""A fixed case of the losses that compare: the embeddings of three people, two each."""

import torch

F = [[0.2, 0.1, -0.3], [0.5, -0.2, 0.1], [-0.4, 0.3, 0.2], [-0.1, 0.6, 0.0], [0.3, 0.4, -0.5], [0.0, -0.5, 0.4]]
LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
