from pathlib import Path

import pytest

from reidapp.files import size_of
from reidapp.gallery.storage import Storage, storage
from tests.small_gallery import FOOTAGE, SECONDS, make_gallery


def test_what_a_gallery_takes_and_what_it_was_made_of(tmp_path: Path) -> None:
    gallery = make_gallery(tmp_path)
    found = storage(gallery)
    assert found.bytes == gallery.facts().bytes
    assert found.bytes["crops"] == sum(file.stat().st_size for file in (gallery.path / "crops").rglob("*.webp"))
    assert found.footage_s == len(FOOTAGE) * SECONDS
    assert found.footage_bytes == sum(file.stat().st_size for file in tmp_path.glob("*.mp4"))
    assert (found.per_hour, found.hours_left) == (None, None)  # 42 s say too little
    assert found.free > 0
    (tmp_path / "empty").mkdir()
    assert storage(make_gallery(tmp_path / "empty", empty=True)).footage_s == 0


def test_an_hour_by_what_there_is_so_far() -> None:
    taken = {"database": 10, "crops": 600, "vectors": 90, "models": 10**9}  # models do not grow with footage
    disk = Storage(taken, 7000, 1800.0, 5)
    assert (disk.per_hour, disk.hours_left) == (pytest.approx(1400), pytest.approx(5))


def test_size_of_a_folder_with_folders_and_links(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one").write_bytes(b"1" * 10)
    (tmp_path / "a" / "b" / "two").write_bytes(b"2" * 20)
    (tmp_path / "a" / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "a" / "round").symlink_to(tmp_path / "a")
    assert size_of(tmp_path / "a") == 30
    assert size_of(tmp_path / "none") == 0
