from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from reidapp.errors import UserError
from training.data.augmentation import Augmentation, _at_once, _one_by_one


def images(n: int = 6, height: int = 32, width: int = 16) -> Tensor:
    return torch.randint(0, 256, (n, height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def augment(seed: int = 0, n: int = 6, **options: Any) -> Tensor:
    return Augmentation(**({"flip": 0.0} | options))(images(n), torch.Generator().manual_seed(seed))


def test_off_means_unchanged() -> None:
    assert torch.equal(augment(), images())


def test_flip() -> None:
    assert torch.equal(augment(flip=1.0), images().flip(2))
    mirrored = [
        torch.equal(image, other.flip(1)) for image, other in zip(augment(flip=0.5, n=200), images(200), strict=True)
    ]
    assert 70 < sum(mirrored) < 130


@pytest.mark.parametrize("change", [{"pad": 0.2}, {"shift": 0.2}, {"zoom": 0.2}, {"colour": 0.3}, {"erase": 1.0}])
def test_each_change_changes_images_in_its_own_way(change: dict[str, float]) -> None:
    difference = (augment(**change).float() - images().float()).abs().mean((1, 2, 3))
    assert (difference > 0.5).all()
    assert len(set(difference.tolist())) == len(difference)


@pytest.mark.parametrize("border", ["pad", "shift"])
def test_crops_move_by_whole_pixels_in_all_directions(border: str) -> None:
    """Found again by trying every offset; all of them occur."""
    m, found = 2, set()  # 0.05 of 32 pixels
    mode = {"pad": "constant", "shift": "edge"}[border]
    padded = [np.pad(image, ((m, m), (m, m), (0, 0)), mode=mode) for image in images(200).numpy()]  # type: ignore[call-overload]
    for image, source in zip(augment(n=200, **{border: 0.05}).numpy(), padded, strict=True):
        at = [
            (y, x)
            for y in range(2 * m + 1)
            for x in range(2 * m + 1)
            if (source[y : y + 32, x : x + 16] == image).all()
        ]
        assert len(at) == 1
        found.add(at[0])
    assert len(found) == (2 * m + 1) ** 2


@pytest.mark.parametrize("fill", ["noise", "mean"])
def test_erased_areas_are_rectangles_of_the_size_asked_for(fill: str) -> None:
    changed = (augment(erase=1.0, n=300, fill=fill) != images(300)).any(3)
    share = changed.float().mean((1, 2))
    assert 0.1 < share.mean() < 0.3
    assert share.max() <= 0.45
    for area in changed:
        rows, columns = torch.nonzero(area, as_tuple=True)
        box = (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
        assert area.sum() > 0.97 * box  # noise may by chance be what was there
    assert (changed.flatten(1).any(1)).all()
    if fill == "mean":
        erased = augment(erase=1.0, n=300, fill=fill)[changed]
        assert (erased == torch.tensor([124, 116, 104])).all()


def test_some_are_erased() -> None:
    changed = (augment(erase=0.5, n=300) != images(300)).flatten(1).any(1)
    assert 110 < changed.sum() < 190


@pytest.mark.parametrize(
    "options",
    [
        {"flip": 0.5, "pad": 0.1, "erase": 0.5},
        {"flip": 0.5, "shift": 0.1, "fill": "mean", "erase": 0.5},
        {"flip": 0.5, "shift": 0.1, "zoom": 0.2},
        {"flip": 0.5, "pad": 0.1, "zoom": 0.2},
        {"colour": 0.5},
        {"flip": 0.5, "shift": 0.05, "zoom": 0.1, "colour": 0.2, "erase": 0.4},
    ],
)
def test_both_ways_of_applying_changes_agree(options: dict[str, Any]) -> None:
    """Smooth images, since OpenCV takes positions to 1/32 of a pixel."""
    smooth = torch.from_numpy(np.stack([cv2.GaussianBlur(image, (0, 0), 2) for image in images(20, 64, 40).numpy()]))
    changes = Augmentation(**options)._draw(20, 64, 40, torch.Generator().manual_seed(3))
    one_by_one, at_once = _one_by_one(smooth, changes), _at_once(smooth, changes)
    assert one_by_one.dtype == torch.uint8
    assert at_once.dtype == torch.float32
    difference = (one_by_one.float() - at_once).abs()
    assert difference.mean() < 0.4  # rounding
    assert difference.max() < 8
    assert (one_by_one.float() - smooth.float()).abs().mean() > 3


def test_zoom_is_about_the_middle() -> None:
    spot = np.zeros((50, 65, 65, 3), np.uint8)
    spot[:, 28:37, 28:37] = 255
    zoomed = Augmentation(flip=0.0, zoom=0.4)(torch.from_numpy(spot), torch.Generator().manual_seed(0)).float()
    area = zoomed.mean(3).sum((1, 2)) / 255
    assert area.min() < 60
    assert area.max() > 150  # 81 / 1.4² to 81 / 0.6²
    at = torch.arange(65.0)
    for axis in (1, 2):
        middle = (zoomed.mean(3).sum(axis) * at).sum(1) / zoomed.mean(3).sum((1, 2))
        torch.testing.assert_close(middle, torch.full((50,), 32.0), atol=0.15, rtol=0)


def test_result_repeats_with_the_seed_and_leaves_its_input_alone() -> None:
    everything = {"flip": 0.5, "shift": 0.1, "zoom": 0.2, "colour": 0.5, "erase": 0.5}
    batch = images(40)
    result = Augmentation(**everything)(batch, torch.Generator().manual_seed(1))
    assert result.shape == (40, 32, 16, 3)
    assert torch.equal(batch, images(40))
    assert torch.equal(result, augment(seed=1, n=40, **everything))
    assert not torch.equal(result, augment(seed=2, n=40, **everything))


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    options = {"flip": 1.0, "pad": 0.05, "zoom": 0.0, "erase": 0.5}
    batch = images(40).cuda()
    results = [Augmentation(**options)(batch, torch.Generator("cuda").manual_seed(s)) for s in (1, 1, 2)]
    assert results[0].is_cuda
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert 0 <= results[0].min() <= results[0].max() <= 255
    unmoved = Augmentation(flip=1.0)(batch, torch.Generator("cuda").manual_seed(0))
    torch.testing.assert_close(unmoved, batch.flip(2).float(), atol=0.02, rtol=0)


def test_nonsense_is_refused() -> None:
    with pytest.raises(UserError, match='fill is "white"'):
        Augmentation(fill="white")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="pad and shift"):
        Augmentation(pad=0.1, shift=0.1)
