"""Recipes: YAML files that say everything about a training run but the data. Importing this module loads no torch."""

import math
import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from reidapp.errors import UserError
from reidapp.registry import suggestion

FOLDER = Path(__file__).parent / "recipes"
GOOD_FOR = "Good for: "
_SMALL = FOLDER / "_small.yaml"  # what a CPU can train
_LEARNS_FROM = {"supervised": "labelled crops", "dgd": "labelled crops of several data sets", "cycas": "whole frames"}
_UNLABELLED = "unlabelled crops"


def _entry(given: Any) -> Any:
    """``osnet`` and ``{osnet: }`` mean ``{osnet: {}}``."""
    entry = {given: {}} if isinstance(given, str) else given
    if isinstance(entry, dict) and len(entry) > 1:
        *others, last = map(str, entry)
        hint = suggestion(last, others) or f"; to replace what is there, set all of it to {{{last}: …}}"
        raise ValueError(f"one name expected, not {', '.join(others)} and {last}{hint}")
    if not isinstance(entry, dict) or not entry:
        raise ValueError("a name, or one name with its options, expected")
    return {name: options or {} for name, options in entry.items()}


Entry = Annotated[dict[str, dict[str, Any]], BeforeValidator(_entry)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Input(_Strict):
    """Size of the network's input in pixels."""

    height: int = Field(default=128, ge=16, le=1024)
    width: int = Field(default=64, ge=16, le=1024)


class Schedule(_Strict):
    """How long, and how fast.

    Attributes:
        epochs: length of the run, and the unit of ``milestones``, ``warmup_epochs`` and ``hold_epochs``.
        images: length of the run in training images instead; if given, the whole schedule is stretched to it.
        lr: the highest learning rate.
        backbone_lr: the backbone's rate as a share of it; papers that start from ImageNet often take a tenth.
        warmup_epochs: in which the rate rises in a straight line.
        warmup_start: the rate it rises from; a hundredth of ``lr`` if not given.
        shape: how the rate falls. ``cosine``: along half a wave to ``final``, a share of ``lr``. ``exponential``: to
            ``final`` by the same factor every step. ``step``: times ``gamma`` at each of the ``milestones``.
        hold_epochs: how long the rate stays at its highest before a cosine or exponential fall (warm-up included).
    """

    epochs: int = Field(default=40, ge=1)
    images: int | None = Field(default=None, ge=1)
    lr: float = Field(gt=0)
    backbone_lr: float = Field(default=1.0, ge=0)
    warmup_epochs: float = Field(default=0, ge=0)
    warmup_start: float | None = Field(default=None, gt=0)
    shape: Literal["cosine", "exponential", "step"] = "cosine"
    final: float = Field(default=0.01, gt=0, le=1)
    hold_epochs: float = Field(default=0, ge=0)
    milestones: list[float] = []
    gamma: float = Field(default=0.1, gt=0, le=1)

    @model_validator(mode="after")
    def _fits(self) -> "Schedule":
        if self.milestones and self.shape != "step":
            raise ValueError("milestones need shape: step")
        return self

    def steps(self, batch_size: int, batches: int) -> int:
        """Of the whole run, of epochs of so many batches; a budget in images cuts the last epoch short."""
        return math.ceil(self.images / batch_size) if self.images else self.epochs * batches

    def rate(self, progress: float) -> float:
        """The learning rate at a point of the run.

        Args:
            progress: share of the run that is done, 0 to 1.
        """
        epoch = progress * self.epochs
        if epoch < self.warmup_epochs:
            start = self.lr / 100 if self.warmup_start is None else self.warmup_start
            return start + (self.lr - start) * epoch / self.warmup_epochs
        if self.shape == "step":
            return self.lr * self.gamma ** sum(progress >= milestone / self.epochs for milestone in self.milestones)
        hold = max(self.warmup_epochs, self.hold_epochs)
        fallen = (epoch - hold) / (self.epochs - hold) if epoch > hold else 0.0
        if self.shape == "exponential":
            return self.lr * self.final**fallen
        return self.lr * (self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * fallen)))


class Recipe(_Strict):
    """A checked recipe.

    ``backbone``, ``head``, ``method``, ``optimizer``, ``sampler`` and ``augmentation`` options are checked by what they
    configure; ``loss`` maps a loss's name to its options, of which ``on`` (an output of the network, or a list of them)
    and ``weight`` are the method's. Some methods have a loss of their own, and none here. A backbone's ``pretrained``
    (``imagenet`` or a file) is the engine's.

    Attributes:
        start: a run folder, or an fp32 file of `reidapp export`, whose network, head and all, goes on in place of
            ``backbone``, ``head``, ``input``.
        precision: of the network's arithmetic; weights and losses stay in float32.
        compile: compile the network with torch.compile.
        accumulate: batches whose gradients are averaged before each step of the optimizer; at an epoch's end, fewer.
        clip: the gradient's norm is cut down to this.
        ema: decay of the moving average of the weights, for example 0.999; then that average is the run's model.
        keep_every: of how many epochs one checkpoint stays in the run folder, besides the last epoch's.
        bn_split: parts of a batch that batch norm sees one by one, as on that many GPUs.
        changes: the overrides that were applied to the file.
    """

    name: str
    backbone: Entry
    head: Entry
    loss: dict[str, dict[str, Any] | None] = {}
    schedule: Schedule
    input: Input = Input()
    method: Entry = {"supervised": {}}
    sampler: dict[str, Any] = {}
    augmentation: dict[str, Any] = {}
    optimizer: Entry = {"adamw": {}}
    start: str | None = None
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    compile: bool = False
    accumulate: int = Field(default=1, ge=1)
    clip: float | None = Field(default=None, gt=0)
    ema: float | None = Field(default=None, gt=0, lt=1)
    bn_split: int = Field(default=1, ge=1)
    keep_every: int | None = Field(default=None, ge=1)
    changes: list[str] = []

    @property
    def where(self) -> str:
        """What errors call it."""
        return f"recipe {self.name}"

    def to_yaml(self) -> str:
        import yaml

        return f"# {self.name}, with all changes\n" + yaml.safe_dump(self.model_dump(), sort_keys=False)

    @property
    def pretrained(self) -> str | None:
        """Where the backbone's first weights come from."""
        (options,) = self.backbone.values()
        return options.get("pretrained")

    def network(self) -> dict[str, Any]:
        """The description that `models.network.Network` takes."""
        ((name, options),) = self.backbone.items()
        backbone = {name: {key: value for key, value in options.items() if key != "pretrained"}}
        return {"height": self.input.height, "width": self.input.width, "backbone": backbone, "head": self.head}


def list_recipes() -> list[str]:
    """Names of the recipes that come with the application."""
    return sorted(p.stem for p in FOLDER.glob("[!_]*.yaml"))


def kinds() -> dict[str, list[str]]:
    """{what they learn from: names} of the recipes that come with the application."""
    found = dict[str, list[str]]({kind: [] for kind in (*_LEARNS_FROM.values(), _UNLABELLED)})
    for name in list_recipes():
        method = re.search(r"^method:\s*\{?\s*(\w+)", (FOLDER / f"{name}.yaml").read_text("utf-8"), re.MULTILINE)
        found[_LEARNS_FROM.get(method[1] if method else "supervised", _UNLABELLED)].append(name)
    return found


def describe(name: str) -> str:
    """The first sentence of a recipe that comes with the application."""
    return re.split(r"(?<=\.) (?=\D)", " ".join(" ".join(_comment(name)).split()), maxsplit=1)[0]


def good_for(name: str) -> str:
    """What a recipe that comes with the application is good for: its comment has a line of it."""
    said = [line for line in _comment(name) if line.startswith(GOOD_FOR)]
    if len(said) != 1:
        raise ValueError(f"{FOLDER / name}.yaml: one line `# {GOOD_FOR}…` expected in its first comment")
    return said[0].removeprefix(GOOD_FOR)


def _comment(name: str) -> list[str]:
    lines = (FOLDER / f"{name}.yaml").read_text("utf-8").splitlines()
    return [line.removeprefix("#").strip() for line in takewhile(lambda line: line.startswith("#"), lines)]


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = (), small: bool = False) -> Recipe:
    """Read and check a recipe.

    Args:
        name_or_path: a name of `list_recipes`, or a YAML file.
        overrides: changes such as ``schedule.epochs=5`` or ``loss.triplet=null`` (which removes it).
        small: put a network, a size and a schedule for a CPU in place of the recipe's, before the overrides; what a
            file says under ``small`` goes before these.

    Raises:
        UserError: no such recipe, not YAML, an unknown key (the nearest one is suggested) or a wrong value.
    """
    path = FOLDER / f"{name_or_path}.yaml"
    if str(name_or_path) not in list_recipes():
        path = Path(name_or_path)
        if not path.is_file():
            known = list_recipes()
            hint = suggestion(str(name_or_path), known)
            raise UserError(f'recipe "{name_or_path}": no such recipe or file{hint}; known: {", ".join(known)}')
    raw = _read_yaml(path.read_text("utf-8"), f"recipe {path}")
    if not isinstance(raw, dict):
        raise UserError(f"recipe {path}: keys and values expected")
    own = raw.pop("small", {})
    if small:
        raw |= _read_yaml(_SMALL.read_text("utf-8"), f"recipe {_SMALL}") | own
    for override in overrides:
        _override(raw, override)
    raw["changes"] = [*raw.get("changes", []), *(["--small"] if small else []), *overrides]
    return parse_recipe({"name": path.stem} | raw, f"recipe {path.stem}")


def parse_recipe(raw: dict[str, Any], where: str) -> Recipe:
    """Check a recipe given as a dictionary.

    Raises:
        UserError: the first fault, with the key's full name.
    """
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        fault = error.errors()[0]
        place = [str(part) for part in fault["loc"]]
        if fault["type"] == "extra_forbidden":
            *parents, key = place
            hint = _hint(key, parents)
            under = f" under {'.'.join(parents)}" if parents else ""
            raise UserError(f'{where}: unknown key "{key}"{under}{hint}') from None
        raise UserError(f"{where}: {'.'.join(place)}: {fault['msg'].removeprefix('Value error, ')}") from None


def _hint(key: str, parents: list[str]) -> str:
    """A key that begins so, else the nearest; for one at the top, those of the sections count too."""
    known = _fields_of(parents)
    if not parents:
        known += [f"{section}.{name}" for section in ("schedule", "input") for name in _fields_of([section])]
    longer = [name for name in known if name.rpartition(".")[2].startswith(key)]
    return suggestion(longer[0] if longer else key, known)


def _fields_of(parents: list[str]) -> list[str]:
    model: Any = Recipe
    for parent in parents:
        model = model.model_fields[parent].annotation
    return list(model.model_fields)


def _override(raw: dict[str, Any], override: str) -> None:
    """Apply ``a.b=value`` in place; the value is YAML."""
    key, equals, value = override.partition("=")
    *parents, last = key.strip().split(".")
    if not equals or not last:
        raise UserError(f'override "{override}": write KEY=VALUE, for example schedule.epochs=5')
    at = raw
    for parent in parents:
        if at.get(parent) is None or isinstance(at[parent], str):
            at[parent] = {} if at.get(parent) is None else {at[parent]: {}}
        at = at[parent]
        if not isinstance(at, dict):
            raise UserError(f'override "{override}": {parent} has no keys of its own')
    parsed = _read_yaml(value, f'override "{override}"')
    if parents == ["loss"] and parsed is None:
        at.pop(last, None)
    else:
        at[last] = parsed


def _read_yaml(text: str, where: str) -> Any:
    import yaml  # of the train extra; listing recipes must work without it

    class Loader(yaml.SafeLoader):
        """SafeLoader with two rules of YAML 1.2: 1e-3 is a number, and ``on`` is a key like any other."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, rule) for tag, rule in rules if tag != "tag:yaml.org,2002:bool"]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
    number = re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+0123456789."))
    try:
        return yaml.load(text, Loader)  # noqa: S506 - a SafeLoader: it makes no objects
    except yaml.YAMLError as error:
        raise UserError(f"{where}: not valid YAML ({' '.join(str(error).split())})") from None
