"""What commands open: models, and times as the cameras of a gallery have them."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reidapp.errors import ReidappError, UserError

if TYPE_CHECKING:
    from reidapp.embedding import Embedder
    from reidapp.gallery.store import Gallery


def embedder(model: str | None, **session: Any) -> "Embedder":
    """A shipped model by name, or one in a file; the default without. ``session``: `Embedder`'s other arguments."""
    from models import zoo
    from reidapp.embedding import Embedder

    return Embedder(zoo.path_of(model or zoo.DEFAULT), **session)


def own_model(gallery: "Gallery", **session: Any) -> "Embedder":
    """The model that a gallery's vectors are of.

    Raises:
        ReidappError: its file is missing or damaged.
    """
    from reidapp.embedding import Embedder
    from reidapp.model_card import is_model

    file = gallery.model_path(id_ := gallery.model_id)
    if not is_model(file, id_):
        raise ReidappError(
            f"{file}: the gallery's model is {'damaged' if file.is_file() else 'missing'}; "
            f"`reidapp gallery repair --gallery {gallery.path} --model FILE` puts another copy of it there"
        )
    return Embedder(file, **session)


def model_for(gallery: "Gallery", model: str) -> Path:
    """The file itself, that of a shipped model, or that of one which the gallery has."""
    from models import zoo
    from reidapp.gallery.reembedding import model_called
    from reidapp.registry import suggestion

    if Path(model).is_file() or model in zoo.names():
        return zoo.path_of(model)
    if known := model_called(gallery, model):
        return known.file
    names = [f"{each.card.name}/{each.card.version}" for each in gallery.models()]
    hint, shipped = suggestion(model, [*zoo.names(), *names]), ", ".join(zoo.names())
    raise UserError(
        f'model "{model}": no such file or model{hint}; shipped: {shipped}; {gallery.path} has {", ".join(names)}'
    )


def time(text: str | None, option: str, gallery: "Gallery") -> datetime | None:
    """What an option says; without a zone, as the clocks of the gallery's cameras have it."""
    from reidapp.asking import time_of

    return time_of(text, option, gallery)
