"""Market-1501 (Zheng et al. 2015), and every set in its layout."""

from pathlib import Path

from reidapp.metrics import JUNK
from training.data.datasets import Dataset
from training.data.datasets._market_names import scan


class Market1501(Dataset):
    """``bounding_box_train``, ``query`` and ``bounding_box_test`` with names like ``0002_c1s1_000451_03.jpg``.

    Each of the three folders may be missing. Identity −1 (no person) is dropped, identity 0 stays as a distractor.
    """

    protocol = "Market-1501 layout"
    folders = ("bounding_box_train", "query", "bounding_box_test")

    def __init__(self, folder: Path) -> None:
        skipped: list[tuple[Path, str]] = []
        train, query, gallery = (scan(folder / name, skipped) for name in self.folders)
        super().__init__(train, query, [r for r in gallery if r.pid != JUNK], skipped)
