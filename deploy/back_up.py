"""Back up a gallery, and beside it the folder of who may see it: `python back_up.py GALLERY FOLDER [--keep N]`.

Makes FOLDER/TIME and FOLDER/TIME-access, TIME in UTC, and then deletes older ones but for the newest N. The folder of
users has the log's key and passwords' hashes: keep the back-ups where its owner alone can read them.
"""

import argparse
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

_SECRETS = ("audit.head", "audit.key", "session.key")
_DATABASES = ("users.db", "audit.db", "texts.db")
_TIME = re.compile(r"\d{8}T\d{6}Z")


def back_up(gallery: Path, folder: Path, access: Path | None = None) -> Path:
    """A back-up of now, verified; nothing has its name before it is whole.

    Args:
        access: of users and the log; beside the gallery without. None is there before somebody was added or a server
            ran.

    Raises:
        subprocess.CalledProcessError: `reidapp gallery backup` failed, and has said why.
    """
    target = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    folder.mkdir(parents=True, exist_ok=True)
    command = ["gallery", "backup", "--gallery", str(gallery), str(target)]
    access = access or gallery.resolve().with_name(f"{gallery.resolve().name}-access")
    half_made = target.with_name(f"{target.name}-access.new")
    try:
        if access.is_dir():
            _copy_access(access, half_made)
        subprocess.run([sys.executable, "-m", "reidapp", *command], check=True)  # noqa: S603 - no shell; own paths
    except BaseException:  # it has the log's key
        shutil.rmtree(half_made, ignore_errors=True)
        raise
    if half_made.is_dir():
        half_made.rename(target.with_name(f"{target.name}-access"))
    return target


def _copy_access(source: Path, target: Path) -> None:
    """Databases as they are at one moment, while a server writes to them; the log's last row before its rows, since a
    log that is longer than that is whole."""
    target.mkdir(mode=0o700)
    for name in _SECRETS:
        if (source / name).exists():
            shutil.copy2(source / name, target / name)
    for name in _DATABASES:
        if (source / name).exists():
            with closing(sqlite3.connect(source / name)) as rows, closing(sqlite3.connect(target / name)) as copy:
                rows.backup(copy)
            (target / name).chmod(0o600)


def forget(folder: Path, keep: int) -> list[Path]:
    """Delete all back-ups of this script but for the newest, and say which."""
    old = sorted(path for path in folder.iterdir() if _TIME.fullmatch(path.name))[:-keep]
    for path in old:
        for each in (path, path.with_name(f"{path.name}-access")):
            shutil.rmtree(each, ignore_errors=not each.exists())
    return old


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gallery", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keep", type=int, help="how many; all without")
    given = parser.parse_args()
    if given.keep is not None and given.keep < 1:
        parser.error("--keep: at least 1")
    try:
        print(back_up(given.gallery, given.folder))
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
    for path in forget(given.folder, given.keep) if given.keep else ():
        print(f"deleted {path}")


if __name__ == "__main__":
    main()
