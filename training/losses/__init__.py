"""Losses: one file per family.

A loss is a module called with ``(outputs, labels)``: the network's output that the recipe's ``on`` names, float [B, D],
and labels int64 [B] in [0, num_classes). A constructor that names ``dim`` or ``num_classes`` gets them.
"""

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Classifies(Protocol):
    """A loss that scores classes; the training accuracy is computed from it."""

    def scores(self, outputs: Tensor) -> Tensor:
        """[B, D] → [B, C]."""


@runtime_checkable
class Diagnoses(Protocol):
    """A loss that knows a way in which training fails; it is asked once an epoch."""

    def diagnose(self, outputs: Tensor, labels: Tensor) -> str | None:
        """What is wrong, in words, or nothing."""
