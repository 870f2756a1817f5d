"""What the steps of a recipe need, looked at before the first of them runs: packages, questions and rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from functools import partial
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
_FILES = (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".gz", ".jinja", ".yaml", ".yml")
"""How names end that are files, and neither models nor data sets on the hub."""
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
        for reason in _refusals(verb, settings) if is_ready else _unreadable(verb, settings, there):
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


def _unreadable(verb: str, settings: Mapping[str, Any], there: set[str]) -> Iterator[str]:
    """Look for the files of a step, and read its questions, answers and fake, and the first of its rows.

    `there` are the recipe's inputs; of what earlier steps make nothing can be said. Yields what is wrong.
    """
    from tunescope.answers import read_answers
    from tunescope.oracle.fake import FAKE_PREFIX, read_fake
    from tunescope.prompts import read_prompts
    from tunescope.rows import open_rows

    named = [f.name for f in fields(VERBS[verb].settings_class()) if f.metadata.get("role") == "input"]
    for name in named:
        for path in (each.removeprefix(FAKE_PREFIX) for each in _listed(settings.get(name))):
            if path.endswith(_FILES) and "://" not in path and not os.path.exists(path):  # False also for a long text
                yield f"{name}: no such file {path}"
    format_, columns = settings.get("format"), _listed(settings.get("columns"))
    on_bad = settings.get("on_bad", "refuse")
    reads: list[tuple[str, Callable[[str], object]]] = [
        ("prompts", lambda path: read_prompts(path, format_)),
        ("rows", lambda path: list(islice(open_rows([path], format_, columns, on_bad), 1))),
        ("answers", lambda path: list(islice(read_answers(path), 1))),
        ("reference", lambda path: list(islice(read_answers(path), 1))),
    ]
    for name, read in reads:
        for path in _listed(settings.get(name)):
            if path in there and (name == "rows" or Path(path).is_file()):
                yield from _problem_of(partial(read, path))
    for oracle in _listed(settings.get("oracle")):
        fake = oracle.removeprefix(FAKE_PREFIX)
        if fake != oracle and os.path.exists(fake):
            yield from _problem_of(partial(read_fake, Path(fake)))


def _listed(value: Any) -> tuple[str, ...]:
    """Return the texts of a setting that hold no placeholder of what an earlier step makes, nor a pattern."""
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(each for each in values if isinstance(each, str) and not set(each) & set("\0*?["))


def _problem_of(read: Callable[[], object]) -> Iterator[str]:
    """Yield why something can't be read, if it can't."""
    try:
        read()
    except TunescopeError as error:
        yield str(error)
