"""From gradients to weights."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from models.network import Network
from reidapp import registry
from reidapp.errors import UserError
from training.distributed import average_gradients
from training.recipe import Recipe

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


class Optimization:
    """One step: gradients averaged over the processes, unscaled, clipped, applied; then the moving average.

    Attributes:
        model: the network that the run is for: the trained one, or its moving average.
    """

    def __init__(self, recipe: Recipe, network: Network, method: nn.Module, device: torch.device) -> None:
        self.network, self.method, self.clip = network, method, recipe.clip
        self.optimizer = build_optimizer(recipe, network, method)
        self.scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "float16")
        self.average: AveragedModel | None = None
        if recipe.ema is not None:
            self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True)

    @property
    def model(self) -> nn.Module:
        return self.network if self.average is None else self.average.module

    def backward(self, loss: Tensor) -> None:
        self.scaler.scale(loss).backward()

    def step(self, rate: float) -> None:
        """Apply the gradients that have come together, at a learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        average_gradients(self.method.parameters())
        if self.clip is not None:
            self.scaler.unscale_(self.optimizer)
            trained = [p for group in self.optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(trained, self.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.network)

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}
        if self.average is not None:  # the run's weights are the average then: what is trained on lives here
            state |= {"trained": self.network.state_dict(), "averaged": self.average.n_averaged}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            self.network.load_state_dict(state["trained"])
            self.average.n_averaged.copy_(state["averaged"])


def build_optimizer(recipe: Recipe, network: Network, method: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimizer over network and method.

    Weight decay acts on matrices and kernels; biases and batch norm's scales are left alone. Torch's fused form,
    for an OSNet has hundreds of small tensors, and a call for each costs more than the arithmetic.

    Raises:
        UserError: an unknown optimizer, an unknown option, or a value that it does not take.
    """
    ((name, options),) = recipe.optimizer.items()
    if name not in OPTIMIZERS:
        hint = registry.suggestion(name, list(OPTIMIZERS))
        raise UserError(f'{recipe.where}: unknown optimizer "{name}"{hint}; known: {", ".join(OPTIMIZERS)}')
    if "lr" in options:
        raise UserError(f"{recipe.where}, optimizer.{name}: the rate belongs under schedule.lr")
    parts = [(network.backbone, recipe.schedule.backbone_lr), (nn.ModuleList([network.head, method]), 1.0)]
    groups = [
        {"params": [p for p in part.parameters() if p.requires_grad and (p.ndim > 1) == decayed], "share": share}
        | ({} if decayed else {"weight_decay": 0.0})
        for part, share in parts
        for decayed in (True, False)
    ]
    where = f"{recipe.where}, optimizer.{name}"
    try:
        built: torch.optim.Optimizer = registry.build(
            OPTIMIZERS[name], {"fused": True} | options, where, params=groups, lr=recipe.schedule.lr
        )
    except (TypeError, ValueError) as error:  # torch checks the values
        raise UserError(f"{where}: {error}") from error
    return built
