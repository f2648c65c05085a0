"""Small videos in which every frame carries its number as a pattern of black and white blocks."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer

HEIGHT, WIDTH, _BLOCK = 64, 128, 32  # two rows of four blocks: eight bits


def picture(number: int) -> np.ndarray:
    """RGB uint8 ``[64, 128, 3]``."""
    bits = np.unpackbits(np.array([number], np.uint8)).reshape(2, 4)
    grey = (30 + 190 * bits).repeat(_BLOCK, 0).repeat(_BLOCK, 1).astype(np.uint8)
    return np.repeat(grey[..., None], 3, 2)


def number_of(image: np.ndarray) -> int:
    """The number that a decoded frame carries; fails where its pattern is blurred by another frame's."""
    blocks = image.reshape(2, _BLOCK, 4, _BLOCK, 3).mean((1, 3, 4))
    assert np.all((blocks < 60) | (blocks > 190)), f"no clear pattern: {blocks.round()}"
    return int(np.packbits(blocks > 125)[0])


def write_numbered(
    path: Path,
    times_s: Sequence[float],
    gop: int = 10,
    b_frames: int = 2,
    ticks: int = 1000,
    options: dict[str, str] | None = None,
    codec: str = "libx264",
    x26x: str = "",
    sound_s: float = 0.0,
) -> None:
    """A video in whatever container the suffix names, with one frame at each time.

    Args:
        gop: frames from one keyframe to the next.
        b_frames: between two others; frames are then stored in another order than shown.
        ticks: of the clock that times are rounded to, in a second.
        options: of the container.
        codec: libx264, libx265, mpeg4 or mjpeg.
        x26x: more of the encoder's parameters, each after a colon.
        sound_s: of silence, from time 0 on.
    """
    with av.open(str(path), "w", options=options or {}) as container:
        stream: Any = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, ticks)
        if codec.startswith("libx26"):
            fixed = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes={b_frames}:b-adapt=0:log-level=none" + x26x
            stream.options = {f"{codec[3:]}-params": fixed, "crf": "18", "threads": "1"}
        else:
            stream.codec_context.gop_size, stream.codec_context.max_b_frames = gop, b_frames
            stream.codec_context.bit_rate = 4_000_000
        if sound_s:
            write_silence(container, sound_s)
        for number, time_s in enumerate(times_s):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts, frame.time_base = round(time_s * ticks), Fraction(1, ticks)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_silence(container: OutputContainer, seconds: float) -> None:
    """A track of sound, before anything else is written."""
    stream: Any = container.add_stream("aac", rate=16000, layout="mono")
    silence = av.AudioFrame.from_ndarray(np.zeros((1, round(seconds * 16000)), np.float32), "fltp", "mono")
    silence.sample_rate, silence.pts, silence.time_base = 16000, 0, Fraction(1, 16000)
    container.mux([*stream.encode(silence), *stream.encode()])
