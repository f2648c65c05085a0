import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reidapp.box import Box
from reidapp.errors import UserError
from reidapp.imaging import cut, decode_crop, encode_crop, read_image, resize

# Red, green, blue and white quarters: any turn or swap of channels shows.
QUARTERS = np.zeros((40, 24, 3), np.uint8)
QUARTERS[:20, :12], QUARTERS[:20, 12:], QUARTERS[20:, :12], QUARTERS[20:, 12:] = (
    (220, 20, 20), (20, 200, 20), (20, 20, 220), (240, 240, 240)
)  # fmt: skip


def saved(image: np.ndarray | Image.Image, kind: str = "PNG", **options: object) -> io.BytesIO:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return io.BytesIO(buffer.getvalue())


def refused(source: Path | io.BytesIO, name: str | None = None) -> str:
    with pytest.raises(UserError) as error:
        read_image(source, name)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_kinds(kind: str, options: dict[str, object]) -> None:
    image = read_image(saved(QUARTERS, kind, **options))
    assert image.dtype == np.uint8
    assert np.abs(image[5::10, 6::12].astype(int) - QUARTERS[5::10, 6::12]).max() <= 6


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK"])
def test_colour_modes(mode: str) -> None:
    picture = Image.fromarray(QUARTERS).convert(mode, palette=Image.Palette.ADAPTIVE)
    image = read_image(saved(picture, "TIFF"))
    assert image.shape == QUARTERS.shape
    assert np.abs(image.astype(int) - QUARTERS).max() <= 3


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_grey_of_8_and_16_bits(kind: str) -> None:
    grey = np.linspace(0, 255, 40 * 24).astype(np.uint8).reshape(40, 24)
    wanted = np.repeat(grey[..., None], 3, 2)
    np.testing.assert_array_equal(read_image(saved(grey, kind)), wanted)
    np.testing.assert_array_equal(read_image(saved(grey.astype(np.uint16) * 257, kind)), wanted)


def test_black_and_white() -> None:
    assert np.unique(read_image(saved(Image.fromarray(QUARTERS).convert("1")))).tolist() == [0, 255]


@pytest.mark.parametrize(
    ("orientation", "shown"),
    [
        (1, QUARTERS),
        (2, QUARTERS[:, ::-1]),
        (3, QUARTERS[::-1, ::-1]),
        (6, np.rot90(QUARTERS, -1)),
        (8, np.rot90(QUARTERS, 1)),
    ],
)
def test_exif_turns_a_picture_upright(orientation: int, shown: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(read_image(saved(QUARTERS, "PNG", exif=exif)), shown)


def test_what_is_no_image(tmp_path: Path) -> None:
    for name, data in (("empty.jpg", b""), ("notes.png", b"hello\n" * 100), ("drawing.eps", EPS)):
        path = tmp_path / name
        path.write_bytes(data)
        assert refused(path) == f"{path}: not an image (JPEG, PNG, WebP, BMP or TIFF expected)"
    assert refused(tmp_path / "gone.jpg") == f"{tmp_path / 'gone.jpg'}: no such image file"
    assert refused(tmp_path) == f"{tmp_path}: no such image file"
    assert refused(io.BytesIO(b""), "upload").startswith("upload: not an image")


# Pillow would hand this to Ghostscript.
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_cut_off(kind: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = saved(noise, kind).getvalue()
    message = refused(io.BytesIO(data[: int(len(data) * share)]), "half.img")
    assert message.startswith(("half.img: a damaged image", "half.img: not an image"))


def png_of(width: int, height: int) -> io.BytesIO:
    """A PNG with one bit per pixel, all black."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(1)
    row = bytes(1 + (width + 7) // 8)
    pixels = b"".join(packer.compress(row * 100) for _ in range(height // 100)) + packer.flush()
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", pixels) + part(b"IEND", b""))


@pytest.mark.parametrize("side", [8_000, 20_000])
def test_far_too_large_is_refused_before_decoding(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = png_of(side, side)

    def decode(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decode)
    message = refused(picture, "huge.png")
    assert message == f"huge.png: {side}×{side} pixels; at most 50 megapixels. Make it smaller first"
    assert Image.MAX_IMAGE_PIXELS  # Pillow's own limit still holds elsewhere


def test_resize_shrinks_without_aliasing() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.unique(resize(stripes, 16, 16)).tolist() == [100]
    assert resize(stripes, 128, 32).shape == (128, 32, 3)


def test_cut_is_a_view_of_the_box() -> None:
    image = QUARTERS.copy()
    part = cut(image, Box(0.5, 0.5, 1.0, 1.0))
    np.testing.assert_array_equal(part, image[20:, 12:])
    assert np.shares_memory(part, image)
    assert cut(image, Box(0.99, 0.99, 1.5, 1.5)).shape == (1, 1, 3)


def test_crops_are_stored_small_and_true() -> None:
    crop = resize(QUARTERS, 800, 400)
    data = encode_crop(crop)
    assert Image.open(io.BytesIO(data)).format == "WEBP"
    back = decode_crop(data)
    assert back.shape == (384, 192, 3)
    assert np.abs(back.astype(int) - resize(crop, 384, 192)).mean() < 3
    assert decode_crop(encode_crop(QUARTERS)).shape == QUARTERS.shape
    assert decode_crop(encode_crop(QUARTERS[:1, :1])).shape == (1, 1, 3)
    assert encode_crop(QUARTERS[:, ::-1]) == encode_crop(QUARTERS[:, ::-1].copy())
