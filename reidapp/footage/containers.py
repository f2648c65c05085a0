"""What a recording's bytes say of its container, before FFmpeg is asked: which one it is, and how long it should be."""

from pathlib import Path

_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"mfra", b"sidx", b"free", b"skip", b"wide", b"udta"})
_SURE_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"udta"})  # FFmpeg takes nothing that begins so for anything else
_JPEG_BRANDS = frozenset({b"jp2 ", b"jpx ", b"jxl "})
_FIRST_LOOK = 2048  # bytes, by which FFmpeg decides what it is sure of
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"  # ids of Matroska's outermost elements


def declared_size(path: Path) -> int:
    """Bytes that a file should have at least, by its outermost boxes; 0 where these have no lengths.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head, end = file.read(16), 0
        if head.startswith(_EBML):
            after, length = _ebml_length(head, len(_EBML))
            file.seek(segment := after + length)
            head = file.read(16).ljust(16, b"\0")
            if head.startswith(_SEGMENT):
                after, length = _ebml_length(head, len(_SEGMENT))
                end = segment + after + length
        else:
            while (length := _box_length(head)) >= 8:
                end += length
                file.seek(end)
                head = file.read(16)
        return end


def may_be_transport_stream(path: Path) -> bool:
    """Whether a file does not surely begin as MP4, AVI or Matroska.

    FFmpeg finds transport streams behind anything else, such as a box that is rarely the first, or half a header.
    """
    with path.open("rb") as file:
        head = file.read(_FIRST_LOOK)
    if head.startswith(_EBML):
        return not _is_matroska(head)
    if head.startswith(b"RIFF"):
        return head[8:12] != b"AVI "
    sure = head[4:8] in _SURE_BOXES and _box_length(head) >= 16 and head[8:12] not in _JPEG_BRANDS
    return not sure or b"mhlrMPEG" in head  # a program stream that is packed in a movie


def _is_matroska(head: bytes) -> bool:
    """Whether a header that knows its length says so."""
    if not any(head[4:5]):  # no length
        return False
    after, length = _ebml_length(head, len(_EBML))
    header = head[after : after + length]
    return len(header) == length and (b"matroska" in header or b"webm" in header)


def _box_length(head: bytes) -> int:
    """Of a box of MP4, or a part of AVI, that begins so; 0 if it is none, or reaches to the end of the file."""
    if head[:4] == b"RIFF":
        return 8 + int.from_bytes(head[4:8], "little")
    if head[4:8] not in _BOXES:
        return 0
    length = int.from_bytes(head[:4], "big")
    return int.from_bytes(head[8:16], "big") if length == 1 else length


def _ebml_length(head: bytes, place: int) -> tuple[int, int]:
    """Where the length of an element that stands at a place ends, and the length; 0 if the element does not know it."""
    width = 9 - head[place].bit_length()
    length = int.from_bytes(head[place : place + width], "big") & ((1 << 7 * width) - 1)
    return place + width, 0 if length == (1 << 7 * width) - 1 else length
