"""A surveillance camera's video for benchmarks: 1080p at 25 frames a second, a keyframe every two seconds."""

import tempfile
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from training.data.synthetic.footage import write_footage

WIDTH, HEIGHT, FPS, GOP = 1920, 1080, 25, 50
_PEOPLE, _NOISE, _BITS_PER_S = 6, 3.0, 4_000_000  # noise: standard deviation, in grey levels


def write_camera_video(path: Path, seconds: int, seed: int = 0) -> None:
    """H.264 in MP4 as recorders write it (no B-frames): generated people walking, enlarged, with a sensor's noise.

    People are drawn for 30 seconds at 5 frames a second; longer videos show them again, and each frame five times,
    with other noise.
    """
    noise = np.random.default_rng(seed).normal(0, _NOISE, (HEIGHT + 64, WIDTH + 64, 1)).astype(np.int8)
    frames = people(seed)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = _BITS_PER_S
        stream.options = {"preset": "superfast", "bf": "0", "g": str(GOP), "sc_threshold": "0"}
        for number in range(seconds * FPS):
            if number % 5 == 0:
                drawn = cv2.resize(frames[number // 5 % len(frames)], (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
            x, y = number * 29 % 64, number * 43 % 64
            noisy = np.clip(drawn + noise[y : y + HEIGHT, x : x + WIDTH].astype(np.int16), 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(noisy, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def people(seed: int = 0) -> list[np.ndarray]:
    """Thirty seconds of them, at 5 frames a second: RGB uint8 ``[360, 640, 3]`` each."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "footage"
        written = write_footage(out, cameras=1, people=_PEOPLE, seconds=30, seed=seed, fps=5, workers=1)
        with av.open(str(written.videos[0])) as container:
            return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
