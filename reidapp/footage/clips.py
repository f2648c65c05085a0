"""A part of a recording as a file of its own that every browser plays: H.264 in MP4, without sound."""

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from reidapp.errors import UserError
from reidapp.footage.decoding import Frame, frames, probe

_TIME_BASE = Fraction(1, 90_000)
_CONTAINER = {"movflags": "+faststart"}
_OPTIONS = {"preset": "veryfast", "crf": "21"}


def write_clip(
    source: Path,
    target: Path,
    start_s: float,
    end_s: float,
    change: Callable[[Frame], np.ndarray] = lambda frame: frame.image,
) -> None:
    """Write the frames with ``start_s`` ≤ time < ``end_s``, each at its own time; the first one is at 0 in the clip.

    Args:
        target: whole, or not there.
        change: what is shown instead of a frame, RGB uint8 ``[H, W, 3]`` as that.

    Raises:
        UserError: the recording cannot be read, or has no frame in between.
    """
    half_made = target.with_name(f"{target.name}.new")
    begin: float | None = None
    last = -1
    try:
        with av.open(str(half_made), "w", format="mp4", options=_CONTAINER) as container:
            stream: Any = container.add_stream("libx264", rate=round(probe(source).frame_rate) or 1, options=_OPTIONS)
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = _TIME_BASE
            for frame in frames(source, start_s, end_s, None):
                if begin is None:
                    begin = frame.time_s
                    stream.height, stream.width = (max(side // 2 * 2, 2) for side in frame.image.shape[:2])
                at = round((frame.time_s - begin) / _TIME_BASE)
                if at <= last:
                    continue  # of the same moment, as a damaged recording says
                last = at
                shown = np.ascontiguousarray(change(frame)[: stream.height, : stream.width])
                picture = av.VideoFrame.from_ndarray(shown, "rgb24")
                picture.pts, picture.time_base = at, _TIME_BASE
                container.mux(stream.encode(picture))
            if begin is None:
                raise UserError(f"{source.name}: no frame in it between {start_s:.1f} and {end_s:.1f} s")
            container.mux(stream.encode())
        os.replace(half_made, target)
    finally:
        half_made.unlink(missing_ok=True)
