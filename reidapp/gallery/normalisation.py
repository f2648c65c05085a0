"""Whether camera normalisation helps a gallery, told without labels, and switching it on where it does.

A camera's mean counts each of its tracklets x̄ once, and is drawn to the mean m of all: m_c = (Σ x̄ + 10 m) / (n_c + 10).
With it neighbours should come from their own camera less often, and tracklets be told apart no worse
(`LabelFreeScores.improves`). How often that is right: benchmarks/camera_normalisation.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from reidapp.errors import UserError
from reidapp.gallery import schema
from reidapp.gallery.calibration import stored_calibration
from reidapp.gallery.camera_means import CameraMeans, keep_means
from reidapp.gallery.label_free import LabelFreeScores, label_free_scores
from reidapp.gallery.nearest import decoded
from reidapp.gallery.simultaneous import simultaneous
from reidapp.gallery.snapshot import Snapshot, Snapshots
from reidapp.gallery.store import Gallery

_DRAWN = 10  # tracklets that m weighs as much as
_CHECKED = 8192  # crops that the check looks at, about
_AT_ONCE = 8192  # rows


@dataclass(frozen=True)
class Normalisation:
    """What was measured, and whether it is on now.

    Attributes:
        before, after: without it and with it; None where it was switched off.
        recalibrate: there is a P(match), of scores as they were before.
    """

    on: bool
    before: LabelFreeScores | None = None
    after: LabelFreeScores | None = None
    recalibrate: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        measured = {"before": self.before and self.before.to_dict(), "after": self.after and self.after.to_dict()}
        return {"on": self.on, **measured, "recalibrate": self.recalibrate}

    def __str__(self) -> str:
        lines = [f"camera normalisation is {'on' if self.on else 'off'}"]
        if self.before and self.after:
            lines[0] += "" if self.on else ": by what can be known without labels, it would not help"
            rows = [
                ("nearest from the own camera", self.before.same_camera, self.after.same_camera),
                ("same tracklet above two people at once", self.before.auc, self.after.auc),
            ]
            lines += [f"{name}: {one:.3f}, with it {two:.3f}" for name, one, two in rows if one and two]
        if self.recalibrate:
            lines.append("P(match) was for the scores as they were; calibrate again: `reidapp gallery calibrate`")
        return "\n  ".join(lines)


def normalise(gallery: Gallery) -> Normalisation:
    """Make the means of what is stored now, and switch normalisation on if it helps, else off.

    Raises:
        UserError: crops of fewer than two cameras, or a gallery that can only be read.
        ReidappError: the gallery was moved to another model meanwhile.
    """
    gallery.check_writable()
    model_id = gallery.model_id
    snapshot = Snapshots(gallery, model_id).current()
    if len(np.unique(snapshot.camera_of[snapshot.crops != 0])) < 2:
        raise UserError(f"{gallery.path}: crops of fewer than two cameras, so there is nothing to normalise")
    rows = np.flatnonzero(snapshot.crops)
    means = fitted(
        snapshot.tracklet_of[rows], snapshot.camera_of[rows], lambda some: decoded(snapshot.index.stored(rows[some]))
    )
    before, after = compared(gallery, snapshot, means)
    on = after.improves(before)
    gallery.check_in_use(model_id)
    return Normalisation(on, before, after, _switch(gallery, model_id, means if on else None))


def switch_off(gallery: Gallery) -> Normalisation:
    """Compare vectors as they are."""
    return Normalisation(on=False, recalibrate=_switch(gallery, gallery.model_id, None))


def fitted(tracklet: np.ndarray, camera: np.ndarray, rows: Callable[[slice], np.ndarray]) -> CameraMeans:
    """The means of rows.

    Args:
        tracklet, camera: of each row, ``[N]``.
        rows: gives some of them, float32 ``[some, D]``.
    """
    _, of, shots = np.unique(tracklet, return_inverse=True, return_counts=True)
    cameras, place = np.unique(camera, return_inverse=True)
    weight = 1 / shots[of]
    counts = np.bincount(place, weight, len(cameras))[:, None]
    sums: np.ndarray = np.zeros((len(cameras), rows(slice(1)).shape[1]))
    for i in range(0, len(tracklet), _AT_ONCE):
        some = slice(i, i + _AT_ONCE)
        of_camera = np.where(place[some] == np.arange(len(cameras))[:, None], weight[some], 0)
        sums += of_camera @ rows(some)
    every = sums.sum(axis=0) / max(counts.sum(), 1)
    means = np.vstack([every, (sums + _DRAWN * every) / (counts + _DRAWN)]).astype(np.float32)
    return CameraMeans(schema.now(), len(shots), tuple(cameras.tolist()), means)


def compared(gallery: Gallery, snapshot: Snapshot, means: CameraMeans) -> tuple[LabelFreeScores, LabelFreeScores]:
    """What is known without labels of vectors as they are, and with means taken off; of some tracklets, evenly."""
    rows = np.flatnonzero(snapshot.crops)
    of = np.unique(snapshot.tracklet_of[rows], return_inverse=True)[1]
    rows = rows[of % -(-len(rows) // _CHECKED) == 0]
    tracklets, of = np.unique(snapshot.tracklet_of[rows], return_inverse=True)
    number = {f"{id_:016x}": i for i, id_ in enumerate(tracklets.tolist())}
    apart = [(number[one], number[two]) for one, two in simultaneous(gallery) if one in number and two in number]
    plain, cameras = decoded(snapshot.index.stored(rows)), snapshot.camera_of[rows]
    before, after = (label_free_scores(each, of, cameras, apart) for each in (plain, means.centred(plain, cameras)))
    return before, after


def _switch(gallery: Gallery, model_id: str, means: CameraMeans | None) -> bool:
    """Whether P(match) is not for these means."""
    keep_means(gallery, model_id, means)
    calibration = stored_calibration(gallery, model_id)
    return calibration is not None and calibration.means != (means.digest if means else None)
