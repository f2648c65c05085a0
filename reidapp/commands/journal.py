"""Who runs a command, and the log of what is done to a gallery."""

import os
from pathlib import Path


def who() -> str:
    """The account's name."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return "unknown"


def noted(gallery: Path, action: str, **about: str | int | None) -> str:
    """Write a row into the log of a gallery that is or was served; before it is done. Returns who does it, by an id."""
    from reidapp.server import audit
    from reidapp.server.access_folder import NOTED, AccessFolder
    from reidapp.server.users import Users

    folder = AccessFolder.of(gallery)
    if not folder.has(audit.FILE_NAME):
        return ""
    by = Users(folder).of_system(who()).id
    if not os.environ.get(NOTED):
        audit.Audit(folder).add(action, by, gallery.resolve().name, **about)
    return by
