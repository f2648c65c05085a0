"""`reidapp adapt` and `reembed`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reidapp.commands import opening, output
from reidapp.commands.options import GalleryOption, JsonOption, ProgressOption
from reidapp.errors import ReidappError

if TYPE_CHECKING:
    from reidapp.embedding import Embedder
    from reidapp.gallery.reembedding import ReembedReport
    from reidapp.gallery.store import Gallery


def adapt(
    gallery: GalleryOption,
    out: Annotated[Path, typer.Option(help="Folder of the run; with --quick the ONNX file of the new version.")],
    quick: Annotated[bool, typer.Option("--quick", help="Batch norm statistics of each camera; no training.")] = False,
    recipe: Annotated[str, typer.Option(help="ise, cluster_contrast, spcl, or a YAML file.")] = "ise",
    start: Annotated[
        str | None,
        typer.Option(
            help="Model to adapt: a run's folder, or as for reembed --model; the gallery's own without.",
            show_default=False,
        ),
    ] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", help="key.sub=value; changes the recipe.")] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="Training images, counted with repetition.", show_default=False)
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="KIND:DIR, labelled; to learn from besides.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same order and changes of the images.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last epoch.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Move the gallery to the new version at once.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Apply it even if it is not known to be better.")] = False,
    progress: ProgressOption = "bar",
    json: JsonOption = False,
) -> None:
    """Adapt a model to a gallery's own cameras, from its stored crops; no labels are needed."""
    from reidapp.embedding import Embedder
    from reidapp.gallery.store import Gallery
    from training.adapting import adapt as adapt_by_training
    from training.adapting import adapt_quick

    lines = progress == "json"
    opened = Gallery.open(gallery)
    beginning = None if start is None else Path(start) if Path(start).is_dir() else opening.model_for(opened, start)
    if quick:
        result = adapt_quick(opened, out, beginning)
    else:
        asked = [*(changes or []), *([f"schedule.images={images}"] if images else [])]
        result = adapt_by_training(
            opened, out, recipe, start=beginning, changes=asked, source=source or (), seed=seed, device=device,
            resume=resume, lines=lines,
        )  # fmt: skip
    keeps_old = apply and not (result.improved or force)
    moved = _reembedded(opened, Embedder(result.model), lines) if apply and not keeps_old else None
    facts = result.to_dict() | ({"reembed": moved.to_dict()} if moved else {})
    output.show(facts, "\n".join(map(str, [result, *([moved] if moved else [])])), json)
    if keeps_old:
        raise ReidappError(f"{gallery}: stays with its model, since {result.model} is not better; --force moves it")
    if moved and moved.interrupted:
        raise typer.Exit(130)


def reembed(
    gallery: GalleryOption,
    model: Annotated[
        str | None,
        typer.Option(
            help="Shipped model's name, an ONNX file, or name/version or id of one that the gallery has. "
            "Without it, those are listed.",
            show_default=False,
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Move a gallery to another model: its stored crops are embedded again, and the old vectors stay."""
    from reidapp.embedding import Embedder
    from reidapp.gallery.store import Gallery

    opened = Gallery.open(gallery)
    if model is None:
        known = opened.models()
        output.show({"models": [each.to_dict() for each in known]}, "\n".join(map(str, known)), json)
        return
    report = _reembedded(opened, Embedder(opening.model_for(opened, model)))
    output.show(report.to_dict(), f"{gallery}: {report}", json)
    if report.interrupted:
        raise typer.Exit(130)


def _reembedded(gallery: "Gallery", embedder: "Embedder", lines: bool = False) -> "ReembedReport":
    from reidapp.gallery.reembedding import reembed as move

    if lines:
        from training.progress import Lines

        return move(gallery, embedder, embedder.path, Lines("embedding"))
    output.note(f"model {embedder.card.name}/{embedder.card.version} on {embedder.provider}")
    with output.progress("embedding", "crops") as advance:
        return move(gallery, embedder, embedder.path, advance)
