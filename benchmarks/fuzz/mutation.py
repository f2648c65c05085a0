"""Changes of bytes, numbers and JSON: the ways of AFL, and those that keep a document whole."""

import json
import random
import struct
from typing import Any

_LONGEST = 1 << 17  # bytes; longer inputs are only slower
_NUMBERS = (
    0, 1, 2, 3, 7, 8, 16, 31, 32, 63, 64, 127, 128, 255, 256, 511, 512, 1000, 1024, 4095, 4096, 32767, 32768,
    65535, 65536, 10**6, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1, 2**64 - 1,
)  # fmt: skip
_FLOATS = (0.0, -0.0, 0.5, 1.0, -1.0, 1e-9, 1e9, 1e300, 5e-324, float("nan"), float("inf"), -float("inf"))
TEXTS = (
    "", " ", "\x00", "a\nb", "..", "../../etc/passwd", "/etc/passwd", "%2e%2e%2f", "C:\\x", "~", "a" * 300,
    "é", "e\u0301",
    "\u202e", "\ud7ff", "👩‍🚒", "' OR 1=1 --", '"', "<b>", "${1+1}", "{camera}", "%s", "null", "true", "0", "-1",
    "1e999",
    "NaN", "2026-03-02T10:00:00Z", "2026-03-02T10:00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59",
    "2026-02-30T00:00:00Z", "2026-03-02T10:00:60Z", "P1D", "infinity", "*", "\\", "\x7f", "\ufeff",
)  # fmt: skip


def bytes_changed(data: bytes, other: bytes, draw: random.Random, first: int = 0, most: int = 6) -> bytes:
    """Bits, bytes, numbers and blocks are changed, lost, doubled, or taken from another input.

    Args:
        first: bytes at the beginning that stay.
        most: changes at once.
    """
    changed = bytearray(data)
    for _ in range(draw.randint(1, most)):
        if len(changed) <= first:
            changed += draw.randbytes(draw.randint(1, 16))
            continue
        at = draw.randrange(first, len(changed))
        draw.choice(_WAYS)(changed, at, other, draw)
    return bytes(changed[:_LONGEST])


def _flip(data: bytearray, at: int, other: bytes, draw: random.Random) -> None:
    data[at] ^= 1 << draw.randrange(8)


def _byte(data: bytearray, at: int, other: bytes, draw: random.Random) -> None:
    data[at] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))


def _add(data: bytearray, at: int, other: bytes, draw: random.Random) -> None:
    data[at] = (data[at] + draw.randint(-35, 35)) % 256


def _number(data: bytearray, at: int, other: bytes, draw: random.Random) -> None:
    width, order = draw.choice("BHIQ"), draw.choice("<>")
    size = struct.calcsize(width)
    number = draw.choice(_NUMBERS) * draw.choice((1, 1, 1, -1)) % (1 << 8 * size)
    if at + size <= len(data):
        data[at : at + size] = struct.pack(order + width, number)


def _lose(data: bytearray, at: int, other: bytes, draw: random.Random) -> None:
    del data[at : at + draw.choice((1, 2, 4, 16, 128, 1024))]


def _double(data: bytearray, at: int, other: bytes, draw: random.Random) -> None:
    data[at:at] = data[at : at + draw.choice((1, 4, 16, 128, 1024))] * draw.choice((1, 1, 2, 8))


def _insert(data: bytearray, at: int, other: bytes, draw: random.Random) -> None:
    data[at:at] = draw.randbytes(draw.choice((1, 2, 4, 16)))


def _zero(data: bytearray, at: int, other: bytes, draw: random.Random) -> None:
    size = min(len(data) - at, draw.choice((4, 16, 64, 512)))
    data[at : at + size] = bytes([draw.choice((0, 0, 255))]) * size


def _from_other(data: bytearray, at: int, other: bytes, draw: random.Random) -> None:
    size = draw.choice((4, 16, 128, 1024))
    if other:
        start = draw.randrange(len(other))
        data[at : at + size] = other[start : start + size]


def _cut(data: bytearray, at: int, other: bytes, draw: random.Random) -> None:
    if draw.random() < 0.3:  # else most inputs would be short ones
        del data[at:]


_WAYS = (_flip, _flip, _byte, _byte, _add, _number, _number, _lose, _double, _insert, _zero, _from_other, _cut)


def json_changed(value: Any, draw: random.Random, known: tuple[Any, ...] = ()) -> Any:
    """A document with one of its values replaced, lost, doubled or wrapped.

    Args:
        known: values that mean something to the reader.
    """
    value = json.loads(json.dumps(value))
    places = list(_places(value))
    if not places:
        return odd(draw, known)
    parent, key = draw.choice(places)
    way = draw.randrange(8)
    if way == 0:
        del parent[key]
    elif way == 1:
        parent[key] = [parent[key]] * draw.choice((0, 1, 2, 40))
    elif way == 2 and isinstance(parent, dict):
        parent[str(odd(draw, known))] = parent.pop(key)
    elif way == 3:
        other, of = draw.choice(places)
        parent[key] = json.loads(json.dumps(other[of])) if of in other or isinstance(other, list) else None
    elif way == 4 and isinstance(parent[key], str) and parent[key]:
        text = parent[key]
        at = draw.randrange(len(text))
        parent[key] = text[:at] + draw.choice((*TEXTS, "0", "f", "")) + text[at + draw.randint(0, 3) :]
    elif way == 5 and isinstance(parent[key], int | float) and not isinstance(parent[key], bool):
        parent[key] = parent[key] + draw.choice((-1, 1, 0.5, 1e-9, 1000, -1000))
    else:
        parent[key] = odd(draw, known)
    return value


def odd(draw: random.Random, known: tuple[Any, ...] = ()) -> Any:
    """A value that is seldom meant."""
    kind = draw.randrange(8)
    if known and kind < 3:
        return draw.choice(known)
    return draw.choice(
        [
            draw.choice(TEXTS),
            draw.choice(_NUMBERS) * draw.choice((1, -1)),
            draw.choice(_FLOATS[:9]),
            None,
            draw.random() < 0.5,
            [],
            {},
            "".join(chr(draw.choice((draw.randrange(32, 127), draw.randrange(1, 0xD7FF)))) for _ in range(5)),
        ]
    )


def odd_float(draw: random.Random) -> float:
    return draw.choice(_FLOATS)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every value in a document."""
    found: list[tuple[Any, Any]] = []
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in entries:
        found.append((value, key))
        found += _places(each)
    return found
