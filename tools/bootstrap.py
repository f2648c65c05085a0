"""Make .venv: everything reidapp needs, in one step, on a machine that has only Python, git and make.

    python3 tools/bootstrap.py train dev      # the extras to install beside cpu or gpu
    INTO=.venv-2 python3 tools/bootstrap.py   # an environment of another name

What only the system can give is looked for first, because the installation after it is long. Runs that find nothing to
do take a moment. Standard library only, and readable by an old Python, which must still be able to say that it is old.
"""

import ctypes
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, os.environ.get("INTO") or ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "reidapp-installed.json")
OLDEST = (3, 11)
FREE_GB = 10  # the environment takes 6.5 (cpu) to 8.2 (gpu); the installer keeps copies where it cannot link

# What the wheels leave to the system: OpenCV needs the first three, everything compiled the last.
LIBRARIES = ["libGL.so.1", "libgthread-2.0.so.0", "libglib-2.0.so.0", "libstdc++.so.6"]

# By ID or ID_LIKE of /etc/os-release: how each family installs them, and Python's venv.
FAMILIES = {
    "debian": (
        "{sudo}apt-get update && {sudo}apt-get install -y libgl1 libglib2.0-0 libstdc++6",
        "{sudo}apt-get update && {sudo}apt-get install -y python3-venv",
    ),
    "fedora": ("{sudo}dnf install -y mesa-libGL glib2 libstdc++", "{sudo}dnf install -y python3"),
    "suse": (
        "{sudo}zypper install -y libGL1 libgthread-2_0-0 libglib-2_0-0 libstdc++6",
        "{sudo}zypper install -y python3",
    ),
    "arch": ("{sudo}pacman -S --needed libglvnd glib2 gcc-libs", "{sudo}pacman -S --needed python"),
}

# Distributions that write the same files, by the extra that needs them; the other extra's are taken away first.
VARIANTS = {"cpu": ["onnxruntime", "faiss-cpu"], "gpu": ["onnxruntime-gpu", "faiss-gpu"]}


def main():
    os.chdir(ROOT)
    wanted = sys.argv[1:]
    require_python()
    require_libraries()
    compute = os.environ.get("EXTRA") or ("gpu" if nvidia_driver() else "cpu")
    if compute not in VARIANTS:
        stop(f'EXTRA is "{compute}"; it can be cpu or gpu')

    done = read_stamp()
    # The scripts of an environment carry its folder, so one that was moved is made anew.
    anew = done.get("root", ROOT) != ROOT or not runs(PYTHON)
    current = {"files": digest("pyproject.toml", "constraints.txt"), "root": ROOT, "compute": compute}
    same = not anew and all(done.get(key) == value for key, value in current.items())
    if same and set(wanted) <= set(done["extras"]):
        return
    extras = sorted(set(wanted) | set(done["extras"] if same else []))

    if anew:
        require_space()
        say(f"making {os.path.basename(VENV)}")
        run([sys.executable, "-m", "venv", "--clear", VENV])
    elif subprocess.call([PYTHON, "-c", "import pip"], stderr=subprocess.DEVNULL) != 0:
        run([PYTHON, "-m", "ensurepip"])
    target = f".[{','.join([compute, *extras])}]"
    say(f"installing {target} into {os.path.basename(VENV)}; the first time, this downloads several GB")
    if os.path.exists(STAMP):
        os.remove(STAMP)  # an interrupted installation is not taken for a finished one
    install(target, compute)
    with open(STAMP, "w") as file:
        json.dump(dict(current, extras=extras), file)


def require_python():
    if sys.version_info < OLDEST:
        newer = [name for name in ("python3.14", "python3.13", "python3.12", "python3.11") if runs(name)]
        remedy = f"run make with PYTHON={newer[0]}" if newer else "install one and run make with PYTHON=python3.12"
        stop(f"this is Python {platform.python_version()}; reidapp needs 3.11 or newer: {remedy}")
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        stop("this Python cannot make virtual environments; install that:", system_line(1))


def require_libraries():
    if platform.system() != "Linux":
        return
    missing = [name for name in LIBRARIES if not loads(name)]
    if missing:
        stop(f"missing system libraries: {', '.join(missing)}; install them:", system_line(0))


def require_space():
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < FREE_GB:
        stop(f"{free:.1f} GB free at {ROOT}; the installation needs about {FREE_GB}")


def loads(library):
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def system_line(which, release="/etc/os-release"):
    """The one line that installs it on this machine's system."""
    families = []
    if os.path.exists(release):
        with open(release) as file:
            fields = dict(line.strip().split("=", 1) for line in file if "=" in line)
        families = " ".join(fields.get(key, "").strip("\"'") for key in ("ID", "ID_LIKE")).split()
    sudo = "" if os.geteuid() == 0 else "sudo "
    for family in families:
        if family in FAMILIES:
            return FAMILIES[family][which].format(sudo=sudo)
    return "with your system's package manager; on Debian: " + FAMILIES["debian"][which].format(sudo=sudo)


def nvidia_driver():
    """Whether an NVIDIA driver answers, on a machine for which the gpu extra has wheels."""
    if platform.system() != "Linux" or platform.machine() != "x86_64" or not shutil.which("nvidia-smi"):
        return False
    try:
        command = ["nvidia-smi", "-L"]
        return subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60) == 0
    except subprocess.TimeoutExpired:
        return False


def read_stamp():
    """What the last finished installation was; empty if there is none."""
    try:
        with open(STAMP) as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def digest(*names):
    total = hashlib.sha256()
    for name in names:
        with open(name, "rb") as file:
            total.update(file.read())
    return total.hexdigest()


def runs(python):
    """Whether this interpreter is there, starts, and is new enough: a moved or upgraded Python leaves a dead link."""
    check = f"import sys; sys.exit(sys.version_info < {OLDEST})"
    try:
        return subprocess.call([python, "-c", check], stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def install(target, compute):
    pip = [PYTHON, "-m", "pip"]
    quiet = ["--quiet", "--disable-pip-version-check"]
    given = ["-c", "constraints.txt"]

    others = [d for name in VARIANTS if name != compute for d in VARIANTS[name]]
    there = [d for d in others if subprocess.call([*pip, "show", "--quiet", d], stderr=subprocess.DEVNULL) == 0]
    again = []
    if there:
        # Files of both variants may be mixed: after the removal, this one is laid down anew.
        run([*pip, "uninstall", "--yes", *quiet, *there])
        again = VARIANTS[compute]

    # uv takes a fraction of pip's time; where it cannot be had, or finds no packages because only pip is configured,
    # pip does the same.
    uv = [PYTHON, "-m", "uv", "pip", "install", "--python", PYTHON]
    uv += [word for name in again for word in ("--reinstall-package", name)]
    if attempt([*pip, "install", *quiet, *given, "uv"]) and attempt([*uv, *given, "-e", target]):
        return
    say("uv did not do it; once more with pip")
    if again:
        attempt([*pip, "uninstall", "--yes", *quiet, *again])
    run([*pip, "install", *quiet, *given, "-e", target])


def attempt(command):
    return subprocess.call(command) == 0


def run(command):
    if not attempt(command):
        stop(f"this failed; its own words are above: {' '.join(command)}")


def say(text):
    print("bootstrap: " + text, flush=True)


def stop(text, command=""):
    sys.exit("bootstrap: " + text + ("\n    " + command if command else ""))


if __name__ == "__main__":
    main()
