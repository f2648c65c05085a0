import pytest
import torch
import torch.nn.functional as F

from models.heads.stripes import Stripes
from reidapp.errors import UserError


def test_each_vector_sees_its_part_of_the_picture_only() -> None:
    torch.manual_seed(0)
    head = Stripes(channels=6, dim=5, stripes=3).eval()
    feature_map = torch.randn(2, 6, 6, 4)
    before = head(feature_map)
    feature_map[:, :, 2:4] += 1  # the second of three stripes
    after = head(feature_map)
    changed = {name for name in before if not torch.allclose(before[name], after[name])}
    assert changed == {"whole", "stripe_2", "features"}
    means = feature_map[:, :, 2:4].mean((2, 3))
    torch.testing.assert_close(after["stripe_2"], head.embed[2](means))
    torch.testing.assert_close(after["whole"], head.embed[0](feature_map.mean((2, 3))))


def test_features_are_the_parts_of_length_one() -> None:
    torch.manual_seed(0)
    head = Stripes(channels=6, dim=5, stripes=2)
    outputs = head(torch.randn(8, 6, 4, 4))
    assert {name: vector.shape[1] for name, vector in outputs.items()} == head.dims
    assert list(head.dims) == ["whole", "stripe_1", "stripe_2", "features"]
    parts = [F.normalize(outputs[name], dim=1) for name in ("whole", "stripe_1", "stripe_2")]
    torch.testing.assert_close(outputs["features"], torch.cat(parts, 1))


def test_dropout_is_for_training_only() -> None:
    torch.manual_seed(0)
    head, feature_map = Stripes(channels=32, dim=5, dropout=0.5), torch.randn(4, 32, 8, 4)
    assert not torch.equal(head(feature_map)["whole"], head(feature_map)["whole"])
    head.eval()
    torch.testing.assert_close(head(feature_map)["whole"], head(feature_map)["whole"], rtol=0, atol=0)


def test_one_stripe_is_refused() -> None:
    with pytest.raises(UserError, match=r"^head\.stripes: stripes is 1; 2 or more expected$"):
        Stripes(channels=4, stripes=1)
