from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reidapp.errors import UserError
from training.data.datasets import Record
from training.methods.supervised import Supervised


class Features(nn.Module):
    """Every image is its own embedding."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"features": images.flatten(1).float()}


def build(losses: dict[str, Any], pids: list[int], sampler: dict[str, int], **options: Any) -> Supervised:
    records = [Record(Path(f"{number}.jpg"), pid) for number, pid in enumerate(pids)]
    return Supervised(records, losses, sampler, {"features": 3}, "recipe r", **options)


def numbers_of(method: Supervised, images: Tensor) -> dict[str, Tensor]:
    return method(Features(), images, torch.arange(len(images)), torch.Generator())[1]


def test_gaps_between_identities_are_closed() -> None:
    method = build({"identity": {}}, [7, 70, 7, -1, 700], {"batch": 2})
    assert method.labels.tolist() == [0, 1, 0, -1, 2]
    assert method.get_parameter("losses.identity.classifier.weight").shape == (3, 3)


def test_accuracy_is_of_the_people_with_an_identity() -> None:
    method = build({"oim": {"queue": 4}}, [0, 1, -1, -1], {"batch": 2, "unlabelled": 2})
    images = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]])[:, None, None]
    numbers_of(method, images)
    method.update()
    assert numbers_of(method, images)["accuracy"] == 1


def test_losses_see_nobody_without_an_identity_unless_they_ask() -> None:
    images, labelled = torch.rand(4, 1, 1, 3), {"batch": 2, "unlabelled": 2}
    together = build({"triplet": {}}, [0, 1, -1, -1], labelled)
    alone = build({"triplet": {}}, [0, 1], {"batch": 2})
    torch.testing.assert_close(numbers_of(together, images), numbers_of(alone, images[:2]))


def test_what_cannot_be_learnt_from() -> None:
    with pytest.raises(UserError, match="one identity only"):
        build({"identity": {}}, [4, 4, -1], {"batch": 2})
    with pytest.raises(UserError, match="no training image has an identity"):
        build({"identity": {}}, [-1, -1], {"batch": 2})
    with pytest.raises(UserError, match=r"mixup and cutmix need people with an identity; .*sampler.unlabelled"):
        build({"identity": {}}, [0, 1, -1], {"batch": 2, "unlabelled": 1}, mixup=0.2)
