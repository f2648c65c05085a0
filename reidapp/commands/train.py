"""`reidapp train`, `evaluate`, `her` and `export`."""

import importlib.util
import json as json_
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reidapp.commands import output
from reidapp.commands.options import JsonOption
from reidapp.errors import UserError

if TYPE_CHECKING:
    from reidapp.model_card import ModelCard

_FEW_QUERIES = 100  # on which an export's loss of mAP says little


def train(
    recipe: Annotated[str | None, typer.Argument(help="Name of a recipe, or a YAML file.", show_default=False)] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(help="KIND:DIR, for example market1501:people; several are joined.", show_default=False),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(help="KIND:DIR, labelled; for recipes that learn from unlabelled --data.", show_default=False),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default=False)] = None,
    small: Annotated[bool, typer.Option("--small", help="A network, size and schedule for a CPU.")] = False,
    changes: Annotated[list[str] | None, typer.Option("--set", help="key.sub=value; changes the recipe.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same order and changes of the images.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    resume: Annotated[bool, typer.Option(help="Go on from the run's last epoch.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the recipes.")] = False,
    show: Annotated[
        bool,
        typer.Option("--show", help="Check the recipe with all changes, but for the data; print it, and stop."),
    ] = False,
    json: JsonOption = False,
) -> None:
    """Train an embedding model by a recipe."""
    from training.recipe import describe, kinds, list_recipes, load_recipe

    if list_:
        found = kinds()
        groups = [[f"from {kind}", *(f"  {name:34} {describe(name)}" for name in own)] for kind, own in found.items()]
        text = "\n\n".join("\n".join(lines) for lines in groups)
        output.show({"recipes": list_recipes(), "kinds": found}, text, json)
        return
    if show and recipe is not None:
        shown = load_recipe(recipe, changes or [], small)
        if importlib.util.find_spec("torch"):
            from training.engine import check

            check(shown)
        else:
            output.note("note: torch is not installed, so losses and networks were not checked")
        output.show(shown.model_dump(), shown.to_yaml().rstrip(), json)
        return
    if recipe is None or not data or out is None:
        given = {"RECIPE": recipe, "--data KIND:DIR": data, "--out RUN": out}
        missing = ", ".join(name for name, value in given.items() if not value)
        raise UserError(f"train: missing {missing} (`reidapp train --list` names the recipes)")
    try:
        from training.engine import train as run_training
    except KeyboardInterrupt:  # torch takes its seconds
        output.note("interrupted before anything was begun")
        raise

    checked = load_recipe(recipe, changes or [], small)
    result = run_training(checked, data, out, source=source or (), seed=seed, device=device, resume=resume)
    if os.environ.get("RANK", "0") == "0":  # of the processes that torchrun starts, one talks
        output.show(result.to_dict(), str(result), json)


def evaluate(
    model: Annotated[str, typer.Argument(help="A shipped model's name, an ONNX file, or the folder of a run.")],
    data: Annotated[list[str], typer.Option(help="KIND:DIR of labelled crops.")],
    flip: Annotated[bool, typer.Option(help="Average each embedding with that of the mirrored image.")] = False,
    rerank: Annotated[bool, typer.Option("--rerank", help="Re-rank by k-reciprocal neighbours (Zhong 2017).")] = False,
    figures: Annotated[
        Path | None, typer.Option(help="Folder for cmc.png, roc.png, ranked.png, activation.png.", show_default=False)
    ] = None,
    same_camera: Annotated[
        str | None,
        typer.Option(help="remove a query's own person in its own camera, or keep; remove if cameras are known."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Rank-1, Rank-5, mAP and mINP of a model on labelled crops, and the threshold that tells people apart."""
    from models.zoo import path_of
    from training.evaluation import evaluate as measure

    path = Path(model)
    path = path if path.is_dir() else path_of(model)
    scores = measure(path, _only(data), flip=flip, rerank=rerank, figures=figures, same_camera=same_camera)
    output.show(scores.to_dict(), str(scores), json)


def her(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.")],
    data: Annotated[list[str], typer.Option(help="KIND:DIR of labelled crops to fit to; several are joined.")],
    out: Annotated[Path, typer.Option(help="Folder of the new run.")],
    ridge: Annotated[float, typer.Option(help="λ of the regression, above 0.")] = 1.0,
    json: JsonOption = False,
) -> None:
    """Fit HER's ridge regression behind a trained network's embedding: a new run, without training."""
    from training.her import apply_her

    result = apply_her(run, data, out, ridge=ridge)
    output.show(result.to_dict(), str(result), json)


def export_(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.")],
    out: Annotated[Path, typer.Option(help="The ONNX file to write.")],
    name: Annotated[str | None, typer.Option(help="Of the model, in its card; the file's name without.")] = None,
    precision: Annotated[
        str, typer.Option(help="fp32, fp16 or int8; the last two may lose 0.3 and 1.0 points of mAP on --data.")
    ] = "fp32",
    data: Annotated[
        list[str] | None, typer.Option(help="KIND:DIR of labelled crops to measure the file on.", show_default=False)
    ] = None,
    json: JsonOption = False,
) -> None:
    """Export a trained model to ONNX; refuses, and leaves no file, if its embeddings differ from the run's."""
    from models.export import export_run
    from training.labelled_crops import LabelledCrops

    examples = LabelledCrops(_only(data)) if data else None
    card = export_run(run, out, name=name, precision=precision, examples=examples)
    if (queries := card.scores.get("against fp32", {}).get("queries", _FEW_QUERIES)) < _FEW_QUERIES:
        output.note(
            f"note: its loss was measured on {queries} queries only, of which each counts much; give a larger --data"
        )
    output.show(json_.loads(card.to_json()), f"{out}: {export_summary(card)}", json)


def _only(data: list[str]) -> str:
    if len(data) > 1:
        raise UserError(f"--data: {len(data)} data sets given; a model is scored on one at a time")
    return data[0]


def export_summary(card: "ModelCard") -> str:
    title = f"{card.name}, {card.precision}, {card.height}×{card.width} → {card.dim}-d"
    return "\n  ".join([title, *card.score_lines()])
