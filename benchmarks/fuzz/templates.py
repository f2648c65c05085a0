"""Templates of paths, and the paths that they are held against."""

import json
import random
import re
from pathlib import Path
from typing import ClassVar

from benchmarks.fuzz.harness import FirstParserError, Reader
from benchmarks.fuzz.mutation import TEXTS, bytes_changed
from reidapp.errors import UserError
from reidapp.footage.templates import PathReader, fitting, recorders

_PARTS = re.compile(r"\{[^{}]*\}|[^{}/]+|.")
_TOKENS = (
    "{camera}", "{start}", "{any}", "{ext}", "{start:%Y-%m-%d}", "{start:%H-%M-%S}", "{start:%Y%m%d%H%M%S}",
    "{start:%j}",
    "{start:%y}", "{start:%b}", "{start:%p}", "{start:%I}", "{start:%f}", "{start:%z}", "{start:%-d}", "{start:%%}",
    "{start:%Q}", "{start:%}", "{start:}", "{camera:x}", "{}", "{{", "}", "{", "/", "_", "-", ".", "(", ")*", "[^",
    "\\d+",
    "(?P<camera>x)", "$", ".mp4", "%Y", *TEXTS,
)  # fmt: skip
_BETWEEN = ("_", "-", " ", ".", "x", "é", "+", "[", "(", "^", "$", "|", "\\", "%", "0", "/", "cam ", "长")
_PATHS = (
    "gate/2026-03-02/10-00-00.mp4", "gate_2026-03-02_10-00-00.mp4", "2026-03-02/10/gate/00.05.mp4",
    "20260302T100000Z.ts",
    "NVR_x_gate_20260302_100000_a_b.mp4", "0002_c1s1_000451_03.jpg", "2026/03/02/gate 10.00.00-11.00.00.avi",
    "gate/2026-03-02T10:00:00+01:00.mkv", "Mar 02 2026 1000AM.mp4", "061_26/gate.mp4", "-" * 60, "a-b-c-d-e-f-g-h" * 12,
    "2026-03-02/2026-03-02/2026-03-02/2026-03-02.mp4", "x" * 250 + ".mp4", "19700101000000.mp4",
    "2026-02-30_10-00-00.mp4",
)  # fmt: skip


class Templates(Reader):
    """An input is JSON: a template, and paths."""

    code: ClassVar = {"reidapp.footage.templates": ()}
    first_parser: ClassVar = "the template is taken, as one or as a recorder's name"
    most_s: ClassVar = 20.0
    most_mb: ClassVar = 100.0

    def seeds(self) -> list[bytes]:
        known = recorders()
        templates = [form for recorder in known.values() for form in recorder.templates] + list(known)
        templates += ["{camera}/{start}.mp4", "{any}/{camera}_{start:%Y-%m-%d}_{start:%H-%M-%S}.{ext}", "{camera}"]
        templates += ["{any}{any}{camera}.mp4", "{any}-{any}-{camera}.mp4"]
        return [json.dumps([template, _PATHS[:8]]).encode() for template in templates] + [b'["", []]']

    def changed(self, data: bytes, other: bytes, draw: random.Random) -> bytes:
        template, paths = json.loads(data)
        parts, others = _PARTS.findall(template), _PARTS.findall(json.loads(other)[0])
        for _ in range(draw.choice((1, 1, 2))):
            way, at = draw.randrange(7), draw.randrange(len(parts) + 1)
            if way == 6:  # what stands between fields may be anything
                parts.insert(at, draw.choice(_BETWEEN))
            elif way < 2:
                parts.insert(at, draw.choice(_TOKENS))
            elif way == 2 and parts:
                parts.pop(at % len(parts))
            elif way == 3 and parts:
                parts[at % len(parts)] = draw.choice((*_TOKENS[:12], *(others or ["_"])))
            elif way == 4:
                parts[at:at] = others[: draw.randint(1, 6)]
            elif parts:
                text = parts[at % len(parts)].encode()
                parts[at % len(parts)] = bytes_changed(text, b"", draw, most=1).decode(errors="replace")
        near = "".join(parts).replace("{any}", "x").replace("{camera}", "gate").replace("{ext}", "mp4")[:250]
        paths = [*draw.sample(_PATHS, 4), near, *paths[:2]]
        for _ in range(3):
            path = draw.choice(paths).encode()
            paths.append(bytes_changed(path, near.encode(), draw, most=3).decode(errors="replace")[:4000])
        return json.dumps(["".join(parts)[:2000], paths]).encode()

    def read(self, data: bytes) -> bool:
        template, paths = json.loads(data)
        try:
            reader = PathReader(Path("/footage/gate"), template or None)
        except UserError as refusal:
            raise FirstParserError(str(refusal)) from refusal
        of_crops = PathReader(Path("/footage/gate"), None, of_crops=True)
        for path in paths:
            for each in (reader, of_crops):
                facts = each.read(path)
                assert facts is None or facts.camera
        fitting(Path("/footage/gate"), paths[:3])
        return True
