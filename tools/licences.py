"""Every pinned version with its licence; fails where one is not free enough, or not known.

    python tools/licences.py          # of what constraints.txt pins, as the installed packages say it themselves

What is for other machines than this one, or says nothing, is in `SAID`. A package's own licence is looked at, and what
its wheel brings along only where `NOTES` says so.
"""

import importlib.metadata
import re
import sys
from fnmatch import fnmatch
from pathlib import Path

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"

# As their projects say it; what an installed package says itself comes first.
SAID = {
    "cachetools": "MIT",
    "cuda-toolkit": "LicenseRef-NVIDIA-Proprietary",
    "faiss-gpu": "MIT",
    "milvus-lite": "Apache-2.0",
    "nvidia-*": "LicenseRef-NVIDIA-Proprietary",
    "onnxruntime-gpu": "MIT",
    "pyarrow": "Apache-2.0",
    "pymilvus": "Apache-2.0",
    "python-dotenv": "BSD-3-Clause",
}
# What is not permissive, and why it can be used all the same.
ALLOWED = {
    "cuda-toolkit": "CUDA itself, by NVIDIA's own terms: comes with torch for Linux and with the gpu extra",
    "docutils": "in the public domain but for some files, under GPL an editor's mode; only builds the documentation",
    "nvidia-*": "CUDA itself, by NVIDIA's own terms: comes with torch for Linux and with the gpu extra",
    "psycopg": "LGPL: imported as it is, an extra that only galleries in PostgreSQL need",
    "psycopg-binary": "LGPL: imported as it is, an extra that only galleries in PostgreSQL need",
}
NOTES = {
    "av": "its wheel brings FFmpeg (LGPL-3.0), libx264 and libx265 (GPL-2.0): who passes it on keeps to their terms",
    "opencv-python": "its wheel brings FFmpeg (LGPL-2.1)",
}
_FREE = re.compile(
    r"0BSD|Apache|BSD|BSL-1\.0|CC0|ISC|MIT|MPL|Mozilla Public|PSF|Python Software Foundation|Zlib|Unlicense", re.I
)
_NOT = re.compile(r"GPL|Affero|SSPL|Proprietary|Commons? Clause|CC-BY-NC|Non-?Commercial|Business Source", re.I)


def main() -> None:
    pinned = [line.strip().split("==") for line in CONSTRAINTS.read_text("utf-8").splitlines() if "==" in line]
    faults = []
    for name, version in pinned:
        licence = licence_of(name)
        print(f"{name}=={version}  {licence or 'unknown'}{explained(name)}")
        if fault := fault_of(name, licence):
            faults.append(fault)
    if faults:
        sys.exit("\n".join(f"licences: {fault}" for fault in faults))


def licence_of(name: str) -> str:
    """In the package's own words, an SPDX expression if it has one; "" if nobody says it."""
    try:
        said = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return _by_name(SAID, name)
    classifiers = [text.split(" :: ")[-1] for text in said.get_all("Classifier") or [] if text.startswith("License ::")]
    (expression,), (written,) = (said.get_all(field) or [""] for field in ("License-Expression", "License"))
    line = "" if "\n" in written.strip() else written.strip()  # else the whole text of it
    return expression or " AND ".join(filter(_known, classifiers)) or line or _by_name(SAID, name)


def fault_of(name: str, licence: str) -> str | None:
    """Why a package cannot be used; None if it can."""
    if _by_name(ALLOWED, name) and "AGPL" not in licence:
        return None
    for part in licence.replace("(", "").replace(")", "").split(" AND "):
        choices = part.split(" OR ")
        if not any(_FREE.search(choice) and not _NOT.search(choice) for choice in choices):
            return f"{name}: {part or 'its licence is not known'}; use another, or say in {Path(__file__).name} why not"
    return None


def explained(name: str) -> str:
    """What else is to know of a package."""
    said = _by_name(ALLOWED, name) or _by_name(NOTES, name)
    return f"  ({said})" if said else ""


def _known(licence: str) -> bool:
    return bool(_FREE.search(licence) or _NOT.search(licence))


def _by_name(table: dict[str, str], name: str) -> str:
    return next((said for pattern, said in table.items() if fnmatch(name, pattern)), "")


if __name__ == "__main__":
    main()
