"""Whether a picture is good enough to search with: what is wrong with it, in words a user can act on.

Thresholds are of generated people (360 crops of `reidapp synth people`, 284 that indexing kept of generated footage):
their sharpness is 0.02 to 0.15, and 0.02 at most after a Gaussian blur of σ = 2 pixels at 128 × 64; the mean
difference of their strongest and weakest colour is 5 to 61 of 255, and 0 of a grey picture; their height is 2 to 2.9
times their width.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from reidapp.box import Box
from reidapp.footage.shots import cut_sides, sharpness

MIN_HEIGHT_PX = 64
_SHARP = 0.02
_COLOURED = 3.0
_STANDING = 1.5  # height : width
_NOBODY = "nobody was found in the picture, so all of it is compared; cut the person out, or draw a box on the page"


@dataclass(frozen=True)
class QueryWarning:
    """Why hits may be worse than they could be. ``kind``: nobody, small, blurred, cut or grey."""

    kind: str
    text: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return dict(vars(self))

    def __str__(self) -> str:
        return self.text


def quality_warnings(crop: np.ndarray, box: Box | None = None, nobody: bool = False) -> list[QueryWarning]:
    """What is wrong with a picture of one person.

    Args:
        crop: RGB uint8 ``[h, w, 3]``.
        box: where it was in its frame; None where the picture is all there is.
        nobody: no person was found in it.
    """
    height, width = crop.shape[:2]
    found = [QueryWarning("nobody", _NOBODY)] if nobody else []
    if height < MIN_HEIGHT_PX:
        found.append(QueryWarning("small", f"the person is {height} pixels high; {MIN_HEIGHT_PX} or more find better"))
    elif sharpness(crop) < _SHARP:
        found.append(QueryWarning("blurred", "the picture is blurred; a sharp one finds better"))
    if box and (sides := " and ".join(cut_sides(box))):
        found.append(QueryWarning("cut", f"the person is cut off at the frame's {sides}; a whole body finds better"))
    elif height < _STANDING * width and not nobody:
        found.append(QueryWarning("cut", "the picture is no standing person's whole body, or not one person alone"))
    if float((crop.max(2).astype(np.int16) - crop.min(2)).mean()) < _COLOURED:
        found.append(QueryWarning("grey", "the picture has no colours (infra-red?); hits by day are less certain"))
    return found
