"""Where torch computes."""

import torch

from reidapp.errors import UserError


def pick_device(name: str) -> torch.device:
    """The device for ``auto`` (CUDA if it is there), ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        UserError: an unknown name, or CUDA asked for and not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f'device "{name}": auto, cpu or cuda expected') from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("device cuda: torch finds no CUDA device here; use auto or cpu")
    return device
