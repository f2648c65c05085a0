"""Things that are found by name: losses, methods, backbones, datasets, detectors.

A folder is a registry: every file in it is one entry, named by its stem, and its class is found when it is asked for.
Adding an entry means adding a file; nothing else has to know.
"""

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from typing import Any, Literal, get_origin

from reidapp.errors import UserError


def names(package: str) -> list[str]:
    """The entries of a folder, without importing any of them.

    Args:
        package: dotted name, for example ``training.losses``.
    """
    folder = importlib.import_module(package)
    return sorted(m.name for m in pkgutil.iter_modules(folder.__path__) if not m.name.startswith("_") and not m.ispkg)


def find(package: str, name: str) -> type:
    """The class that ``name`` stands for in a folder.

    ``name`` is a file's stem, or the name of a class defined in one of the files. Only classes defined in a file
    count, not the ones it imports. A file with several classes answers to its stem with the first one.

    Raises:
        UserError: no such entry, the message suggests the nearest name; or a file without a class.
    """
    known = names(package)
    if name in known and not _classes_of(importlib.import_module(f"{package}.{name}")):
        raise UserError(f"{package}.{name}: no class in its file; a name that begins with _ does not count")
    for stem in [name] if name in known else known:
        for cls in _classes_of(importlib.import_module(f"{package}.{stem}")):
            if name in (stem, cls.__name__):
                return cls
    kind = package.rsplit(".", 1)[-1]
    raise UserError(f'{kind}: unknown name "{name}"{suggestion(name, known)}; known: {", ".join(known)}')


def build(cls: type, options: Mapping[str, Any] | None, where: str, **facts: Any) -> Any:
    """Construct ``cls`` from a user's options, which are checked against its signature.

    Args:
        options: what the user wrote, for example ``{"margin": 0.3}``.
        where: named in errors, for example ``recipe bot, loss.triplet``.
        facts: run-time values (``dim``, ``num_classes``, …), passed only if the constructor names them.

    Raises:
        UserError: an unknown or missing option, or one of the wrong type or out of range.
    """
    parameters = inspect.signature(cls, eval_str=True).parameters
    options = options or {}
    for key in options:
        if key not in parameters:
            own = [p for p in parameters if p not in facts]
            raise UserError(f'{where}: unknown key "{key}"{suggestion(key, own)}; known: {", ".join(own) or "none"}')
    arguments = {key: value for key, value in facts.items() if key in parameters}
    arguments |= {key: _checked(value, parameters[key].annotation, f"{where}: {key}") for key, value in options.items()}
    missing = [n for n, p in parameters.items() if p.default is p.empty and p.kind in _NAMED and n not in arguments]
    if missing:
        raise UserError(f"{where}: missing {', '.join(missing)}")
    return cls(**arguments)


def suggestion(name: str, known: list[str]) -> str:
    """``; did you mean "…"?`` where a known name is near, else nothing."""
    near = difflib.get_close_matches(name, known, n=1)
    return f'; did you mean "{near[0]}"?' if near else ""


def _checked(value: Any, annotation: Any, where: str) -> Any:
    """An option as its annotation has it; a choice of words is left to the constructor's own message."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError  # not at the top: help must be instant

    if annotation is inspect.Parameter.empty or get_origin(annotation) is Literal:
        return value
    config = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
    try:
        return TypeAdapter(annotation, config=config).validate_python(value)
    except ValidationError as error:
        faults = dict.fromkeys(fault["msg"][:1].lower() + fault["msg"][1:] for fault in error.errors())
        raise UserError(f"{where}: {' or '.join(faults)}, not {value!r}") from None


_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _classes_of(module: Any) -> list[type]:
    members = vars(module).values()
    return [c for c in members if inspect.isclass(c) and c.__module__ == module.__name__ and c.__name__[0] != "_"]
