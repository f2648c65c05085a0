import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reidapp.errors import UserError
from training.data.mixing import CutMix, Mixup


def batch(n: int = 4, height: int = 32, width: int = 16) -> tuple[Tensor, Tensor]:
    """Image i is grey 10 · i throughout, of class i: what a pixel came from can be read off it."""
    images = torch.arange(n, dtype=torch.uint8).mul(10).view(n, 1, 1, 1).expand(n, height, width, 3)
    return images, F.one_hot(torch.arange(n), n).float()


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_mixup_blends_images_as_it_blends_labels() -> None:
    images, targets = batch()
    shares = []
    for seed in range(50):
        mixed, soft = Mixup(alpha=1.0).mix(images, targets, rng(seed))
        grey = soft @ torch.arange(0, 40, 10).float()
        torch.testing.assert_close(mixed, grey.view(4, 1, 1, 1).expand_as(images), atol=1e-4, rtol=0)
        torch.testing.assert_close(soft.sum(1), torch.ones(4))
        shares += [float(soft[i, i]) for i in range(4) if soft[i, i] < 1]
    assert 0.4 < sum(shares) / len(shares) < 0.6


def test_small_alpha_leaves_images_nearly_alone() -> None:
    """Beta(0.05, 0.05) is near 0 or 1: each image is nearly itself, or nearly the other one."""
    images, targets = batch(64)
    purest = [Mixup(alpha=0.05).mix(images, targets, rng(seed))[1].amax(1).mean() for seed in range(40)]
    assert torch.stack(purest).mean() > 0.9


def test_cutmix_pastes_one_rectangle_and_counts_it() -> None:
    images, targets = batch()
    for seed in range(50):
        mixed, soft = CutMix().mix(images, targets, rng(seed))
        assert mixed.dtype == torch.uint8
        torch.testing.assert_close(soft.sum(1), torch.ones(4))
        for i in range(4):
            pasted = mixed[i, ..., 0] != images[i, ..., 0]
            assert float(soft[i, i]) == pytest.approx(1 - pasted.float().mean())
            if pasted.any():
                rows, columns = torch.nonzero(pasted, as_tuple=True)
                area = (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
                assert area == pasted.sum()
                other = int(mixed[i][pasted][0, 0]) // 10
                assert soft[i, other] > 0


def test_cutmix_rectangles_are_clipped_at_the_border() -> None:
    images, targets = batch(2, 64, 64)
    areas = [float((CutMix().mix(images, targets, rng(s))[0] != images).float().mean()) for s in range(300)]
    assert 0.2 < sum(areas) / 300 / 0.5 < 0.9  # half of the permutations are the identity; unclipped it is 1


@pytest.mark.parametrize("mixing", [Mixup(), CutMix()])
def test_mixing_repeats_with_the_seed(mixing: Mixup | CutMix) -> None:
    results = [mixing.mix(*batch(16), rng(seed)) for seed in (1, 1, 2)]
    assert torch.equal(results[0][0], results[1][0])
    assert not torch.equal(results[0][1], results[2][1])


@pytest.mark.gpu
@pytest.mark.parametrize("mixing", [Mixup(), CutMix()])
def test_mixing_on_a_gpu(mixing: Mixup | CutMix) -> None:
    images, targets = (x.cuda() for x in batch())
    mixed, soft = mixing.mix(images, targets, torch.Generator("cuda").manual_seed(0))
    assert mixed.is_cuda
    torch.testing.assert_close(
        mixed.float().mean((1, 2, 3)), soft @ torch.arange(0.0, 40, 10).cuda(), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("kind", [Mixup, CutMix])
def test_alpha_must_be_positive(kind: type) -> None:
    with pytest.raises(UserError, match="alpha is 0"):
        kind(alpha=0)
