"""Losses: one file each.

A loss is a module called with ``(outputs, labels)``: the network's output that the recipe's ``on`` names, float [B, D],
and labels int64 [B] in [0, num_classes). A constructor that names ``dim`` or ``num_classes`` gets them. Class weights
belong to the loss that learns them, for they belong to the training set; the network is exported without them.

What else a loss can do is said by the protocols below, and by three class attributes:

    takes_soft_labels = True   labels may also be float [B, C], rows that sum to one (Mixup, CutMix)
    takes_unlabelled = True    labels may hold −1, a person without an identity; other losses never see such rows
    needs_pairs = True        the images of a batch are compared: there must be two of an identity, and two identities
"""

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Classifies(Protocol):
    """A loss that scores classes; the training accuracy is computed from it."""

    def scores(self, outputs: Tensor) -> Tensor:
        """[B, D] → [B, C], without a margin."""


@runtime_checkable
class Remembers(Protocol):
    """A loss with a memory (a bank, centres, a step count) that is not learnt by gradient."""

    def update(self, outputs: Tensor, labels: Tensor) -> None:
        """Called once per batch, after ``backward()``, with what ``forward`` saw (detached).

        So the gradient is that of the memory before the update, a loss may be evaluated without changing it, and under
        several processes every one makes the same update.
        """


@runtime_checkable
class Diagnoses(Protocol):
    """A loss that knows a way in which training fails; it is asked once an epoch."""

    def diagnose(self, outputs: Tensor, labels: Tensor) -> str | None:
        """What is wrong, in words, or nothing.

        One with ``needs_pairs`` tells of features that are all equal: `training.losses._batch.collapse` has the words.
        """
