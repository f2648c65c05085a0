"""Training images per second before the network, on one core: one image at a time with PIL, and this project's cache.

    python -m benchmarks.input_pipeline [--data KIND:DIR] [--images 1500] > docs/results/input_pipeline.json

"PIL per image" is what torchreid and fast-reid do for every image of every epoch: read the JPEG, resize (bicubic),
mirror, pad, crop, normalise and erase with torchvision's transforms, stack. "ours" takes batches from crops that were
decoded once, makes the same changes to bytes, and normalises to floats; "60 epochs" adds its share of the decoding. The
rows with zoom and colour are the small recipe's augmentation, which the other has not. Batches of 64, one thread, one
repeat of each in turn; rates are by the processor's time, which other work on the machine disturbs less. Without
--data, crops are generated.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torchvision import transforms

from benchmarks.machine import machine, seconds_in_turns
from models.network import Normalise
from training.data.augmentation import Augmentation, _at_once
from training.data.cache import decode
from training.data.datasets import Record, load_dataset
from training.data.samplers import RandomSampler
from training.data.synthetic.people import write_people

BATCH, SEED, EPOCHS, GOAL = 64, 0, 60, 6000
SIZES = [(256, 128), (128, 64)]
PAD, ERASE = 0.04, 0.5
SMALL: dict[str, Any] = {"flip": 0.5, "shift": 0.05, "zoom": 0.1, "colour": 0.2, "erase": 0.4}
Epoch = Callable[[], object]
Augment = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="KIND:DIR; its training part is used")
    parser.add_argument("--images", type=int, default=1500, help="how many, at most")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as temporary:
        records = crops_of(arguments.data, arguments.images, Path(temporary))
        rows = [row(records, *size, arguments.repeats, Path(temporary)) for size in SIZES]
    command = "python -m benchmarks.input_pipeline " + " ".join(sys.argv[1:])
    result = {
        "benchmark": "input_pipeline",
        "command": command.replace(arguments.data or "KIND:DIR", "KIND:DIR").strip(),
        "data": "generated people, 128×64 JPEG" if arguments.data is None else load_dataset(arguments.data).protocol,
        "images": len(records),
        "batch": BATCH,
        "repeats": arguments.repeats,
        "seed": SEED,
        "threads": 1,
        "rows": rows,
        "goal": f"at least {GOAL} images/s at 256×128 with augmentation; normalising is the network's",
        "reached": rows[0]["images_per_s"]["ours, before normalising"] >= GOAL,
        "machine": machine(),
    }
    print(json.dumps(result, indent=2, ensure_ascii=False))


def crops_of(data: str | None, images: int, temporary: Path) -> list[Record]:
    if data is None:
        people, each = -(-images // 12), 12
        write_people(temporary / "people", identities=people, images_per_identity=each, seed=SEED)
        data = f"market1501:{temporary / 'people'}"
    records = load_dataset(data).train
    return [records[i] for i in np.random.default_rng(SEED).permutation(len(records))[:images]]


def row(records: Sequence[Record], height: int, width: int, repeats: int, folder: Path) -> dict[str, Any]:
    """Images per second at one size."""
    torch.manual_seed(SEED)
    images = decode(records, height, width, folder).images
    bytes_only = Augmentation(flip=0.5, pad=PAD, erase=ERASE, fill="mean")
    small = Augmentation(**SMALL)

    def as_on_a_gpu(batch: torch.Tensor, noise: torch.Generator) -> torch.Tensor:
        return _at_once(batch, small._draw(len(batch), height, width, noise))

    seconds = seconds_in_turns(
        repeats,
        {
            "PIL per image": per_image(records, height, width),
            "ours": cached(images, bytes_only, Normalise()),
            "ours, zoom and colour": cached(images, small, Normalise()),
            "ours, before normalising": cached(images, bytes_only, torch.nn.Identity()),
            "ours, zoom and colour, before normalising": cached(images, small, torch.nn.Identity()),
            "ours, zoom and colour, as on a GPU, before normalising": cached(images, as_on_a_gpu, torch.nn.Identity()),
            "decoding into the cache": lambda: decode(records, height, width, folder),
        },
        time.process_time,
    )
    rates = {name: len(records) / statistics.median(taken) for name, taken in seconds.items()}
    shared_out = 1 / (1 / rates["ours"] + 1 / (EPOCHS * rates["decoding into the cache"]))
    rates[f"ours, {EPOCHS} epochs"] = shared_out
    return {
        "height": height,
        "width": width,
        "images_per_s": {name: round(rate) for name, rate in rates.items()},
        "times_pil": {
            name: round(rates[name] / rates["PIL per image"], 1)
            for name in ("ours", "ours, zoom and colour", f"ours, {EPOCHS} epochs")
        },
    }


def per_image(records: Sequence[Record], height: int, width: int) -> Epoch:
    pad = round(PAD * height)
    change = transforms.Compose(
        [
            transforms.Resize((height, width), interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.RandomHorizontalFlip(0.5),
            transforms.Pad(pad),
            transforms.RandomCrop((height, width)),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            transforms.RandomErasing(ERASE, scale=(0.02, 0.4), ratio=(0.3, 3.3), value=0),
        ]
    )

    def read(record: Record) -> torch.Tensor:
        with Image.open(record.path) as image:
            return change(image.convert("RGB"))

    def epoch() -> None:
        for start in range(0, len(records), BATCH):
            torch.stack([read(record) for record in records[start : start + BATCH]])

    return epoch


def cached(images: np.ndarray, augment: Augment, normalise: torch.nn.Module) -> Epoch:
    sampler = RandomSampler(np.zeros(len(images), int), BATCH)
    order, noise = np.random.default_rng(SEED), torch.Generator().manual_seed(SEED)

    def epoch() -> None:
        for batch in sampler.epoch(order):
            normalise(augment(torch.from_numpy(images[batch]), noise))

    return epoch


if __name__ == "__main__":
    main()
