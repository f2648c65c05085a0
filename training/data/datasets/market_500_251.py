"""Market-500/251: a split of Market-1501's training images, for whoever has only those."""

from pathlib import Path

from training.data.datasets import Dataset, Record, first_of_each
from training.data.datasets._market_names import scan


class Market500251(Dataset):
    """A flat folder of Market-1501's 12,936 training images, identities in ascending order.

    The first 500 (9,173 images) train; the last 251 (3,763 images) are the gallery, and the first image of each of
    their (identity, camera) pairs, 1,122, the queries. Scores are not comparable with the official test's.
    """

    protocol = "Market-500/251"
    train_identities = slice(0, 500)
    test_identities = slice(500, None)

    def __init__(self, folder: Path) -> None:
        skipped: list[tuple[Path, str]] = []
        records = scan(folder, skipped)
        train = _of(records, self.train_identities)
        gallery = _of(records, self.test_identities)
        super().__init__(train, first_of_each(gallery), gallery, skipped)


def _of(records: list[Record], which: slice) -> list[Record]:
    pids = set(sorted({r.pid for r in records})[which])
    return [r for r in records if r.pid in pids]
