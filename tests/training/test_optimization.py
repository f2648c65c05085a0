import torch
from torch import nn

from models.network import Network
from training.optimization import Optimization, build_optimizer
from training.recipe import Recipe, load_recipe

SGD = ["input={height: 32, width: 16}", "schedule={lr: 0.1, backbone_lr: 0.5}", "optimizer={sgd: {weight_decay: 0.2}}"]


def recipe(*changes: str) -> Recipe:
    return load_recipe("small", [*SGD, *changes])


def test_only_matrices_decay_and_the_backbone_has_its_share_of_the_rate() -> None:
    """Without a gradient of its own, a weight that decays shrinks by rate × decay."""
    network, method = Network(recipe().network()), nn.Linear(4, 3)
    before = {name: p.detach().clone() for name, p in [*network.named_parameters(), *method.named_parameters()]}
    optimization = Optimization(recipe(), network, method, torch.device("cpu"))
    sum(p.sum() * 0 for p in [*network.parameters(), *method.parameters()] if p.requires_grad).backward()  # type: ignore[union-attr]
    optimization.step(0.1)
    for name, parameter in [*network.named_parameters(), *method.named_parameters()]:
        share = 0.5 if name.startswith("backbone") else 1.0
        decay = 0.2 if parameter.ndim > 1 and parameter.requires_grad else 0.0
        torch.testing.assert_close(parameter.detach(), before[name] * (1 - 0.1 * share * decay), msg=name)


def test_every_trained_weight_is_in_one_group() -> None:
    network, method = Network(recipe().network()), nn.Linear(4, 3)
    groups = build_optimizer(recipe(), network, method).param_groups
    given = [id(p) for group in groups for p in group["params"]]
    trained = [id(p) for p in [*network.parameters(), *method.parameters()] if p.requires_grad]
    assert sorted(given) == sorted(trained)
