"""`reidapp synth`."""

from pathlib import Path
from typing import Annotated

import typer

from reidapp.commands import output
from reidapp.commands.options import CrowdOption, JsonOption

app = typer.Typer(help="Generate people and footage, with ground truth.", no_args_is_help=True)


@app.command("people")
def synth_people(
    out: Annotated[Path, typer.Argument(help="Folder to write, in Market-1501's layout.")],
    identities: Annotated[int, typer.Option(min=2, help="People.")] = 100,
    cameras: Annotated[int, typer.Option(min=2, help="Camera looks.")] = 6,
    images: Annotated[int, typer.Option(min=2, help="Crops per person.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same pixels.")] = 0,
    test_share: Annotated[float, typer.Option(min=0, max=1, help="Share of the people kept for query/gallery.")] = 0.0,
    json: JsonOption = False,
) -> None:
    """Crops of generated people, labelled."""
    from training.data.synthetic.people import write_people

    with output.progress("drawing people", "people") as advance:
        summary = write_people(
            out,
            identities=identities,
            cameras=cameras,
            images_per_identity=images,
            seed=seed,
            test_share=test_share,
            progress=advance,
        )
    output.show(vars(summary), str(summary), json)


@app.command("footage")
def synth_footage(
    out: Annotated[Path, typer.Argument(help="Folder to write: a folder per camera, and truth.csv.")],
    cameras: Annotated[int, typer.Option(min=1, help="Cameras.")] = 3,
    people: Annotated[int, typer.Option(min=1, help="People who walk through all of them.")] = 12,
    seconds: Annotated[float, typer.Option(min=10, help="Length of each camera's recording.")] = 60,
    crowd: CrowdOption = 1,
    unseen_looks: Annotated[
        bool, typer.Option("--unseen-looks", help="Cameras with looks such as no other generated camera has.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same pixels.")] = 0,
    json: JsonOption = False,
) -> None:
    """Multi-camera footage of generated people, with ground truth."""
    from training.data.synthetic.footage import write_footage
    from training.data.synthetic.seeds import check_training_seed

    check_training_seed(seed)
    with output.progress("filming", "cameras") as advance:
        summary = write_footage(
            out,
            cameras=cameras,
            people=people,
            seconds=seconds,
            crowd=crowd,
            seed=seed,
            unseen_looks=unseen_looks,
            progress=advance,
        )
    output.show(vars(summary), str(summary), json)
