"""Memory and time while two hours of video are indexed: the peak of all against the peak of the first ten minutes.

    python -m benchmarks.indexing_memory [--detector hog | yolox:PATH] > docs/results/indexing_memory.json

One small video (320×180, 5 frames a second, generated people all the time), one frame a second, chunks of a minute.
Reach: the peak at the end at most 1.1 times that after ten minutes; what the process held before is part of both.
`taken` says what the processor took to so many seconds of video, all threads together.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from benchmarks.camera_video import people
from benchmarks.galleries import new_gallery
from benchmarks.machine import machine, resident_mb, without_folder
from reidapp.footage.detection import open_detector
from reidapp.footage.indexing import find_footage, index_footage
from reidapp.settings import IndexSettings

WIDTH, HEIGHT, FPS = 320, 180, 5
EARLY_S = 600.0
MARKS_S = (600, 1200, 2400, 3600, 7200)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", default="hog")
    parser.add_argument("--minutes", type=int, default=120, help="length of the video")
    arguments = parser.parse_args()
    finder = open_detector(arguments.detector, threads=1)
    held: list[tuple[float, float, float]] = []  # seconds of video done, megabytes, seconds of the processor
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "footage").mkdir()
        write_long_video(folder / "footage" / "camera.mp4", arguments.minutes * 60)
        settings = IndexSettings(zone="UTC", sampling="1fps", detector=arguments.detector)
        gallery, embedder = new_gallery(folder / "gallery", threads=1)
        footage = find_footage(folder / "footage", settings)

        def watch(done: float, total: float, name: str) -> None:
            held.append((done, resident_mb(), time.process_time() - began))

        began = time.process_time()
        report = index_footage(footage, gallery, embedder, finder, settings, watch)
    early, peak = max(mb for done, mb, _ in held if done <= EARLY_S), max(mb for _, mb, _ in held)
    result = {
        "benchmark": "indexing_memory",
        "command": "python -m benchmarks.indexing_memory " + " ".join(without_folder(word) for word in sys.argv[1:]),
        "reach": "times 1.1",
        "video_s": round(report.video_s),
        "tracklets": report.tracklets,
        "peak_mb": {"after 10 min": round(early, 1), "at the end": round(peak, 1)},
        "times": round(peak / early, 3),
        "taken": taken_at(held),
        "machine": machine(),
    }
    print(json.dumps(result, indent=2, ensure_ascii=False))


def taken_at(held: Sequence[tuple[float, float, float]]) -> list[dict[str, float]]:
    """When each mark that the video reaches was first passed; the last of what is done counts as its end."""
    last = held[-1][0]
    passed = (next(each for each in held if each[0] >= min(mark, last)) for mark in MARKS_S)
    return [{"video_s": round(done), "processor_s": round(taken, 1)} for done, _, taken in dict.fromkeys(passed)]


def write_long_video(path: Path, seconds: int) -> None:
    drawn: list[np.ndarray] = [cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for frame in people()]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "24", "g": str(2 * FPS)}
        for number in range(seconds * FPS):
            frame = av.VideoFrame.from_ndarray(drawn[number % len(drawn)], "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


if __name__ == "__main__":
    main()
