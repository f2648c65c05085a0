import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Nets this small gain nothing from a second thread, and lose much when another process keeps it waiting."""
    torch.set_num_threads(1)
