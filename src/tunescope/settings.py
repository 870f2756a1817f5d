"""Settings: what a field may say about itself, and the one place where a settings object is made.

A verb's settings are one frozen dataclass: its fields are the options, the keys in a recipe and the
keywords in Python; the sentence under a field is its help. A field's metadata says the rest:

    role        `NOT_IN_KEY` (can't change results) or `INPUT` (names files, which count by content); see runs.py
    positional  typed without the option's name (`POSITIONAL`)
    range       numbers that it takes: `at_least(1)`, `above(0, at_most=1)`
    check       raises ValueError, which says what is expected, for a value that can't be used (`checked_by(parse)`)
    choices     words that it takes: `one_of("lengths", "coherence")`; a `Literal` says the same of a single one
    alias       names that other tools have for it, or that it once had: taken everywhere, not in help
    near        names of other tools for something near it, which are refused with a pointer to it
    refuse      raises `SettingsError` for a value that mustn't even be repeated (an address with a password in it)
    group       its heading in `--help`; without one, that of the class that it comes from
    hyphen      its value may begin with a hyphen
    verbatim    braces in it aren't a recipe's references
"""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from difflib import get_close_matches
from functools import cache
from math import inf, isfinite
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from tunescope.errors import SettingsError, UsageError
from tunescope.runs import INPUT, NOT_IN_KEY

POSITIONAL: Mapping[str, Any] = {"positional": True}
"""Metadata of a settings field that is typed without the option's name."""


@dataclass(frozen=True, slots=True)
class Range:
    """The finite numbers from `low` to `high`; an end that isn't included is open."""

    low: float = -inf
    high: float = inf
    open_low: bool = False
    open_high: bool = False
    hint: str = ""

    def __contains__(self, number: float) -> bool:
        """Tell whether a number lies in the range; infinities and NaN never do."""
        above = number > self.low if self.open_low else number >= self.low
        below = number < self.high if self.open_high else number <= self.high
        return isfinite(number) and above and below

    def __str__(self) -> str:
        """Say it in words, for example `above 0 and at most 1`."""
        low = f"{'above' if self.open_low else 'at least'} {self.low:g}" if self.low > -inf else ""
        high = f"{'below' if self.open_high else 'at most'} {self.high:g}" if self.high < inf else ""
        return " and ".join(filter(None, (low, high)))

    @property
    def expectation(self) -> str:
        """The range, with the hint behind it."""
        return f"{self}; {self.hint}" if self.hint else str(self)


def at_least(low: float, *, at_most: float = inf, below: float = inf, hint: str = "") -> dict[str, Any]:
    """Return metadata for numbers from `low` on; `hint` ends the error, for example `such as 5`."""
    return {"range": Range(low, min(at_most, below), False, below <= at_most and below < inf, hint)}


def above(low: float, *, at_most: float = inf, below: float = inf, hint: str = "") -> dict[str, Any]:
    """Return metadata for numbers larger than `low`; `hint` ends the error, for example `such as 5`."""
    return {"range": Range(low, min(at_most, below), True, below <= at_most and below < inf, hint)}


def one_of(*words: str) -> dict[str, Any]:
    """Return metadata for a text, or a list of texts, of which each is one of `words`."""
    return {"choices": words}


def checked_by(check: Callable[[Any], object]) -> dict[str, Any]:
    """Return metadata for a value that `check` takes; what its ValueError says is what is expected."""
    return {"check": check}


def group(title: str) -> dict[str, Any]:
    """Return metadata for a field's heading in `--help`."""
    return {"group": title}


@dataclass(frozen=True, kw_only=True)
class RowsSettings:
    """Where rows come from, and what to do with bad ones."""

    HELP_GROUP: ClassVar[str] = "Rows"

    rows: tuple[str, ...] = field(metadata={**INPUT, **POSITIONAL, "near": ("dataset", "data", "train_file")})
    """Row files: paths, globs, - for a pipe, or a Hugging Face data set (ID:SPLIT, ID:CONFIG:SPLIT)."""

    format: str | None = None
    """The rows' format: alpaca, messages, sharegpt, prompt_completion or preference. By default the content decides."""

    columns: tuple[str, ...] = ()
    """Your names for columns, as WORD=COLUMN, for example instruction=question."""

    on_bad: Literal["refuse", "skip"] = "refuse"
    """What to do with rows that can't be read: refuse the input, or skip them into rejected.jsonl."""


_RAY = re.compile(r"ray(?:://(?P<address>(?:[^\s/:@\[\]]+|\[[0-9a-fA-F:]+\]):\d{1,5}))?")


def _ray_address(engine: str) -> str | None:
    if engine == "local":
        return None
    found = _RAY.fullmatch(engine)
    if found is None:
        raise ValueError("local, ray or ray://HOST:PORT")
    return found["address"] or "auto"


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """Who does the work; results don't depend on it."""

    HELP_GROUP: ClassVar[str] = "Speed"

    engine: str = field(default="local", metadata={**NOT_IN_KEY, **checked_by(_ray_address)})
    """Where the work runs: local (this machine), ray (the Ray cluster that this machine is part of) or ray://HOST:PORT.
    docs/how-to/scale.md says how to start a cluster."""

    workers: int = field(default=1, metadata={**NOT_IN_KEY, **at_least(1)})
    """Number of parallel processes, each with its own copy of the model. The result is the same with any number."""

    @property
    def address(self) -> str | None:
        """The Ray cluster's HOST:PORT, `auto` for this machine's own; None for the local engine."""
        return _ray_address(self.engine)

    @property
    def is_here(self) -> bool:
        """Whether this process does the work itself."""
        return self.address is None and self.workers == 1


def as_cli_args(rows: Sequence[str], format: str | None, columns: Sequence[str], on_bad: str = "refuse") -> str:
    """Return row files, and how they are read, as arguments of a command to type next."""
    words = [*rows, *(("--format", format) if format else ())]
    words += [word for entry in columns for word in ("--columns", entry)]
    return shlex.join([*words, *(("--on-bad", on_bad) if on_bad != "refuse" else ())])


def as_command(verb: str, settings: type[Any], values: Mapping[str, Any]) -> str:
    """Return the command that has these settings: those of a finished run, as `run.json` keeps them.

    A setting at its default isn't typed, nor one that can't change results, nor one that the class no longer has.
    """
    first: list[str] = []
    words: list[str] = []
    for each in fields(settings):
        value = values.get(each.name, values.get(_public_name(each.name)))
        default = each.default_factory() if each.default_factory is not MISSING else each.default
        given = list(value) if isinstance(value, list | tuple) else value
        if each.metadata.get("role") == NOT_IN_KEY["role"]:
            continue
        if given is None or given == (list(default) if isinstance(default, tuple) else default):
            continue
        each_value = [str(item) for item in given] if isinstance(given, list) else [str(given)]
        if each.metadata.get("positional"):
            first += each_value
        elif isinstance(given, bool):
            words.append(as_option(each.name) if given else as_option(f"no_{each.name}"))
        else:
            words += [word for item in each_value for word in (as_option(each.name), item)]
    return shlex.join(["tunescope", *verb.split(), *first, *words])


def _public_name(name: str) -> str:
    """Return what a field is called outside its class: `from_` is `from`."""
    return name.rstrip("_")


def as_option(name: str) -> str:
    """Return the option of a field: `--max-words`."""
    return f"--{_public_name(name).replace('_', '-')}"


def positional(settings: type[Any]) -> list[str]:
    """Return the fields that are typed without their names, in order."""
    return [f.name for f in fields(settings) if f.metadata.get("positional")]


def _given_in_python(name: str, value: Any) -> str:
    """Return a setting as Python and recipes give it: `on_bad 'maybe'`."""
    return f"{_public_name(name)} {value!r}"


def make(settings: type[Any], values: Mapping[str, Any], given: Callable[[str, Any], str] = _given_in_python) -> Any:
    """Build a settings object from plain values: the command line, recipes and Python all pass here.

    Args:
        settings: the settings class.
        values: by the names of fields, or their aliases.
        given: says in an error which setting was given, and with what value, as the user typed it.

    Raises:
        UsageError: an unknown or missing setting, a value of the wrong type or out of its range.
    """
    declared = {f.name: f for f in fields(settings)}
    hints = get_type_hints(settings)
    resolved: dict[str, Any] = {}
    for name, value in values.items():
        ours = resolve_alias(settings, name)
        if ours is None:
            there_is = f"there is {', '.join(map(_public_name, declared))}"
            raise UsageError(f"{name}: no such setting; {pointer(settings, name) or there_is}")
        if ours in resolved:
            raise UsageError(f"{name}: {_public_name(ours)} is given twice")
        resolved[ours] = value
    missing = [_public_name(name) for name, f in declared.items() if is_required(f) and name not in resolved]
    if missing:
        raise UsageError(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    fitted = {name: fit(declared[name], hints[name], value, given) for name, value in resolved.items()}
    return settings(**fitted)


def is_required(declared: Field[Any]) -> bool:
    """Tell whether a field has no default."""
    return declared.default is MISSING and declared.default_factory is MISSING


def resolve_alias(settings: type[Any], name: str) -> str | None:
    """Return the field that is called `name`, by us or by other tools; None where none is."""
    names = {f.name: (f.name, _public_name(f.name), *f.metadata.get("alias", ())) for f in fields(settings)}
    return next((own for own, called in names.items() if name in called), None)


def pointer(settings: type[Any], name: str, spell: Callable[[str], str] = _public_name) -> str:
    """Say which setting may have been meant by `name`, which isn't one; empty where none is near."""
    for f in fields(settings):
        if name in f.metadata.get("near", ()):
            return f"did you mean {spell(f.name)}? {help_of(settings, f.name)}"
    spelled = {_public_name(f.name): spell(f.name) for f in fields(settings)}
    matches = get_close_matches(name.replace("-", "_"), spelled, 1)
    return f"did you mean {spelled[matches[0]]}?" if matches else ""


def fit(declared: Field[Any], hint: Any, value: Any, given: Callable[[str, Any], str]) -> Any:
    """Fit a plain value to a field's type, range and choices; raises `UsageError`."""
    if "refuse" in declared.metadata:
        try:
            for item in value if isinstance(value, list | tuple) else (value,):
                declared.metadata["refuse"](item)
        except SettingsError as error:
            raise UsageError(str(error)) from None
    fitted = _converted(hint, value)
    if fitted is _UNFIT:
        raise UsageError(f"{given(declared.name, value)}: expected {expected(declared, hint)}")
    if any("\0" in text for text in (fitted if isinstance(fitted, tuple) else (fitted,)) if isinstance(text, str)):
        raise UsageError(f"{given(declared.name, value)}: found a NUL, which no file's name can hold; expected text")
    limits: Range | None = declared.metadata.get("range")
    if limits is not None and fitted is not None and fitted not in limits:
        raise UsageError(f"{given(declared.name, value)}: expected {limits.expectation}")
    if "check" in declared.metadata:
        try:
            declared.metadata["check"](fitted)
        except ValueError as error:
            raise UsageError(f"{given(declared.name, value)}: expected {error}") from None
    choices = declared.metadata.get("choices")
    if choices is not None and fitted is not None and not _are_among(fitted, choices, declared.default):
        raise UsageError(f"{given(declared.name, value)}: expected {_one_of(choices)}")
    return fitted


_UNFIT = object()


def _converted(hint: Any, value: Any) -> Any:
    """Return a plain value as the type says: lists become tuples, paths become text; `_UNFIT` where it can't."""
    for option in get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,):
        kind = get_origin(option) or option
        if kind is Literal and value in get_args(option):
            return value
        if kind is NoneType and value is None:
            return None
        if kind is tuple:
            items = [value] if isinstance(value, str | PurePath) else value
            if isinstance(items, list | tuple) and all(isinstance(item, str | PurePath) for item in items):
                return tuple(str(item) for item in items)
        if kind is str and isinstance(value, str | PurePath):
            return str(value)
        if kind is bool and isinstance(value, bool):
            return value
        if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        if kind is int and isinstance(value, int) and not isinstance(value, bool):
            return value
    return _UNFIT


def _are_among(value: str | tuple[str, ...], choices: Sequence[str], default: Any) -> bool:
    """Tell whether a text, or each of a list, is one of the choices; a list is empty only where it is by default."""
    texts = {value} if isinstance(value, str) else {*value}
    return texts <= {*choices} and (bool(texts) or not default)


def expected(declared: Field[Any], hint: Any) -> str:
    """Say what a field takes, for example `a whole number, at least 1`."""
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds = " or ".join(_kind(option) for option in options if option is not NoneType)
    limits: Range | None = declared.metadata.get("range")
    choices = declared.metadata.get("choices")
    return f"{kinds}, {limits.expectation}" if limits is not None else _one_of(choices) if choices else kinds


def _one_of(choices: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(choices[:-1]), choices[-1])))


def _kind(option: Any) -> str:
    if get_origin(option) is Literal:
        return _one_of(get_args(option))
    words = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
    return words.get(option, "a list of texts")


def help_of(settings: type[Any], name: str) -> str:
    """Return the sentence under a settings field, from the class that declares it."""
    for owner in settings.__mro__:
        sentences = _sentences(owner) if owner is not object else {}
        if name in sentences:
            return sentences[name]
    raise KeyError(f"{settings.__name__}.{name} has no sentence under it")


@cache
def _sentences(owner: type[Any]) -> dict[str, str]:
    """Read the string that follows each annotated field in a class's source."""
    body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
    assert isinstance(body, ast.ClassDef)
    sentences: dict[str, str] = {}
    for field_node, text in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field_node, ast.AnnAssign)
            and isinstance(field_node.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            sentences[field_node.target.id] = " ".join(str(text.value.value).split())
    return sentences
