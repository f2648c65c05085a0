"""The one direction of imports, what serving may load, declared dependencies, and what a wheel contains."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OWN = ("reidapp", "training", "models", "ui")
BESIDE = {"tests", "benchmarks", "deploy", "docs", "tools"}  # not installed; tests import from where they lie
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# Those that put the parts together: they reach training and models, inside their functions.
ASSEMBLING = {
    "reidapp/demo.py",
    "reidapp/bench.py",
    *(f"reidapp/commands/{p.name}" for p in ROOT.glob("reidapp/commands/*.py")),
}

# Declared, though no file imports them: who uses them instead.
USED_BY_OTHERS = {
    "python-multipart": "FastAPI's file uploads",
    "tzdata": "zoneinfo, on systems without a time zone database",
    "tensorboard": "torch.utils.tensorboard",
    "milvus-lite": "pymilvus, by an address of a file",
    "pytest-timeout": "pytest",
    "pytest-xdist": "pytest",
    "ruff": "make lint",
    "mypy": "make lint",
    "types-pyyaml": "mypy",
    "setuptools": "the wheel below",
    "uv": "make constraints",
    "sphinx": "make docs",
    "myst-parser": "sphinx, by docs/conf.py",
    "furo": "sphinx, by docs/conf.py",
}

# Where packages_distributions cannot say, because the distribution is not installed here.
IMPORTED_AS = {"psycopg": "psycopg", "ray": "ray", "pymilvus": "pymilvus", "yaml": "pyyaml"}


IMPORTING = ("importlib.import_module", "__import__", "pytest.importorskip")


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imported_by(path: Path) -> Iterator[tuple[str, bool]]:
    """(top-level package, whether the import stands inside a function) of every import in a file."""
    tree = ast.parse(path.read_text(), str(path))
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names = [node.module]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in IMPORTING:
            names = [str(a.value) for a in node.args[:1] if isinstance(a, ast.Constant)]
        else:
            continue
        yield from ((name.split(".")[0], id(node) in inside) for name in names)


def modules(*folders: str) -> list[str]:
    """Dotted names of what can be imported; migrations are files that Alembic runs."""
    paths = [path.relative_to(ROOT).with_suffix("") for path in sources(*folders) if "migrations" not in path.parts]
    return [".".join(p.parts).removesuffix(".__init__") for p in paths if p.name != "__main__"]


def loaded_after(code: str, *forbidden: str) -> list[str]:
    """Which of ``forbidden`` (and their submodules) a fresh interpreter has loaded after running ``code``."""
    code += f"\nimport sys\nprint('loaded', *sorted(m for m in sys.modules if m.split('.')[0] in {forbidden!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


# --- the one direction of imports ---


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("reidapp", {"torch", "torchvision", "training", "models", "ui"}),
        ("ui", {"torch", "torchvision", "training", "models"}),
        ("models", {"training", "ui"}),
        ("training", {"ui"}),
    ],
)
def test_imports_run_one_way(folder, forbidden):
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(folder)
        for name, inside in imported_by(path)
        if name in forbidden and not (inside and name in OWN and path.relative_to(ROOT).as_posix() in ASSEMBLING)
    ]
    assert wrong == []


@pytest.mark.slow
def test_no_module_of_the_serving_side_loads_torch_or_training():
    code = "import importlib\n" + "\n".join(f"importlib.import_module({m!r})" for m in modules("reidapp", "ui"))
    assert loaded_after(code, "torch", "torchvision", "training", "models") == []


@pytest.mark.slow
def test_packages_that_serving_commands_open_are_free_of_torch():
    code = "import training, training.data, training.data.synthetic, models"
    assert loaded_after(code, "torch", "torchvision") == []
    code = "import importlib\n" + "\n".join(
        f"importlib.import_module({m!r})" for m in modules("training/data/synthetic")
    )
    assert loaded_after(code, "torch", "torchvision") == []


@pytest.mark.parametrize("command", [["--help"], ["--version"], ["index", "--help"], ["search", "--help"]])
def test_help_loads_nothing_heavy(command):
    code = f"""
import runpy, sys
sys.argv = ["reidapp", *{command!r}]
try:
    runpy.run_module("reidapp", run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
"""
    assert loaded_after(code, "torch", "gradio", "faiss", "cv2", "av", "onnxruntime", "sqlalchemy") == []


# --- dependencies: what is imported is declared, what is declared is used ---


def distributions(requirements: list[str]) -> set[str]:
    return {normalised(re.split(r"[\s\[<>=!~;]", r, maxsplit=1)[0]) for r in requirements}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


distributions_of_packages = cache(packages_distributions)


def third_party(path: Path) -> set[str]:
    """Distributions that a file imports; a name that nobody installed stands for itself."""
    known = distributions_of_packages()
    names = {name for name, _ in imported_by(path)} - set(OWN) - set(sys.stdlib_module_names) - BESIDE
    return {normalised(IMPORTED_AS.get(n) or (known.get(n) or [n])[0]) for n in names}


EXTRAS = {name: distributions(lines) for name, lines in PROJECT["optional-dependencies"].items()}
BASE = distributions(PROJECT["dependencies"])
SERVING = BASE | EXTRAS["cpu"] | EXTRAS["gpu"] | EXTRAS["ray"] | EXTRAS["milvus"] | EXTRAS["postgres"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folders", "declared"),
    [
        (("reidapp", "ui"), SERVING),
        (("training", "models"), SERVING | EXTRAS["train"] | EXTRAS["parquet"]),
        (("tests",), SERVING | EXTRAS["train"] | EXTRAS["dev"]),
    ],
)
def test_what_is_imported_is_declared(folders, declared):
    wrong = {str(p.relative_to(ROOT)): third_party(p) - declared for p in sources(*folders)}
    assert {path: names for path, names in wrong.items() if names} == {}


@pytest.mark.slow
def test_extras_beyond_one_machine_are_imported_only_where_used():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources("reidapp", "ui")
        for name, inside in imported_by(path)
        if name in ("ray", "pymilvus", "psycopg") and not inside
    ]
    assert wrong == []


@pytest.mark.slow
def test_what_is_declared_is_used():
    used = set().union(*(third_party(path) for path in sources(*OWN, "tests")))
    variants = {frozenset({"onnxruntime", "onnxruntime-gpu"}), frozenset({"faiss-cpu", "faiss-gpu"})}
    used |= {name for pair in variants if pair & used for name in pair}
    declared = BASE.union(*EXTRAS.values())
    assert sorted(declared - used - set(USED_BY_OTHERS)) == []
    # An entry whose dependency has gone, or is imported by now, has to go too.
    assert sorted(set(USED_BY_OTHERS) - (declared - used)) == []


def test_constraints_are_exact_versions_of_every_dependency_and_nothing_else():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)] == []
    assert lines == sorted(lines)
    pinned = {line.split("==")[0] for line in lines}
    assert sorted(BASE.union(*EXTRAS.values()) - pinned) == []


# --- the wheel ---


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A copy of what belongs to the repository, so that the build leaves nothing in it."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    copy = tmp_path_factory.mktemp("tree")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def wheel(tree) -> list[str]:
    """The names in a wheel built from the tree, without the network."""
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--wheel-dir", "out"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (file,) = (tree / "out").glob("*.whl")
    return zipfile.ZipFile(file).namelist()


def test_the_wheel_holds_every_module_and_data_file(tree, wheel):
    data = ("training/recipes/*.yaml", "models/zoo/*.*", "reidapp/footage/**/*.toml", "ui/components/*")
    wanted = [path for pattern in data for path in tree.glob(pattern) if path.is_file()]
    wanted += [path for folder in OWN for path in (tree / folder).rglob("*.py")]
    assert sorted({path.relative_to(tree).as_posix() for path in wanted} - set(wheel)) == []
    assert any(name.endswith("licenses/LICENSE") for name in wheel)


def test_the_wheel_holds_nothing_else(wheel):
    strange = [n for n in wheel if n.split("/")[0] not in OWN and not n.startswith("reidapp-")]
    assert strange == []


def test_no_large_file(tree):
    files = [path for path in tree.rglob("*") if path.is_file()]
    assert [str(p.relative_to(tree)) for p in files if p.stat().st_size > 30e6] == []
