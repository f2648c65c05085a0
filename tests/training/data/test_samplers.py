import numpy as np
import pytest

from reidapp.errors import UserError
from training.data.samplers import IdentitySampler

UNEQUAL = np.repeat(np.arange(12), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 30, 40])


def epoch(labels: np.ndarray, p: int, k: int, seed: int = 0) -> np.ndarray:
    sampler = IdentitySampler(labels, p, k)
    batches = np.array(list(sampler.epoch(np.random.default_rng(seed))))
    assert len(batches) == sampler.batches
    return batches


def test_batches_are_p_times_k() -> None:
    for batch in epoch(UNEQUAL, p=4, k=4):
        groups = UNEQUAL[batch].reshape(4, 4)
        assert (groups == groups[:, :1]).all()


def test_an_epoch_shows_every_image() -> None:
    assert set(epoch(UNEQUAL, p=4, k=4).ravel()) == set(range(len(UNEQUAL)))


def test_identities_seldom_repeat_within_a_batch() -> None:
    labels = np.repeat(np.arange(100), 8)
    distinct = [len(set(labels[batch])) for batch in epoch(labels, p=16, k=4)]
    assert np.mean(distinct) > 15


def test_epochs_differ_and_repeat_with_the_seed() -> None:
    assert (epoch(UNEQUAL, 4, 4, seed=1) == epoch(UNEQUAL, 4, 4, seed=1)).all()
    assert (epoch(UNEQUAL, 4, 4, seed=1) != epoch(UNEQUAL, 4, 4, seed=2)).any()


def test_fewer_identities_than_p() -> None:
    batches = epoch(np.array([0, 0, 1]), p=8, k=4)
    assert batches.shape == (1, 32)
    assert set(batches.ravel()) == {0, 1, 2}


def test_file_order_carries_no_information() -> None:
    """Images of one identity are adjacent in sorted files; a shuffled list gives the same kind of batches."""
    shuffled = np.random.default_rng(0).permutation(UNEQUAL)
    for batch in epoch(shuffled, p=4, k=4):
        groups = shuffled[batch].reshape(4, 4)
        assert (groups == groups[:, :1]).all()


def test_nonsense_is_refused() -> None:
    with pytest.raises(UserError, match="0 identities"):
        IdentitySampler(UNEQUAL, 0, 4)
