"""Seconds of 1080p25 video (a keyframe every two seconds) that are decoded in a second.

    python -m benchmarks.decoding [--seconds 120] [--repeats 3] > docs/results/decoding.json

Frames that are taken become RGB arrays; nothing is done with them. "every frame" and "every 5th" are plain loops: PyAV
with its threads, and OpenCV with grab, and retrieve of each 5th. "ours" is what indexing does: one chunk of the video
on each core, in one thread. `wall` counts seconds on the clock, `processor` those of all cores together. The candidates
take turns; numbers are medians. Reach: keyframes at least 12 times real time, 2 fps at least 4 times.

More than this cannot be left out: without B-frames each frame refers to the one before it, so of the 50 from keyframe
to keyframe the first 39 have to be decoded for samples at 0, 0.5, 1 and 1.5 s. That takes 70 % of what decoding all
takes, and what else a plain loop spends is the conversion to RGB of every frame.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import cv2

from benchmarks.camera_video import FPS, GOP, HEIGHT, WIDTH, write_camera_video
from benchmarks.machine import machine, turns
from reidapp.footage.decoding import frames
from reidapp.footage.pipeline import cores, in_order

EVERY = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=120, help="length of the video")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "camera.mp4"
        write_camera_video(path, arguments.seconds)
        costs = turns(arguments.repeats, candidates(path, arguments.seconds))
    result = {
        "benchmark": "decoding",
        "command": "python -m benchmarks.decoding " + " ".join(sys.argv[1:]),
        "video": f"{WIDTH}x{HEIGHT}, {FPS} fps, GOP {GOP}, {arguments.seconds} s",
        "reach": "times real time by wall: ours keyframes 12, ours 2 fps 4",
        "times_real_time": {
            name: {
                "wall": round(arguments.seconds / cost.wall_s, 2),
                "processor": round(arguments.seconds / cost.processor_s, 2),
            }
            for name, cost in costs.items()
        },
        "machine": machine(),
    }
    print(json.dumps(result, indent=2, ensure_ascii=False))


def candidates(path: Path, seconds: int) -> dict[str, Callable[[], object]]:
    return {
        "PyAV every frame": lambda: by_pyav(path, 1),
        f"PyAV every {EVERY}th": lambda: by_pyav(path, EVERY),
        f"OpenCV every {EVERY}th": lambda: by_opencv(path, EVERY),
        "ours 2 fps": lambda: ours(path, seconds, 2.0, False),
        "ours keyframes": lambda: ours(path, seconds, 2.0, True),
    }


def by_pyav(path: Path, every: int) -> None:
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for number, frame in enumerate(container.decode(video=0)):
            if number % every == 0:
                frame.to_ndarray(format="rgb24")


def by_opencv(path: Path, every: int) -> None:
    video, number = cv2.VideoCapture(os.fspath(path)), 0
    while video.grab():
        if number % every == 0:
            cv2.cvtColor(video.retrieve()[1], cv2.COLOR_BGR2RGB)
        number += 1


def ours(path: Path, seconds: int, fps: float, keyframes: bool) -> None:
    chunk_s = seconds / cores()

    def read(number: int, check: Callable[[], None]) -> None:
        for _ in frames(path, number * chunk_s, (number + 1) * chunk_s, fps, keyframes, threads=1):
            pass

    in_order(read, range(cores()), cores(), lambda number, result: result())


if __name__ == "__main__":
    main()
