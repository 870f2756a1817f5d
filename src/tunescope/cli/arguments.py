"""The words of a command before they are read: which verb, which options, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from functools import partial
from itertools import takewhile
from typing import Any, NamedTuple, get_type_hints

from cyclopts import CycloptsError
from cyclopts.exceptions import CoercionError, MissingArgumentError, RepeatArgumentError, UnusedCliTokensError

from tunescope.cli.help import positional_label
from tunescope.errors import UsageError
from tunescope.settings import as_option, expected, pointer, resolve_alias
from tunescope.verbs import GROUPS, VERBS

_HELP = ("--help", "-h")


def find_verb(arguments: Sequence[str]) -> str | None:
    """Return the verb that the arguments begin with; None where they ask for help, or name a group of verbs.

    Raises:
        UsageError: there is no such verb, or option of none.
    """
    listed = [name for name, verb in VERBS.items() if verb.proven]
    words = list(takewhile(lambda word: not word.startswith("-"), arguments[:2]))
    for name in (" ".join(words), *words[:1]):
        if name in listed:
            return name
    if words and words[0] not in GROUPS:
        raise UsageError(f"there is no verb {words[0]}{_nearest(words[0], [*GROUPS, *listed])}")
    if len(words) > 1:
        below = [name for name in listed if name.startswith(f"{words[0]} ")]
        raise UsageError(f"there is no verb {' '.join(words)}{_nearest(' '.join(words), below)}")
    for option in arguments[len(words) : len(words) + 1]:
        if option not in (*_HELP, "--version"):
            raise UsageError(f"there is no option {option}{_nearest(option, [*_HELP, '--version'])}")
    return None


def _nearest(word: str, words: Sequence[str]) -> str:
    matches = get_close_matches(word, words, 1)
    return f"; did you mean {matches[0]}?" if matches else "; type: tunescope --help"


class _Option(NamedTuple):
    """An option of a verb: its name, what its value is (None: it has none), whether that may begin with a hyphen."""

    name: str
    expected: str | None
    hyphen: bool = False


def with_our_names(verb: str, arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the options of other tools (--learning_rate) spelled as ours (--lr).

    Raises:
        UsageError: there is no such option, or its value is missing. Behind -- everything is a file.
    """
    settings = VERBS[verb].settings_class()
    if any(word in _HELP for word in arguments):
        return list(arguments)
    words = iter(arguments)
    out: list[str] = []
    for word in words:
        if word == "--":
            return [*out, word, *words]
        if word == "-" or not word.startswith("-"):
            out.append(word)
            continue
        typed, equals, value = word.partition("=")
        option = _find_option(settings, typed)
        out.append(f"{option.name}{equals}{value}")
        if option.expected and not equals:
            out.append(_value(option, next(words, None)))
    return out


def _find_option(settings: type[Any], typed: str) -> _Option:
    """Return the option that was typed."""
    fields = settings.__dataclass_fields__
    if typed == "--json":
        return _Option(typed, None)
    if typed == "--fail-on" and "out" in fields:
        return _Option(typed, "a condition")
    name = typed.lstrip("-").replace("-", "_")
    ours = resolve_alias(settings, name) if typed.startswith("--") else None
    if ours is None:
        meant = pointer(settings, name, partial(_spelled, settings))
        raise UsageError(f"there is no option {typed}" + (f"; {meant}" if meant else ""))
    hint = get_type_hints(settings)[ours]
    takes = None if hint is bool else expected(fields[ours], hint)
    return _Option(as_option(ours), takes, bool(fields[ours].metadata.get("hyphen")))


def _value(option: _Option, word: str | None) -> str:
    """Return the word behind an option, as its value."""
    if word is None or (word.startswith("--") and not option.hyphen):
        raise UsageError(f"{option.name} is without its value; expected {option.expected}")
    return word


def _spelled(settings: type[Any], name: str) -> str:
    """Return what a setting is called on the command line: `ROWS`, `--max-words`."""
    positional = settings.__dataclass_fields__[name].metadata.get("positional")
    return positional_label(name) if positional else as_option(name)


def as_typed(settings: type[Any], name: str, value: Any) -> str:
    """Return a setting as it was typed: `--max-words 0`."""
    text = f"{value:g}" if isinstance(value, float) else " ".join(value) if isinstance(value, tuple) else str(value)
    return f"{_spelled(settings, name)} {text}"


def explain(error: CycloptsError) -> str:
    """Say in one sentence what is wrong with the arguments."""
    if isinstance(error.__cause__, UsageError):
        return str(error.__cause__)
    if isinstance(error, CoercionError) and error.token is not None:  # cyclopts reads only switches itself
        return f"{error.token.keyword} {error.token.value}: expected true or false"
    if isinstance(error, UnusedCliTokensError):
        return f"nothing takes {' '.join(error.unused_tokens or ())}"
    if isinstance(error, RepeatArgumentError):
        return f"{error.token.keyword} is given twice"
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        name = error.argument.name
        return f"{name if error.argument.index is None else positional_label(name)} is missing"
    return str(error)
