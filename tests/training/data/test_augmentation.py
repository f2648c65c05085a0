import pytest
import torch
from torch import Tensor

from training.data.augmentation import Augmentation

OFF = {"flip": 0.0, "shift": 0.0, "zoom": 0.0, "colour": 0.0, "erase": 0.0}


def images(n: int = 6) -> Tensor:
    return torch.randint(0, 256, (n, 32, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def augment(seed: int = 0, n: int = 6, **changes: float) -> Tensor:
    return Augmentation(**(OFF | changes))(images(n), torch.Generator().manual_seed(seed))


def test_off_means_unchanged() -> None:
    torch.testing.assert_close(augment(), images().float(), atol=0.02, rtol=0)


def test_flip() -> None:
    torch.testing.assert_close(augment(flip=1.0), images().float().flip(2), atol=0.02, rtol=0)


@pytest.mark.parametrize("change", [{"shift": 0.1}, {"zoom": 0.2}, {"colour": 0.3}, {"erase": 1.0}])
def test_each_change_changes_every_image_in_its_own_way(change: dict[str, float]) -> None:
    difference = (augment(**change) - images().float()).abs().mean((1, 2, 3))
    assert (difference > 0.5).all()
    assert len(set(difference.tolist())) == len(difference)


def test_result_is_pixels_and_repeats_with_the_seed() -> None:
    everything = {"flip": 0.5, "shift": 0.1, "zoom": 0.2, "colour": 0.5, "erase": 0.5}
    result = augment(seed=1, n=40, **everything)
    assert result.shape == (40, 32, 16, 3)
    assert result.dtype == torch.float32
    assert result.min() >= 0
    assert result.max() <= 255
    assert torch.equal(result, augment(seed=1, n=40, **everything))
    assert not torch.equal(result, augment(seed=2, n=40, **everything))


def test_erased_areas_are_rectangles_of_the_size_asked_for() -> None:
    changed = (augment(erase=1.0, n=200) - images(200).float()).abs().amax(3) > 0.02
    share = changed.float().mean((1, 2))
    assert 0.1 < share.mean() < 0.3
    assert share.max() <= 0.5
