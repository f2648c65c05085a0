from collections.abc import Sequence

import numpy as np
import pytest

from reidapp.footage import analysis
from reidapp.footage.decoding import Frame
from reidapp.footage.detection import Detection


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(1080, 1920, [8, 2]), (2160, 3840, [8, 2]), (5000, 9000, [1] * 10)]
)
def test_large_frames_come_fewer_at_a_time(height: int, width: int, expected: list[int]) -> None:
    batches = []

    class Counting:
        provider = "none"

        def detect(self, frames: Sequence[np.ndarray]) -> list[list[Detection]]:
            batches.append(len(frames))
            return [[] for _ in frames]

    image = np.broadcast_to(np.zeros(3, np.uint8), (height, width, 3))
    looks = list(analysis._looks([Frame(i / 2, image) for i in range(10)], None, Counting(), None, None))
    assert [look.time_s for look in looks] == [i / 2 for i in range(10)]
    assert batches == expected
