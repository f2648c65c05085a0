"""Clips: who asks for one that is there does not wait for others."""

import threading
from pathlib import Path

import pytest

from reidapp.server import clips as module
from reidapp.server.clips import Clips, Window
from tests.small_gallery import make_gallery

ONE, OTHER = Window(0, 1), Window(1, 2)


def test_a_clip_is_made_once_and_does_not_hold_up_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = make_gallery(tmp_path)
    video, clips = gallery.tracklets()[0].video, Clips(gallery)
    begun, going_on, made = threading.Event(), threading.Event(), []

    def write(source: Path, target: Path, start_s: float, end_s: float) -> None:
        made.append(start_s)
        begun.set()
        assert start_s == OTHER.start_s or going_on.wait(30)
        target.write_bytes(b"clip")

    monkeypatch.setattr(module, "write_clip", write)
    there = clips.file(video, OTHER, None)
    begun.clear()
    askers = [threading.Thread(target=clips.file, args=(video, ONE, None)) for _ in range(2)]
    for asker in askers:
        asker.start()
    assert begun.wait(30)
    assert clips.file(video, OTHER, None) == there  # while the other is being made
    going_on.set()
    for asker in askers:
        asker.join(30)
    assert made == [OTHER.start_s, ONE.start_s]
