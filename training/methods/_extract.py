"""How methods look at all crops."""

from typing import Protocol

import numpy as np
from torch import Tensor


class Extract(Protocol):
    def __call__(self, output: str, cameras: np.ndarray | None = None) -> Tensor:
        """An output of the network for all crops, [N, D]; given their cameras, with batch-norm statistics of each."""
