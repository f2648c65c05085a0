"""`reidapp bench`."""

from pathlib import Path
from typing import Annotated

import typer

from reidapp.commands import output
from reidapp.commands.options import CrowdOption, DetectorOption, JsonOption
from reidapp.errors import UserError

app = typer.Typer(help="Measure the product on generated worlds, against the truth.", no_args_is_help=True)


@app.command("footage")
def bench_footage(
    more: Annotated[list[int] | None, typer.Argument(hidden=True, min=0, metavar="--seeds")] = None,  # the 1 2 of 0 1 2
    seeds: Annotated[
        list[int] | None, typer.Option(min=0, metavar="N…", help="Worlds to draw: --seeds 0 1 2, which is the default.")
    ] = None,
    world: Annotated[
        Path | None, typer.Option(help="A folder of footage with its truth.csv, instead of drawn worlds.")
    ] = None,
    cameras: Annotated[int, typer.Option(min=2, help="Cameras of a drawn world.")] = 4,
    people: Annotated[int, typer.Option(min=2, help="People of a drawn world.")] = 24,
    seconds: Annotated[float, typer.Option(min=10, help="Length of each camera's recording.")] = 120,
    crowd: CrowdOption = 2,
    model: Annotated[str | None, typer.Option(help="Shipped model's name or an ONNX file.")] = None,
    detector: DetectorOption = "hog",
    sampling: Annotated[str, typer.Option(help="Frames to look at: Nfps, or all.")] = "2fps",
    out: Annotated[
        Path, typer.Option(help="Folder that keeps worlds and results; finished ones are not done again.")
    ] = Path("bench"),
    json: JsonOption = False,
    report: Annotated[Path | None, typer.Option(help="Write a page with the worst cases into a folder.")] = None,
) -> None:
    """Footage → gallery → queries, held against the truth."""
    from reidapp.bench import WorldSize, run_bench

    chosen = [*(seeds or []), *(more or [])]
    if more and not seeds:
        raise UserError(f"bench footage: unexpected {more[0]}; worlds are named by --seeds {more[0]}")
    if world and chosen:
        raise UserError("bench footage: --world and --seeds exclude each other")
    try:
        result = run_bench(
            out,
            seeds=chosen or (0, 1, 2),
            world=world,
            size=WorldSize(cameras, people, seconds, crowd),
            model=model,
            detector=detector,
            sampling=sampling,
            bars=output.progress,
        )
    except KeyboardInterrupt:
        output.note(f"interrupted; finished worlds are kept in {out}, and the same command goes on after them")
        raise
    if report:
        from reidapp.bench_page import write_page

        output.note(f"page: {write_page(result, report)}")
    output.show(result.to_dict(), str(result), json)
