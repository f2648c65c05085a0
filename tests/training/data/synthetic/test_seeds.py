import numpy as np
import pytest

from training.data.synthetic.people import identity_appearance
from training.data.synthetic.seeds import NAMESPACES, camera_namespace, entropy, identity_namespace, stream
from training.data.synthetic.studio import footage_appearances


def test_namespaces_never_share_a_stream() -> None:
    words = {entropy(seed, name, index) for seed in range(3) for name in NAMESPACES for index in range(20)}
    assert len(words) == 3 * len(NAMESPACES) * 20
    firsts = {float(stream(0, name, index).random()) for name in NAMESPACES for index in range(20)}
    assert len(firsts) == len(NAMESPACES) * 20


@pytest.mark.slow
def test_people_of_crops_and_of_footage_are_disjoint() -> None:
    train = {identity_appearance(0, "train", index).seed for index in range(100)}
    test = {identity_appearance(0, "test", index).seed for index in range(100)}
    footage = {who.seed for who in footage_appearances(0, 24)}
    assert len(train | test | footage) == 100 + 100 + 24


def test_splits_have_namespaces_of_their_own() -> None:
    assert identity_namespace("train") != identity_namespace("test")
    assert {identity_namespace("train"), camera_namespace("test")} <= set(NAMESPACES)


def test_a_stream_repeats() -> None:
    assert np.array_equal(stream(4, "train-identity", 7).random(5), stream(4, "train-identity", 7).random(5))


def test_an_unknown_namespace_is_refused() -> None:
    with pytest.raises(ValueError, match="train-identity"):
        entropy(0, "trian-identity", 1)
