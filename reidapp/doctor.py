"""What is installed here, whether it really works, and how to mend what does not (`reidapp doctor`)."""

import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

Status = Literal["ok", "warn", "fail"]

# An ONNX model of one node, y = Relu(x) for x float32 [N]: enough to see which provider a session gets.
# tests/reidapp/test_doctor.py builds it again with the onnx package and compares.
TINY_MODEL = bytes.fromhex(
    "08083a380a0c0a0178120179220452656c75120472656c755a100a0178120b0a09080112050a0312016e62100a0179120b0a"
    "09080112050a0312016e42040a00100d"
)

# Distributions that write the same import package. pip installs them beside each other without a word; the
# result is a mixture of files, and uninstalling one takes half of the other away.
ONNXRUNTIME = ("onnxruntime", "onnxruntime-gpu")
FAISS = ("faiss-cpu", "faiss-gpu")
OPENCV = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        status: ``ok``; ``warn``: works, but slower or with less than it could; ``fail``: something will not work.
        remedy: what to do, usually a command line to copy; empty when there is nothing to do.
    """

    name: str
    status: Status
    detail: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.status:4}  {self.name}: {self.detail}" + (f"\n      {self.remedy}" if self.remedy else "")

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


def diagnose() -> list[Check]:
    """Look at everything, in the order in which it should be mended. No check stops the others."""
    checks: list[tuple[str, Callable[[], Check]]] = [
        ("Python", check_python),
        ("ONNX Runtime", check_onnxruntime),
        ("Faiss", check_faiss),
        ("OpenCV", check_opencv),
        ("PyAV", check_av),
        ("SQLite", check_sqlite),
        ("detectors", check_detectors),
        ("training", check_torch),
        ("disk", lambda: check_disk(Path.cwd())),
    ]
    return [_guarded(name, check) for name, check in checks]


def distributions() -> dict[str, str]:
    """Installed distributions: normalised name → version."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        # A half-removed distribution leaves a folder without a name.
        name = distribution.metadata["Name"]
        if name:
            found.setdefault(name.lower().replace("_", "-").replace(".", "-"), distribution.version)
    return found


def nvidia_driver() -> bool:
    """Whether an NVIDIA driver answers."""
    try:
        command = ["nvidia-smi", "-L"]  # each system keeps it elsewhere
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0  # noqa: S603 - no word of it is given
    except (OSError, subprocess.TimeoutExpired):
        return False


def check_python() -> Check:
    detail = f"{platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    if sys.version_info < (3, 11):  # noqa: UP036 - a source tree can be run without an installer's check
        return Check("Python", "fail", detail, "reidapp needs Python 3.11 or newer")
    return Check("Python", "ok", detail)


def check_onnxruntime() -> Check:
    """The provider that a session really gets; the list of available ones promises more than it keeps."""
    name = "ONNX Runtime"
    driver = nvidia_driver()
    clash = _exactly_one(name, ONNXRUNTIME, "onnxruntime-gpu[cuda,cudnn]" if driver else "onnxruntime")
    if clash:
        return clash

    import numpy as np
    import onnxruntime as ort

    gpu_build = "onnxruntime-gpu" in distributions()
    if gpu_build and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    options = ort.SessionOptions()
    options.log_severity_level = 4  # a provider that fails to load is reported here, not as a page of log
    wanted = ["CUDAExecutionProvider", "CPUExecutionProvider"] if gpu_build and driver else ["CPUExecutionProvider"]
    session = ort.InferenceSession(TINY_MODEL, options, providers=wanted)
    (answer,) = session.run(None, {"x": np.array([-1.0, 2.0], np.float32)})
    provider = session.get_providers()[0]
    detail = f"{ort.__version__}, runs on {provider}"
    if list(answer) != [0.0, 2.0]:
        return Check(name, "fail", f"{detail}, and computes Relu([-1, 2]) = {list(answer)}", _reinstall(ONNXRUNTIME))
    if driver and not gpu_build:
        remedy = _reinstall(ONNXRUNTIME, "onnxruntime-gpu[cuda,cudnn]")
        return Check(name, "warn", f"{detail}; an NVIDIA driver answers, but onnxruntime-gpu is not installed", remedy)
    if driver and provider != "CUDAExecutionProvider":
        remedy = f'{_pip("install")} "onnxruntime-gpu[cuda,cudnn]"; the driver must be new enough for its CUDA'
        return Check(name, "warn", f"{detail}; an NVIDIA driver answers, but CUDA's libraries did not load", remedy)
    return Check(name, "ok", detail)


def check_faiss() -> Check:
    name = "Faiss"
    driver = nvidia_driver()
    clash = _exactly_one(name, FAISS, "faiss-gpu" if driver else "faiss-cpu")
    if clash:
        return clash

    import faiss
    import numpy as np

    vectors = np.eye(8, dtype=np.float32)
    index = faiss.IndexScalarQuantizer(8, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    index.add(vectors)
    _, nearest = index.search(vectors, 1)
    gpus = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    detail = f"{faiss.__version__}, {_simd_level(faiss)}, {gpus} GPUs"
    if nearest[:, 0].tolist() != list(range(8)):
        return Check(name, "fail", f"{detail}; an exact search of 8 vectors gives a wrong answer", _reinstall(FAISS))
    installed = distributions()
    if "faiss-gpu" in installed and "milvus-lite" in installed:
        remedy = "give milvus-lite an environment of its own, with the cpu extra"
        return Check(name, "warn", f"{detail}; milvus-lite needs faiss-cpu, which overwrites faiss-gpu", remedy)
    if driver and "faiss-gpu" in installed and gpus == 0:
        return Check(name, "warn", f"{detail}; an NVIDIA driver answers, but Faiss sees no GPU", _reinstall(FAISS))
    return Check(name, "ok", detail)


def check_opencv() -> Check:
    name = "OpenCV"
    installed = distributions()
    present = [d for d in OPENCV if d in installed]
    if len(present) > 1:
        remedy = _reinstall(OPENCV, "opencv-python>=4.12,<5")
        return Check(name, "fail", f"{' and '.join(present)} are both installed; each overwrites the other", remedy)

    import cv2

    detail = f"{cv2.__version__}, {cv2.getNumThreads()} threads"
    # Version 5 moved the people detector out; the default detector needs it.
    if not cv2.__version__.startswith("4.") or not hasattr(cv2, "HOGDescriptor"):
        remedy = _reinstall(OPENCV, "opencv-python>=4.12,<5")
        return Check(name, "fail", f"{detail}: no HOG people detector in this version", remedy)
    if len(cv2.HOGDescriptor.getDefaultPeopleDetector()) != 3781:
        return Check(name, "fail", f"{detail}: the HOG people detector is damaged", _reinstall(OPENCV))
    return Check(name, "ok", f"{detail}, HOG people detector")


def check_av() -> Check:
    """Encode three frames as H.264 and decode them again: both directions are needed, for clips and for footage."""
    name = "PyAV"

    import av
    import numpy as np

    libraries = {library: ".".join(map(str, version)) for library, version in av.library_versions.items()}
    detail = f"{av.__version__}, FFmpeg libavcodec {libraries['libavcodec']}, libavformat {libraries['libavformat']}"
    buffer = BytesIO()
    try:
        with av.open(buffer, "w", format="mp4") as output:
            stream: Any = output.add_stream("h264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for level in (40, 120, 200):
                picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), format="rgb24")
                output.mux(stream.encode(picture))
            output.mux(stream.encode())
        buffer.seek(0)
        with av.open(buffer, "r") as recording:
            levels = [frame.to_ndarray(format="rgb24").mean() for frame in recording.decode(video=0)]
    except (av.FFmpegError, ValueError) as error:  # an unknown codec is a ValueError
        return Check(name, "fail", f"{detail}; H.264 does not work: {error}", f"{_pip('install')} --force-reinstall av")
    if len(levels) != 3 or not levels[0] < levels[1] < levels[2]:
        remedy = f"{_pip('install')} --force-reinstall av"
        return Check(name, "fail", f"{detail}; H.264 comes back wrong: {levels}", remedy)
    return Check(name, "ok", f"{detail}, H.264 both ways")


def check_sqlite() -> Check:
    name = "SQLite"
    detail = sqlite3.sqlite_version
    with (
        tempfile.TemporaryDirectory(prefix="reidapp-") as folder,
        closing(sqlite3.connect(Path(folder) / "check.sqlite")) as db,
    ):
        mode = db.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        remedy = f"set TMPDIR to a local disk and look again; {tempfile.gettempdir()} may be a network share"
        return Check(name, "fail", f"{detail}; write-ahead logging is refused (journal mode {mode})", remedy)
    return Check(name, "ok", f"{detail}, write-ahead logging")


def check_detectors() -> Check:
    """Which detectors can be named here, and whether their files are still the ones that were pulled."""
    from reidapp.detector_files import Record, default_folder, pulled, sha256_of
    from reidapp.footage.detection import built_in

    name, folder, there = "detectors", default_folder(), pulled()
    own = f"{', '.join(built_in())} (built in)"
    if not there:
        return Check(name, "ok", f"{own}; `reidapp models pull yolox-nano` gets one that finds far more people")
    damaged = [n for n, path in there.items() if (r := Record.read(folder, n)) and r.sha256 != sha256_of(path)]
    if damaged:
        remedy = " && ".join(f"reidapp models pull {n}" for n in damaged)
        return Check(name, "fail", f"{', '.join(damaged)} in {folder}: not the bytes that were pulled", remedy)
    return Check(name, "ok", f"{own}; {', '.join(there)} in {folder}")


def check_torch() -> Check:
    """Whether torch and torchvision fit, by what they say of themselves: importing them would take seconds."""
    name = "training"
    installed = distributions()
    present = [d for d in ("torch", "torchvision") if d in installed]
    if not present:
        return Check(name, "ok", 'not installed; only train, adapt and export need it (the "train" extra)')
    detail = ", ".join(f"{d} {installed[d]}" for d in present)
    if len(present) == 1:
        return Check(name, "warn", f"only {detail}; training needs both", f"{_pip('install')} torch torchvision")
    wanted = _requirement("torchvision", "torch")
    # +cpu or +cu130 names the build, not another version.
    if wanted and not wanted.contains(installed["torch"].split("+")[0], prereleases=True):
        remedy = f"{_pip('install')} --upgrade torch torchvision"
        return Check(name, "fail", f"{detail} do not fit: torchvision wants torch{wanted}", remedy)
    return Check(name, "ok", detail)


def check_disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free / 1e9
    detail = f"{free:.1f} GB free at {folder}"
    if free < 0.5:
        return Check("disk", "fail", detail, "free some space, or keep the gallery on another disk")
    if free < 5:
        return Check("disk", "warn", detail, "a gallery grows with every recording: free some space before a long run")
    return Check("disk", "ok", detail)


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except Exception as error:  # whatever a broken installation raises
        return Check(name, "fail", f"{type(error).__name__}: {error}", _remedy(error))


def _remedy(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"{_pip('install')} --force-reinstall reidapp"
    if isinstance(error, ImportError) and ".so" in str(error):
        return "install the system's library; on Debian: apt-get install -y libgl1 libglib2.0-0 libstdc++6"
    return ""


def _exactly_one(name: str, variants: tuple[str, str], wanted: str) -> Check | None:
    """None if one of ``variants`` is installed, else what is wrong."""
    installed = distributions()
    present = [d for d in variants if d in installed]
    if len(present) == 1:
        return None
    if present:
        detail = f"{' and '.join(present)} are both installed; each overwrites the other's files"
        return Check(name, "fail", detail, _reinstall(variants, wanted))
    return Check(name, "fail", f"neither {' nor '.join(variants)} is installed", f'{_pip("install")} "{wanted}"')


def _reinstall(variants: tuple[str, ...], wanted: str | None = None) -> str:
    """The line that takes away every variant and installs one: removing only one would leave a broken other."""
    present = [d for d in variants if d in distributions()]
    return f'{_pip("uninstall")} -y {" ".join(present)} && {_pip("install")} "{wanted or present[0]}"'


def _pip(command: str) -> str:
    return f"{sys.executable} -m pip {command}"


def _simd_level(faiss: Any) -> str:
    if hasattr(faiss, "SIMDConfig"):
        return str(faiss.SIMDConfig.get_level_name())
    return " ".join(faiss.get_compile_options().split()) or "generic code"


def _requirement(distribution: str, on: str) -> Any:
    """The version range in which ``distribution`` wants ``on``; None if it names no such thing."""
    from packaging.requirements import Requirement

    for line in metadata.requires(distribution) or []:
        requirement = Requirement(line)
        if requirement.name == on and requirement.marker is None:
            return requirement.specifier
    return None
