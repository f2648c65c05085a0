"""Makes the models that ship: people are drawn, networks are trained on them, and the exports get their cards.

    python -m training.shipped --work FOLDER --out models/zoo [--only NAME] [--market DIR]

``base`` starts from ``small``'s backbone, so the run of ``small`` has to be in ``--work`` or is made first.
``--market`` names a folder of Market-1501's training images; the models are then measured on real people whom they have
never seen (Market-500/251), and the cards say how well they did. Runs that were interrupted go on.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from models.export import export_run
from models.run_folder import last_epoch
from training.data.synthetic.people import write_people
from training.engine import train
from training.evaluation import evaluate
from training.recipe import load_recipe

PEOPLE_SEED, SEED = 1, 0
IDENTITIES, CAMERAS, IMAGES = 4000, 24, 12
NOTES = (
    "Has seen generated people only; expect it to miss real people whom a model trained on labelled crops of real "
    "cameras would find. Its settings were chosen with an eye on real ones: the generator's by statistics of "
    "Market-1501's first 500 identities, the training's by scores on 100 of them. Nobody of the 251 that it is "
    "measured on was looked at."
)


@dataclass(frozen=True)
class Shipped:
    """A model that ships.

    Attributes:
        version: raised with every new file; models/zoo/versions.txt has those before.
        changes: to the recipe; ``{work}`` is the folder of the runs.
        after: the model whose run it starts from.
    """

    version: str
    recipe: str
    changes: tuple[str, ...]
    after: str | None = None


MODELS = {
    # A long budget wants a lower rate and larger batches than the recipe's, which was chosen for short ones.
    "small": Shipped(
        version="2",
        recipe="small",
        changes=(
            "precision=bfloat16",
            "head.bnneck.scale=false",
            "schedule.images=700000",
            "schedule.lr=3e-3",
            "sampler.identities=16",
        ),
    ),
    # Started from small's backbone: from scratch, stripes on generated people stayed at chance for long.
    "base": Shipped(
        version="1",
        recipe="osnet_scratch",
        changes=(
            "backbone.osnet.width=0.25",
            "backbone.osnet.pretrained={work}/small",
            "head.stripes.dim=64",
            "loss.triplet={on: features, margin: soft}",
            "schedule.images=720000",
            "schedule.lr=2e-3",
            "schedule.warmup_epochs=1",
        ),
        after="small",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the people and the runs")
    parser.add_argument("--out", type=Path, required=True, help="folder for the ONNX files")
    parser.add_argument("--only", choices=MODELS, help="one of the models")
    parser.add_argument("--market", type=Path, help="folder of Market-1501's training images")
    arguments = parser.parse_args()
    for name in [arguments.only] if arguments.only else MODELS:
        run = train_model(name, arguments.work)
        scores = measure(run, arguments.market) if arguments.market else {}
        print(export(name, run, arguments.out, scores))


def train_model(name: str, work: Path) -> Path:
    """The run folder of a model, trained to its end."""
    model, people, run = MODELS[name], work / "people", work / name
    if model.after:
        train_model(model.after, work)
    if not people.exists():
        write_people(people, identities=IDENTITIES, cameras=CAMERAS, images_per_identity=IMAGES, seed=PEOPLE_SEED)
    recipe = load_recipe(model.recipe, [change.replace("{work}", str(work)) for change in model.changes])
    print(train(recipe, f"market1501:{people}", run, seed=SEED, resume=last_epoch(run) is not None))
    return run


def measure(run: Path, market: Path) -> dict[str, dict[str, float]]:
    """{protocol: scores} on real people, without and with flip averaging."""
    scores = {}
    for flip in (False, True):
        measured = evaluate(run, f"market_500_251:{market}", flip=flip)
        print(measured)
        names = ("rank1", "rank5", "mAP", "mINP")
        scores[measured.protocol] = {name: round(getattr(measured, name), 6) for name in names}
    return scores


def export(name: str, run: Path, out: Path, scores: dict[str, dict[str, float]]) -> str:
    """Write the ONNX file; its card as JSON."""
    card = export_run(
        run,
        out / f"{name}.onnx",
        name=name,
        version=MODELS[name].version,
        training_data=(
            f"{IDENTITIES * IMAGES:,} crops of {IDENTITIES:,} generated people under {CAMERAS} generated cameras "
            f"(seed {PEOPLE_SEED}); no real person"
        ),
        licence="Apache-2.0",
        scores=scores,
        notes=NOTES,
    )
    return card.to_json()


if __name__ == "__main__":
    main()
