"""Labelled crops on which an export is measured (`models.export.Examples`)."""

from pathlib import Path

import numpy as np

from reidapp.errors import UserError
from reidapp.imaging import read_image
from reidapp.metrics import RetrievalScores
from training.data.datasets import load_dataset
from training.evaluation import evaluate

_CROPS = 256


class LabelledCrops:
    """A data set: scores on its query and gallery parts, crops from its training part, or its gallery without one.

    Args:
        data: ``KIND:DIR``.
        quiet: no progress bar.
    """

    def __init__(self, data: str, quiet: bool = False) -> None:
        self.data = data
        self.quiet = quiet
        self._dataset = load_dataset(data)

    def score(self, model: Path) -> RetrievalScores:
        return evaluate(model, self.data, quiet=self.quiet)

    def crops(self) -> list[np.ndarray]:
        """256 crops, spread evenly: always the same, so that the same export has the same identity.

        Those that cannot be read are left out, as they are from scores.

        Raises:
            UserError: none can be read.
        """
        records = self._dataset.train or self._dataset.gallery
        found, faults = [], []
        for record in records[:: -(-len(records) // _CROPS)]:
            try:
                found.append(read_image(record.path))
            except UserError as error:
                faults.append(error)
        if not found:
            raise UserError(f"data {self.data}: none of {len(faults)} images can be read (the first: {faults[0]})")
        return found
