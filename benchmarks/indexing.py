"""Seconds of 1080p25 video (a keyframe every two seconds) that become a gallery in a second, beside a plain loop.

    python -m benchmarks.indexing [--detector hog | yolox:PATH] [--seconds 120] > docs/results/indexing.json

The plain loop reads with OpenCV, runs the same detector, and embeds one crop at a time with the same model, each with
all cores; it stores nothing and tracks nobody. "every frame" looks at each, "2 fps" at each 12th. Ours is `reidapp
index`: tracklets, best shots, vectors and rows, flushed to disk. The candidates take turns; numbers are medians. Reach,
in times of real time: ours at 2 fps 3; 3 times the loop on every frame, 1.5 times the loop at 2 fps; keyframes 10.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2

from benchmarks.camera_video import FPS, GOP, HEIGHT, WIDTH, write_camera_video
from benchmarks.galleries import index_into, new_gallery
from benchmarks.machine import machine, turns, without_folder
from models import zoo
from reidapp.embedding import Embedder
from reidapp.footage.detection import open_detector
from reidapp.imaging import cut


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", default="hog")
    parser.add_argument("--seconds", type=int, default=120, help="length of the video")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "footage").mkdir()
        write_camera_video(folder / "footage" / "camera.mp4", arguments.seconds)
        costs = turns(arguments.repeats, candidates(folder, arguments.detector))
    wall = {name: arguments.seconds / cost.wall_s for name, cost in costs.items()}
    result = {
        "benchmark": "indexing",
        "command": "python -m benchmarks.indexing " + " ".join(without_folder(word) for word in sys.argv[1:]),
        "video": f"{WIDTH}x{HEIGHT}, {FPS} fps, GOP {GOP}, {arguments.seconds} s",
        "times_real_time": {name: round(times, 2) for name, times in wall.items()},
        "processor_s": {name: round(cost.processor_s, 2) for name, cost in costs.items()},
        "ours_2fps_by_every_frame": round(wall["ours 2fps"] / wall["plain every frame"], 2),
        "ours_2fps_by_plain_2fps": round(wall["ours 2fps"] / wall["plain 2 fps"], 2),
        "reach": "ours 2fps 3 times real time, 3 times plain every frame, 1.5 times plain 2 fps; keyframes 10",
        "machine": machine(),
    }
    print(json.dumps(result, indent=2, ensure_ascii=False))


def candidates(folder: Path, detector: str) -> dict[str, Callable[[], object]]:
    return {
        "plain every frame": lambda: plain(folder / "footage" / "camera.mp4", detector, 1),
        "plain 2 fps": lambda: plain(folder / "footage" / "camera.mp4", detector, FPS // 2),
        "ours 2fps": lambda: ours(folder, detector, "2fps"),
        "ours motion": lambda: ours(folder, detector, "motion"),
        "ours keyframes": lambda: ours(folder, detector, "keyframes"),
    }


def plain(path: Path, detector: str, every: int) -> None:
    finder, embedder = open_detector(detector), Embedder(zoo.path_of(zoo.DEFAULT), batch=1)
    video, number, embeddings = cv2.VideoCapture(os.fspath(path)), 0, []
    while video.grab():
        if number % every == 0:
            image = cv2.cvtColor(video.retrieve()[1], cv2.COLOR_BGR2RGB)
            (people,) = finder.detect([image])
            embeddings += [embedder.embed([cut(image, person.box)]) for person in people]
        number += 1


def ours(folder: Path, detector: str, sampling: str) -> None:
    finder = open_detector(detector, threads=1)
    gallery, embedder = new_gallery(folder / "gallery", threads=1)
    try:
        index_into(gallery, embedder, folder / "footage", finder, sampling)
    finally:
        gallery.engine.dispose()
        shutil.rmtree(folder / "gallery")


if __name__ == "__main__":
    main()
