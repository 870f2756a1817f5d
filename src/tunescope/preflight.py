"""What the steps of a recipe need, looked at before the first of them runs: packages, questions and rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from tunescope.errors import MissingPackageError, RunError, SettingsError, TunescopeError, WorkError
from tunescope.runs import look_up
from tunescope.settings import make
from tunescope.verbs import VERBS

_EXTRAS = {
    "measure": "models",
    "tune": "models",
    "answer": "models",
    "shift": "models",
    "bench": "models",
    "trace": "trace",
    "trace index": "trace",
}
"""The extra without which a verb can't work."""
_PACKAGES = {"models": ("torch", "transformers", "peft"), "trace": ("numba", "pydivsufsort"), "oracle": ("openai",)}


def check_needs(steps: Iterable[tuple[str, str, Mapping[str, Any], bool]], inputs: Iterable[str]) -> None:
    """Raise for what would stop a step after others have worked for it.

    Args:
        steps: each step's name, verb and settings, and whether all that it uses is there already. Such a verb checks
            its own inputs and settings. Of another, what an earlier step makes is no file yet.
        inputs: the paths of the recipe's inputs.

    Raises:
        MissingPackageError: a package that a step needs.
        SettingsError: what verbs refuse, and questions or rows that can't be read, one line each.
    """
    there = set(inputs)
    problems: dict[str, None] = {}
    for name, verb, settings, is_ready in steps:
        _check_packages(name, verb, settings)
        for reason in _refusals(verb, settings) if is_ready else _unreadable(settings, there):
            problems.setdefault(f"step {name}: {reason}")
    if problems:
        raise SettingsError("\n  ".join(["before the first step:", *problems]))


def packages_of(verbs: Iterable[str]) -> set[str]:
    """Return the packages that verbs can't work without."""
    return {package for verb in verbs for package in _PACKAGES.get(_EXTRAS.get(verb, ""), ())}


def _check_packages(name: str, verb: str, settings: Mapping[str, Any]) -> None:
    extra = "oracle" if "://" in str(settings.get("model")) else _EXTRAS.get(verb, "")
    for package in _PACKAGES.get(extra, ()):
        if find_spec(package) is None:
            raise MissingPackageError(package, extra, f"step {name}")


def _refusals(verb: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield why a verb refuses its inputs or settings; not a run folder in the way, or a silent server."""
    try:
        look_up(VERBS[verb].call(), make(VERBS[verb].settings_class(), settings))
    except (RunError, WorkError, MissingPackageError):
        pass
    except TunescopeError as error:
        yield str(error)


def _unreadable(settings: Mapping[str, Any], there: set[str]) -> Iterator[str]:
    """Read the questions of a step, and the first of its rows; yield what is wrong with those that are inputs."""
    from tunescope.prompts import read_prompts
    from tunescope.rows import open_rows

    prompts, rows = settings.get("prompts"), settings.get("rows")
    try:
        if isinstance(prompts, str) and prompts in there and Path(prompts).is_file():
            read_prompts(prompts, settings.get("format"))
        for path in [rows] if isinstance(rows, str) else rows or ():
            if path in there:
                columns = settings.get("columns", ())
                columns = (columns,) if isinstance(columns, str) else columns
                list(islice(open_rows([path], settings.get("format"), columns, settings.get("on_bad", "refuse")), 1))
    except TunescopeError as error:
        yield str(error)
