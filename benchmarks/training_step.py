"""Training images per second, from file or cache to updated weights: this project's loop and torchreid's engine.

    python -m benchmarks.training_step --data market_500_251:DIR --torchreid PATH > docs/results/training_step.json

The same network (OSNet x0.25, a linear layer of 512, softmax with label smoothing), batch (64 at 128×64), images and
threads; both with mirroring, random crop and erasing. torchreid runs its own `ImageSoftmaxEngine` on its own data
manager, once loading in the training process and once with two workers; the faster of the two counts. Ours are the
steps that `training.engine` takes, written out here without its progress, sums and checks, with its cache filled, in
float32 and in bfloat16. One repeat of each in turn.
"""

import argparse
import contextlib
import io
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.machine import machine, seconds_in_turns
from models.network import Network
from training.data.augmentation import Augmentation
from training.data.cache import decode
from training.data.datasets import Record, load_dataset
from training.methods.supervised import Supervised
from training.optimization import Optimization
from training.recipe import parse_recipe

BATCH, HEIGHT, WIDTH, SEED = 64, 128, 64, 0
RECIPE = {
    "name": "training step",
    "backbone": {"osnet": {"width": 0.25}},
    "head": {"bnneck": {"dim": 512}},
    "input": {"height": HEIGHT, "width": WIDTH},
    "loss": {"identity": {"smoothing": 0.1}},
    "sampler": {"batch": BATCH},
    "augmentation": {"flip": 0.5, "pad": 0.06, "erase": 0.5},
    "optimizer": {"adam": {"weight_decay": 5e-4}},
    "schedule": {"lr": 3e-4},
}
Step = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="KIND:DIR")
    parser.add_argument("--torchreid", type=Path, help="a copy of its repository; without it, its row is not run")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=15, help="of each repeat")
    arguments = parser.parse_args()

    records = load_dataset(arguments.data).train
    rows = []
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        candidates = {f"ours, {precision}": ours(records, precision) for precision in ("float32", "bfloat16")}
        if arguments.torchreid:
            sys.path.insert(0, str(arguments.torchreid))
            candidates |= {f"torchreid, {workers} workers": torchreid(records, workers) for workers in (0, 2)}
        runs = {name: partial(repeat, step, arguments.steps) for name, step in candidates.items()}
        seconds = seconds_in_turns(arguments.repeats, runs)
        rates = {name: arguments.steps * BATCH / statistics.median(taken) for name, taken in seconds.items()}
        peer = max((rate for name, rate in rates.items() if name.startswith("torchreid")), default=None)
        rows.append(
            {
                "threads": threads,
                "images_per_s": {name: round(rate, 1) for name, rate in rates.items()},
                "times_torchreid": {
                    name: round(rate / peer, 2) for name, rate in rates.items() if peer and name.startswith("ours")
                },
            }
        )
    result: dict[str, Any] = {
        "benchmark": "training_step",
        "command": "python -m benchmarks.training_step " + " ".join(sys.argv[1:]).replace(arguments.data, "KIND:DIR"),
        "seed": SEED,
        "batch": BATCH,
        "height": HEIGHT,
        "width": WIDTH,
        "rows": rows,
        "goal": "at least 2.5 times torchreid on the CPU",
        "machine": machine(),
    }
    if arguments.torchreid:
        result["command"] = result["command"].replace(str(arguments.torchreid), "TORCHREID")
    print(json.dumps(result, indent=2))


def repeat(step: Step, steps: int) -> None:
    for _ in range(steps):
        step()


def ours(records: list[Record], precision: str) -> Step:
    """One step, as in `training.engine._epoch`."""
    torch.manual_seed(SEED)
    recipe = parse_recipe(RECIPE | {"precision": precision}, "recipe")
    device, noise = torch.device("cpu"), torch.Generator().manual_seed(SEED)
    network = Network(recipe.network()).to(memory_format=torch.channels_last).train()
    method = Supervised(records, recipe.loss, recipe.sampler, network.dims, recipe.where)
    optimization = Optimization(recipe, network, method, device)
    augment = Augmentation(**recipe.augmentation)
    crops = decode(records, HEIGHT, WIDTH, Path(tempfile.gettempdir()))
    batches = forever(method.sampler.epoch)

    def step() -> None:
        batch = next(batches)
        images = augment(torch.from_numpy(crops.images[batch]), noise)
        with torch.autocast("cpu", torch.bfloat16, precision == "bfloat16"):
            loss, _ = method(network, images, torch.from_numpy(batch), noise)
        optimization.backward(loss)
        method.update()
        optimization.step(3e-4)

    return step


def torchreid(records: list[Record], workers: int) -> Step:
    """One step of torchreid's engine."""
    with contextlib.redirect_stdout(io.StringIO()):
        import torchreid as peer

        class Crops(peer.data.ImageDataset):
            def __init__(self, root: str = "", **options: Any) -> None:
                pids = {pid: number for number, pid in enumerate(sorted({r.pid for r in records}))}
                train = [(str(r.path), pids[r.pid], r.camid) for r in records]
                super().__init__(train, train[:1], train[:1], **options)

        name = f"crops{workers}-{torch.get_num_threads()}"  # names cannot be taken twice
        peer.data.register_image_dataset(name, Crops)
        torch.manual_seed(SEED)
        manager = peer.data.ImageDataManager(
            sources=name,
            height=HEIGHT,
            width=WIDTH,
            transforms=["random_flip", "random_crop", "random_erase"],
            use_gpu=False,
            batch_size_train=BATCH,
            workers=workers,
        )
        model = peer.models.build_model("osnet_x0_25", manager.num_train_pids, loss="softmax", pretrained=False)
        optimizer = peer.optim.build_optimizer(model, optim="adam", lr=3e-4)
        engine = peer.engine.ImageSoftmaxEngine(manager, model, optimizer, use_gpu=False, label_smooth=True)
    model.train()
    batches = forever(lambda _: iter(manager.train_loader))
    return lambda: engine.forward_backward(next(batches))


def forever(epoch: Callable[[Any], Iterator[Any]]) -> Iterator[Any]:
    rng = np.random.default_rng(SEED)
    while True:
        yield from epoch(rng)


if __name__ == "__main__":
    main()
