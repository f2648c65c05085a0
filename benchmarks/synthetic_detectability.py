"""How many of the people in generated footage do common detectors find?

    python benchmarks/synthetic_detectability.py FOOTAGE [--yolox yolox_nano_416x416.onnx] [--every 5] [--scale 1.0]

Counts people of the truth who are at least 100 pixels tall and at least 95 % visible, in every n-th frame; one is
found when a detection overlaps its box with an intersection over union of 0.4 or more. Prints one JSON object.
"""

import argparse
import csv
import json
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np

from reidapp.box import Box

Detect = Callable[[np.ndarray], list[Box]]


def hog_detector(scale: float) -> Detect:
    """OpenCV's default people detector on the frame enlarged by ``scale``; boxes less its margin."""
    hog = cv2.HOGDescriptor()
    hog.setSVMDetector(np.array(cv2.HOGDescriptor.getDefaultPeopleDetector(), np.float32))

    def detect(frame: np.ndarray) -> list[Box]:
        height, width = frame.shape[:2]
        big = cv2.resize(frame, None, fx=scale, fy=scale) if scale != 1.0 else frame
        boxes, _ = hog.detectMultiScale(big, winStride=(8, 8), padding=(8, 8), scale=1.05)
        found = []
        for x, y, w, h in np.asarray(boxes, float).reshape(-1, 4) / scale:
            found.append(
                Box((x + 0.15 * w) / width, (y + 0.07 * h) / height, (x + 0.85 * w) / width, (y + 0.95 * h) / height)
            )
        return found

    return detect


def reidapp_detector() -> Detect:
    """The detector that indexing uses by default."""
    from reidapp.footage.detection.hog import Hog

    hog = Hog()
    return lambda frame: [found.box for found in hog.detect([np.ascontiguousarray(frame[..., ::-1])])[0]]


def yolox_detector(path: Path, score: float = 0.3, overlap: float = 0.5) -> Detect:
    """A YOLOX model as published: letterboxed BGR 0–255, raw grid output."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    side = session.get_inputs()[0].shape[2]
    grids, strides = [], []
    for stride in (8, 16, 32):
        count = side // stride
        y, x = np.mgrid[:count, :count]
        grids.append(np.stack([x.ravel(), y.ravel()], axis=1))
        strides.append(np.full((count * count, 1), stride))
    grid, step = np.concatenate(grids), np.concatenate(strides)

    def detect(frame: np.ndarray) -> list[Box]:
        height, width = frame.shape[:2]
        ratio = side / max(height, width)
        canvas = np.full((side, side, 3), 114, np.uint8)
        small = cv2.resize(frame, (round(width * ratio), round(height * ratio)))
        canvas[: small.shape[0], : small.shape[1]] = small
        raw = session.run(None, {"images": canvas.transpose(2, 0, 1)[None].astype(np.float32)})[0][0]
        centre, size = (raw[:, :2] + grid) * step, np.exp(raw[:, 2:4]) * step
        person = raw[:, 4] * raw[:, 5]
        corners = (centre - size / 2) / ratio
        kept = cv2.dnn.NMSBoxes(
            np.concatenate([corners, size / ratio], axis=1).tolist(), person.tolist(), score, overlap
        )
        found = []
        for k in np.asarray(kept).ravel():
            (x, y), (w, h) = corners[k], size[k] / ratio
            found.append(Box(x / width, y / height, (x + w) / width, (y + h) / height).clipped())
        return found

    return detect


def truth_by_frame(footage: Path) -> dict[tuple[str, int], list[tuple[Box, float]]]:
    """Boxes and visible shares for each (video, milliseconds)."""
    found = defaultdict(list)
    with (footage / "truth.csv").open() as file:
        for row in csv.DictReader(file):
            box = Box(*(float(row[name]) for name in ("x1", "y1", "x2", "y2")))
            found[row["video"], round(float(row["pts_s"]) * 1000)].append((box, float(row["visible"])))
    return found


def measure(footage: Path, detectors: dict[str, Detect], every: int) -> dict[str, dict[str, float]]:
    """Recall and false detections per frame for each detector."""
    truth = truth_by_frame(footage)
    counts = {name: {"people": 0, "found": 0, "false": 0, "frames": 0} for name in detectors}
    for video in sorted({key[0] for key in truth}):
        with av.open(str(footage / video)) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if number % every == 0:
                    people = truth.get((video, round(float(frame.time or 0) * 1000)), [])
                    _count(frame.to_ndarray(format="bgr24"), people, detectors, counts)
    return {
        name: {
            **count,
            "recall": round(count["found"] / max(count["people"], 1), 4),
            "false_per_frame": round(count["false"] / max(count["frames"], 1), 4),
        }
        for name, count in counts.items()
    }


def _count(
    frame: np.ndarray, people: list[tuple[Box, float]], detectors: dict[str, Detect], counts: dict[str, dict[str, int]]
) -> None:
    wanted = [box for box, visible in people if visible >= 0.95 and box.height * frame.shape[0] >= 100]
    for name, detect in detectors.items():
        detections = detect(frame)
        counts[name]["frames"] += 1
        counts[name]["people"] += len(wanted)
        counts[name]["found"] += sum(any(d.iou(box) >= 0.4 for d in detections) for box in wanted)
        counts[name]["false"] += sum(all(d.iou(box) < 0.2 for box, _ in people) for d in detections)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("footage", type=Path)
    parser.add_argument("--yolox", type=Path)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--scale", type=float, nargs="*", default=[1.0])
    parser.add_argument("--seed", type=int, help="seed that the footage was made with, to be told in the result")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    detectors = {f"hog x{scale:g}": hog_detector(scale) for scale in options.scale}
    detectors["reidapp hog"] = reidapp_detector()
    if options.yolox:
        detectors[re.sub(r"_\d.*", "", options.yolox.stem)] = yolox_detector(options.yolox)
    result = {
        "seed": options.seed,
        "every": options.every,
        "detectors": measure(options.footage, detectors, options.every),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
