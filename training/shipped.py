"""Makes the shipped model `small`: people are drawn, a network is trained on them, and the export gets its card.

    python -m training.shipped --work FOLDER --out models/zoo/small.onnx [--market DIR]

``--market`` names a folder of Market-1501's training images; the model is then measured on real people whom it has
never seen (Market-500/251), and the card says how well it did. A run that was interrupted goes on.
"""

import argparse
from pathlib import Path

from models.export import export_run
from models.run_folder import last_epoch
from training.data.synthetic.people import write_people
from training.engine import train
from training.evaluation import evaluate
from training.recipe import load_recipe

VERSION = "2"  # raised with every model that ships; models/zoo/versions.txt has those before
SEED = 1
IDENTITIES, CAMERAS, IMAGES = 999, 24, 10
# A long budget wants a lower rate and larger batches than the recipe's, which was chosen for short ones.
CHANGES = ["schedule.images=220000", "schedule.lr=3e-3", "sampler.identities=16"]
NOTES = (
    "Provisional. Has seen generated people only; expect it to miss real people whom a model trained on labelled crops "
    "of real cameras would find."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the people and the run")
    parser.add_argument("--out", type=Path, required=True, help="the ONNX file")
    parser.add_argument("--market", type=Path, help="folder of Market-1501's training images")
    arguments = parser.parse_args()

    people, run = arguments.work / "people", arguments.work / "run"
    if not people.exists():
        write_people(people, identities=IDENTITIES, cameras=CAMERAS, images_per_identity=IMAGES, seed=SEED)
    result = train(
        load_recipe("small", CHANGES), f"market1501:{people}", run, seed=SEED, resume=last_epoch(run) is not None
    )
    print(result)
    scores = {}
    if arguments.market:
        measured = evaluate(run, f"market_500_251:{arguments.market}")
        print(measured)
        names = ("rank1", "rank5", "mAP", "mINP")
        scores = {measured.protocol: {name: round(getattr(measured, name), 4) for name in names}}
    card = export_run(
        run,
        arguments.out,
        name="small",
        version=VERSION,
        training_data=(
            f"{IDENTITIES * IMAGES:,} crops of {IDENTITIES} generated people under {CAMERAS} generated cameras "
            f"(seed {SEED}); no real person"
        ),
        licence="Apache-2.0",
        scores=scores,
        notes=NOTES,
    )
    print(card.to_json())


if __name__ == "__main__":
    main()
