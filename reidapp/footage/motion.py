"""Which frames show nothing new."""

import cv2
import numpy as np

_HEIGHT = 90  # of the picture that is compared: a person is some ten pixels of it, and noise averages out
_DIFFERENT = 10  # grey levels of 255, after what the whole picture has become brighter or darker by
_PIXELS = 6  # of the small picture that must differ; single ones are noise


class Scene:
    """What a camera showed when it was last looked at.

    A frame has changed if it differs from the last one that had: not from the one before it, so that nobody gets by
    unseen however slowly, and not from an average of many, so that a person who stands still changes nothing and does
    not become part of the background. Light that changes slowly and everywhere is no change; if it changes much, the
    frame is looked at once, and compared with from then on.
    """

    def __init__(self) -> None:
        self._seen: np.ndarray | None = None

    def changed(self, image: np.ndarray) -> bool:
        """Whether a frame has to be looked at; to be asked in order of time.

        Args:
            image: RGB uint8 ``[H, W, 3]``.
        """
        height, width = image.shape[:2]
        small = cv2.resize(image, (max(1, round(width * _HEIGHT / height)), _HEIGHT), interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
        if self._seen is not None and grey.shape == self._seen.shape:
            difference = grey - self._seen
            difference -= np.median(difference)
            if np.count_nonzero(np.abs(difference) > _DIFFERENT) < _PIXELS:
                return False
        self._seen = grey
        return True
