import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from reidapp import files
from reidapp.errors import ReidappError


def test_write_whole_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "row.bin"
    for data in (b"old" * 1000, b"new", b""):
        files.write_whole(path, data)
        assert path.read_bytes() == data
    assert os.listdir(tmp_path) == ["row.bin"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "row.bin"
    files.write_whole(path, b"old")

    def full(_: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_whole(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_new_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    mine = tmp_path / "made.new"
    mine.mkdir()

    def stopped() -> None:
        with files.whole_folder(tmp_path / "made") as folder:
            (folder / "half").touch()
            assert not (tmp_path / "made").exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert list(tmp_path.iterdir()) == [mine]  # not one's own, whatever it is called
    with files.whole_folder(tmp_path / "made") as folder:
        (folder / "all").touch()
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["all"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "made.new"]


def test_an_empty_folder_is_filled_where_it_is_or_empty_again(tmp_path: Path) -> None:
    """It may be a link, a disk's own, or have rights of its own."""
    (tmp_path / "there").mkdir(mode=0o700)
    (link := tmp_path / "link").symlink_to(tmp_path / "there")

    def on_a_full_disk() -> None:
        with files.whole_folder(link) as folder:
            (folder / "below").mkdir()
            (folder / "below/half").touch()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ReidappError, match="link: the disk is full"):
        on_a_full_disk()
    assert list((tmp_path / "there").iterdir()) == []
    with files.whole_folder(link) as folder:
        (folder / "all").touch()
    assert link.is_symlink()
    assert (tmp_path / "there/all").exists()
    assert (tmp_path / "there").stat().st_mode & 0o777 == 0o700


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with files.locked(lock, "busy"), pytest.raises(ReidappError, match=r"^busy$"), files.locked(lock, "busy"):
        raise AssertionError("both hold it")
    with files.locked(lock, "busy"):
        pass


def test_lock_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), files.locked(tmp_path / "lock", "busy"):
        raise KeyboardInterrupt
    with files.locked(tmp_path / "lock", "busy"):
        pass


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib; from reidapp import files\n"
        "with files.locked(pathlib.Path(sys.argv[1]), 'busy'): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(ReidappError), files.locked(tmp_path / "lock", "busy"):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with files.locked(tmp_path / "lock", "busy"):
        pass
    holder.stdout.close()


def test_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    content = b"a" + os.urandom(3 << 20) + b"a"
    paths = [tmp_path / name for name in ("a.mp4", "start.mp4", "end.mp4", "longer.mp4")]
    for path, data in zip(
        paths, (content, b"x" + content[1:], content[:-1] + b"x", content + content[-(1 << 20) :]), strict=True
    ):
        path.write_bytes(data)
    prints = [files.fingerprint(path, path.stat().st_size) for path in paths]
    assert len(set(prints)) == len(paths)
    moved = tmp_path / "moved.mp4"
    paths[0].rename(moved)
    assert files.fingerprint(moved, len(content)) == prints[0]
    assert len(prints[0]) == 16


def test_fingerprint_of_small_files(tmp_path: Path) -> None:
    prints = set()
    for data in (b"", b"a", b"aa", b"b"):
        (tmp_path / "a.mp4").write_bytes(data)
        prints.add(files.fingerprint(tmp_path / "a.mp4", len(data)))
    assert len(prints) == 4


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/share/gallery", "nfs4"),
        ("/srv/share/disk/gallery", None),  # a local disk below a share
        ("/srv/with space/gallery", "cifs"),
        ("/srv/hidden/gallery", None),  # mounted over
        ("/home/me/gallery", None),
        ("/srv/ssh", "fuse.sshfs"),
    ],
)
def test_network_shares_are_known_by_their_mounts(tmp_path: Path, path: str, kind: str | None) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "2 1 0:40 / /srv/share rw shared:1 - nfs4 host:/share rw\n"
        "3 2 8:2 / /srv/share/disk rw - xfs /dev/sdb1 rw\n"
        "4 1 0:41 / /srv/with\\040space rw - cifs //host/share rw\n"
        "5 1 0:42 / /srv/hidden rw - nfs host:/old rw\n"
        "6 1 8:3 / /srv/hidden rw - ext4 /dev/sdc1 rw\n"
        "7 1 0:43 / /srv/ssh rw - fuse.sshfs host: rw\n"
    )
    assert files.network_share(Path(path), mounts) == kind
    assert files.network_share(Path(path), tmp_path / "not told") is None


def test_what_may_be_written_to(tmp_path: Path) -> None:
    assert files.writable(tmp_path)
    assert files.writable(tmp_path / "not" / "there" / "yet")
