"""What labelled crops look like in numbers: to hold generated people against real surveillance.

    python -m benchmarks.crop_statistics KIND:DIR … > docs/results/crop_statistics.json

Looks at the training images of each data set. Real crops must be of training identities, such as the 500 that
``market_500_251:DIR`` trains on: the generator may look like them, nobody whom a model is measured on may shape it.
All pictures are compared at 128×64, values 0..1.
"""

import argparse
import json

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reidapp.metrics import evaluate_ranking
from training.data.datasets import Record, load_dataset

SIZE = (64, 128)  # width, height
RIM = 10  # columns at either side that show the background more than the person
STRIPES = 8
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", metavar="KIND:DIR")
    parser.add_argument("--people", type=int, default=250, help="people to look at, drawn by chance")
    options = parser.parse_args()
    result = {spec.partition(":")[0]: statistics(load_dataset(spec).train, options.people) for spec in options.data}
    print(json.dumps({"benchmark": "crop_statistics", "data": result}, indent=1))


def statistics(records: list[Record], people: int) -> dict[str, object]:
    """Numbers of the crops of some people: of each measure the mean over all images, the standard deviations over
    images within a camera and over the cameras' means; and how well colours alone find people in other cameras.
    """
    pids = np.unique([r.pid for r in records])
    chosen = set(np.random.default_rng(SEED).permutation(pids)[:people].tolist())
    records = [r for r in records if r.pid in chosen]
    pictures = [_read(r) for r in records]
    cameras = np.array([r.camid for r in records])
    rows = [measures(picture) for picture in pictures]
    numbers: dict[str, object] = {"images": len(records), "people": len(chosen), "cameras": len(np.unique(cameras))}
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        means = {camera: values[cameras == camera].mean() for camera in np.unique(cameras)}
        numbers[name] = {
            "mean": round(float(values.mean()), 4),
            "within_camera": round(float((values - np.array([means[c] for c in cameras])).std()), 4),
            "across_cameras": round(float(np.std(list(means.values()))), 4),
        }
    features, pids = _histograms(pictures), np.array([r.pid for r in records])
    asks = np.unique(np.stack([pids, cameras]), axis=1, return_index=True)[1]  # the first of each person and camera
    scores = evaluate_ranking(features[asks], pids[asks], cameras[asks], features, pids, cameras)
    return numbers | {"colour_histogram": {"rank1": round(scores.rank1, 4), "mAP": round(scores.mAP, 4)}}


def measures(picture: NDArray[np.uint8]) -> dict[str, float]:
    """What one RGB crop measures."""
    x = picture.astype(np.float32) / 255
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    edges = cv2.Canny(grey, 60, 150) > 0
    detail = np.abs(cv2.Laplacian(grey.astype(np.float32) / 255, cv2.CV_32F))
    rim = np.r_[0:RIM, SIZE[0] - RIM : SIZE[0]]
    red, green, blue = x.mean((0, 1))
    return {
        "detail": float(detail.mean()),
        "rim_detail": float(detail[:, rim].mean()),
        "edges": float(edges.mean()),
        "rim_edges": float(edges[:, rim].mean()),
        "brightness": float(grey.mean() / 255),
        "contrast": float(grey.std() / 255),
        "saturation": float(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)[..., 1].mean() / 255),
        "red": float(red),
        "green": float(green),
        "blue": float(blue),
        "rim_brightness": float(grey[:, rim].mean() / 255),
        "middle_minus_rim": float(grey[:, 22:42].mean() / 255 - grey[:, rim].mean() / 255),
    }


def _read(record: Record) -> NDArray[np.uint8]:
    with Image.open(record.path) as picture:
        return np.asarray(picture.convert("RGB").resize(SIZE), np.uint8)


def _histograms(pictures: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Hue, saturation and value in horizontal stripes, [N, D], rows of length one."""
    features = []
    for picture in pictures:
        hsv = np.ascontiguousarray(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)[:, 8:-8])
        found = [
            cv2.calcHist([stripe], [channel], None, [16], [0, 256 if channel else 180]).ravel()
            for stripe in np.split(hsv, STRIPES)
            for channel in range(3)
        ]
        features.append(np.sqrt(np.concatenate(found)))
    rows = np.array(features, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
