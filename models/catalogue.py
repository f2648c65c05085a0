"""Which models and detectors there are, what each says of itself, and whether its file is sound. No torch."""

import dataclasses
import functools
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models import zoo
from reidapp import detector_files, registry
from reidapp.detector_files import Record, Release, releases, run_detector, sha256_of
from reidapp.errors import UserError
from reidapp.footage.detection import built_in
from reidapp.model_card import model_identity, read_card

if TYPE_CHECKING:
    from reidapp.download import Progress

_MARGIN = 4  # times the size that a release has, beyond which no download can be of it


@dataclass(frozen=True)
class Entry:
    """A model or a detector.

    Attributes:
        kind: ``model`` or ``detector``.
        state: ``shipped``, ``built in``, ``pulled``, ``to pull``, or ``own`` for a file that the user named.
        size: bytes; of one that is still to be pulled, about.
        scores: in words, a line for each protocol.
        sha256: of the file, as it is now; "" without one.
        where: its file; "" without one.
    """

    name: str
    kind: str
    state: str
    size: int
    licence: str
    scores: list[str]
    sha256: str
    where: str

    def __str__(self) -> str:
        about = "~" if self.state == "to pull" else ""
        size = f"{about}{self.size / 1e6:.1f} MB" if self.size else ""
        licence = self.licence.partition(" (")[0]
        line = f"{self.name:16} {self.kind:8} {self.state:8} {size:>8}  {self.sha256[:12]:12}  {licence}"
        return "\n    ".join(text for text in (line, *self.scores[:1], self.where) if text)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def entries() -> list[Entry]:
    """All that is shipped, built in, pulled, or can be pulled."""
    return [_entry(name) for name in (*zoo.names(), *built_in(), *releases())]


def info(name_or_file: str) -> dict[str, Any]:
    """Everything that is known of a model or detector, or of an ONNX file of one's own.

    Raises:
        UserError: no such name or file, or no ONNX model.
    """
    entry = _entry(name_or_file)
    facts: dict[str, Any] = entry.to_dict()
    if entry.where:
        path = Path(entry.where)
        if card := read_card(path):
            facts |= {"identity": model_identity(path), "card": dataclasses.asdict(card)}
        facts |= _graph(path)
    if release := releases().get(entry.name):
        facts |= {"detector": release.detector, "source": release.source, "url": release.url or release.weights}
        if record := Record.read(detector_files.default_folder(), entry.name):
            facts["recorded"] = {"sha256": record.sha256, "date": record.date, "url": record.url}
    return facts


def verify(name_or_file: str) -> str:
    """Whether a file has the sha256 that is pinned or recorded, and works.

    Returns:
        what was found, in one line.

    Raises:
        UserError: it has another one, its card cannot be read, or it does not run as it should.
    """
    entry = _entry(name_or_file)
    if entry.state == "to pull":
        raise UserError(f"{entry.name}: not on this machine; `reidapp models pull {entry.name}` fetches it")
    if not entry.where:
        run_detector(entry.name)
        return f"{entry.name}: {entry.state}; runs"
    path = Path(entry.where)
    expected, whose = _expected(entry, path)
    if expected and entry.sha256 != expected:
        again = "install reidapp" if entry.state == "shipped" else f"pull {path.stem}"
        raise UserError(f"{path}: its sha256 is {entry.sha256}, the {whose} one is {expected}; {again} again")
    digest = f"sha256 {entry.sha256[:12]} " + (f"is the {whose} one" if expected else "(none recorded to compare with)")
    return f"{entry.name}: {digest}; {_run_model(path) if read_card(path) else _run_detector(path)}"


def present() -> list[str]:
    """The names of which there is something to verify."""
    return [*zoo.names(), *built_in(), *detector_files.pulled()]


def pull(
    name: str,
    folder: Path | None = None,
    url: str | None = None,
    timeout_s: float = 30.0,
    progress: "Progress | None" = None,
) -> tuple[Record, bool]:
    """Fetch a detector by name; see `reidapp.detector_files.pull`.

    Args:
        url: another address of the same file.

    Raises:
        UserError: nothing to be pulled by that name, or it did not come.
    """
    release = release_of(name)
    if not release.weights:
        from reidapp.download import download

        address = url or release.url
        most = _MARGIN * release.megabytes
        obtain = functools.partial(download, address, most_mb=most, timeout_s=timeout_s, progress=progress)
        return detector_files.pull(release, obtain, folder, address)
    if url:
        raise UserError(f"--from: {name} is fetched by torchvision from its own address; leave it out")
    if importlib.util.find_spec("torch") is None:
        raise ModuleNotFoundError(name="torch")

    def export(path: Path) -> None:
        from models.export_detector import export_detector

        export_detector(release.weights, path, timeout_s)

    return detector_files.pull(release, export, folder)


def release_of(name: str) -> Release:
    """What can be pulled by a name.

    Raises:
        UserError: nothing.
    """
    if name in releases():
        return releases()[name]
    if name in (*zoo.names(), *built_in()):
        raise UserError(f"{name}: comes with reidapp, there is nothing to pull")
    known = list(releases())
    hint = registry.suggestion(name, known)
    raise UserError(f'"{name}": nothing to pull by that name{hint}; known: {", ".join(known)}')


def _entry(name: str) -> Entry:
    if name in zoo.names():
        return _of_file(zoo.file_of(name), name, "shipped")
    if name in built_in():
        licence = getattr(registry.find("reidapp.footage.detection", name), "licence", "")
        return Entry(name, "detector", "built in", 0, licence, [], "", "")
    if release := releases().get(name):
        if path := detector_files.pulled().get(name):
            size, scores = path.stat().st_size, [release.scores]
            return Entry(name, "detector", "pulled", size, release.licence, scores, sha256_of(path), str(path))
        size = round(release.megabytes * 1e6)
        return Entry(name, "detector", "to pull", size, release.licence, [release.scores], release.sha256, "")
    if Path(name).is_file():
        return _of_file(Path(name), name, "own")
    known = [*zoo.names(), *built_in(), *releases()]
    hint = registry.suggestion(name, known)
    raise UserError(f'"{name}": no such file, model or detector{hint}; known: {", ".join(known)}')


def _of_file(path: Path, name: str, state: str) -> Entry:
    licence, scores = "", list[str]()
    try:
        card = read_card(path)
    except UserError as error:
        if state == "own":
            raise
        card, scores = None, [f"damaged: {error}"]  # the others are listed all the same
    if card:
        licence, scores = card.licence, card.score_lines()
    kind = "model" if card or state == "shipped" else "other"
    return Entry(name, kind, state, path.stat().st_size, licence, scores, sha256_of(path), str(path))


def _graph(path: Path) -> dict[str, Any]:
    from reidapp.embedding import open_session

    session = open_session(path, provider="cpu")
    return {
        "inputs": {i.name: f"{i.type} {i.shape}" for i in session.get_inputs()},
        "outputs": {o.name: f"{o.type} {o.shape}" for o in session.get_outputs()},
    }


def _expected(entry: Entry, path: Path) -> tuple[str | None, str]:
    """The sha256 that a file must have, and whether it is pinned or recorded."""
    if entry.state == "shipped":
        return zoo.pinned(entry.name), "pinned"
    if (release := releases().get(path.stem)) and release.sha256:
        return release.sha256, "pinned"
    record = Record.read(path.parent, path.stem) if path.stem in releases() else None
    return record.sha256 if record else None, "recorded"


def _run_model(path: Path) -> str:
    from reidapp.embedding import Embedder

    embedder = Embedder(path, provider="cpu")
    rng = np.random.default_rng(0)
    crops = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((128, 64), (1, 1), (90, 200))]
    try:
        lengths = np.linalg.norm(embedder.embed(crops), axis=1)
    except Exception as error:  # ONNX Runtime raises a class per fault, all directly below Exception
        raise UserError(f"{path}: does not run ({' '.join(str(error).split())})") from error
    if not np.allclose(lengths, 1, atol=1e-3):  # false for NaN too
        raise UserError(f"{path}: its embeddings are not of length one ({lengths.round(3).tolist()})")
    return f"card readable; embeddings of length one, {embedder.card.dim}-d"


def _run_detector(path: Path) -> str:
    """Run a file by the detector of its name, or by the first one that it fits."""
    if release := releases().get(path.stem):
        run_detector(f"{release.detector}:{path}")
        return f"runs as {release.detector}"
    for detector in sorted({release.detector for release in releases().values()}):
        try:
            run_detector(f"{detector}:{path}")
        except UserError:
            continue
        return f"runs as {detector}"
    raise UserError(
        f"{path}: neither a model with a reidapp card (`reidapp export` or `reidapp models adopt` writes one) "
        "nor a detector's file"
    )
