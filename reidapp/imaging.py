"""Pictures in and out: reading what users give, cutting crops, and the one resize that training and serving share."""

import io
import threading
import warnings
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from reidapp.box import Box
from reidapp.errors import UserError

MAX_PIXELS = 50_000_000
# Pillow knows more, some of which run other programs (EPS).
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})

# The card's name for `resize`: area averaging when the image shrinks (no aliasing), linear when it grows.
RESIZE_RULE = "area-linear"


def is_picture(path: Path) -> bool:
    """Whether a file is called like a picture."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def read_image(source: Path | BinaryIO, name: str | None = None) -> np.ndarray:
    """An image file as RGB, upright.

    Args:
        source: a path or an open binary file.
        name: what errors call it; the path by default.

    Returns:
        uint8 ``[H, W, 3]``, EXIF rotation applied.

    Raises:
        UserError: not there, not an image, empty, cut off, or larger than 50 megapixels (checked before decoding).
    """
    name = name or (str(source) if isinstance(source, Path) else "image")
    if isinstance(source, Path) and not source.is_file():
        raise UserError(f"{name}: no such image file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is raised
            with _open(source) as picture:
                width, height = picture.size
                if width * height > MAX_PIXELS:
                    limit = MAX_PIXELS // 1_000_000
                    raise UserError(
                        f"{name}: {width}×{height} pixels; at most {limit} megapixels. Make it smaller first"
                    )
                rgb = _rgb(ImageOps.exif_transpose(picture))
    except UnidentifiedImageError as error:
        raise UserError(f"{name}: not an image (JPEG, PNG, WebP, BMP or TIFF expected)") from error
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's ways of saying that a file is damaged
        raise UserError(f"{name}: a damaged image ({error})") from error
    if rgb.size == 0:
        raise UserError(f"{name}: an empty image (0 pixels)")
    return rgb


_opening = threading.Lock()


def _open(source: Path | BinaryIO) -> Image.Image:
    """Read the header alone, without Pillow's own limit, which is a higher one and does not tell the size."""
    with _opening:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(source, formats=_FORMATS)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _rgb(picture: Image.Image) -> np.ndarray:
    if picture.mode.startswith("I"):  # 16 bits; Pillow would cut off all that is brighter than 255
        grey = np.clip(np.asarray(picture, np.int64) // 257, 0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.array(picture.convert("RGB"))


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a uint8 image ``[h, w, 3]`` to ``[height, width, 3]``; the aspect ratio is not kept."""
    shrinks = height * width < image.shape[0] * image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def cut(image: np.ndarray, box: Box) -> np.ndarray:
    """The part of an image ``[H, W, 3]`` inside a box; a view, not a copy."""
    x1, y1, x2, y2 = box.pixels(*image.shape[:2])
    return image[y1:y2, x1:x2]


def as_stored(crop: np.ndarray, max_height: int = 384) -> np.ndarray:
    """A crop ``[h, w, 3]``, at most ``max_height`` pixels high."""
    if crop.shape[0] <= max_height:
        return crop
    return resize(crop, max_height, max(1, round(crop.shape[1] * max_height / crop.shape[0])))


def encode_crop(crop: np.ndarray, quality: int = 92) -> bytes:
    """A crop as stored in a gallery: WebP, at most 384 pixels high.

    Args:
        crop: RGB uint8 ``[h, w, 3]``.
    """
    buffer = io.BytesIO()
    Image.fromarray(as_stored(crop)).save(buffer, "WEBP", quality=quality, method=2)
    return buffer.getvalue()


def decode_crop(data: bytes) -> np.ndarray:
    """The stored bytes of a crop as RGB uint8 ``[h, w, 3]``."""
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))
