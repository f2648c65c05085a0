"""The crops of a gallery, as indexing stored them, and what is known of whom they show."""

from collections.abc import Iterable
from pathlib import Path

from reidapp.gallery import store
from reidapp.gallery.crops import stored_crops
from reidapp.gallery.simultaneous import simultaneous
from reidapp.gallery.user_labels import UserLabels, user_labels
from reidapp.wording import counted
from training.data.datasets import UNLABELLED, Dataset, Record


class Gallery(Dataset):
    """``gallery:DIR``: a gallery's crops to train on, nobody named, each with its camera, tracklet and time.

    Cameras and tracklets are numbered from 0 in the order of their names and ids; pieces that continue one another are
    one tracklet. ``together`` and ``apart`` are what users have said (`user_labels`); those who were seen at the same
    time are apart, too.

    Attributes:
        cameras: names, by number.
        tracklets: ids, by number.
        at_once: tracklets that were seen at the same time in one camera (`simultaneous`), but for those of which a user
            says that they show one person.
    """

    protocol = "gallery"

    def __init__(self, folder: Path) -> None:
        gallery = store.Gallery.open(folder)
        crops = stored_crops(gallery)
        self.cameras = sorted({crop.camera for crop in crops})
        self.tracklets = sorted({crop.tracklet for crop in crops})
        camera = {name: number for number, name in enumerate(self.cameras)}
        tracklet = {id_: number for number, id_ in enumerate(self.tracklets)}
        super().__init__(
            Record(crop.file, UNLABELLED, camera[crop.camera], tracklet=tracklet[crop.tracklet], time_s=crop.time_s)
            for crop in crops
        )
        said, seen = user_labels(gallery, self.tracklets), simultaneous(gallery)
        person = {id_: group[0] for group in said.together for id_ in group}
        told = [pair for pair in seen if len({person.get(id_, id_) for id_ in pair}) == 2]

        def numbered(pairs: Iterable[tuple[str, str]]) -> list[tuple[int, int]]:
            return [(tracklet[one], tracklet[other]) for one, other in pairs]

        self.at_once, self.apart = numbered(told), numbered(sorted({*told, *said.apart}))
        self.together = [[tracklet[id_] for id_ in group] for group in said.together]
        self.remarks = _remarks(said, len(seen) - len(told))


def _remarks(said: UserLabels, overruled: int) -> list[str]:
    """What of the users' words counts, in a line; nothing where they have said nothing."""
    uncounted = {
        f"{counted(overruled, 'pair')} seen at the same time, of whom a user says that they are one": overruled,
        f"{counted(said.contradicted, 'answer')} against names or other answers": said.contradicted,
    }
    against = [what for what, count in uncounted.items() if count]
    if not (said.together or said.apart or against):
        return []
    tracklets, people = sum(map(len, said.together)), len(said.together)
    whom = f"{counted(tracklets, 'tracklet')} of {people} {'person' if people == 1 else 'people'}"
    what = f"labels that users gave: {whom}, {counted(len(said.apart), 'pair')} told apart"
    return [what + (f"; not counted: {', '.join(against)}" if against else "")]
