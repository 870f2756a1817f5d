"""The command line: `tunescope VERB …`.

Results go to stdout, talk to stderr. Exit 0 done, 1 refused in one sentence, 2 wrong usage,
3 a gate failed, 130 interrupted.
"""

from __future__ import annotations

import json as json_format
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from inspect import Parameter as Slot
from inspect import Signature
from io import TextIOWrapper
from typing import Annotated, Any, get_args, get_type_hints

from cyclopts import App, CycloptsError, Parameter

from tunescope import __version__
from tunescope.errors import TunescopeError
from tunescope.verbs import GROUPS, VERBS, Verb, in_our_words

POSITIONAL = {"rows", "prompts", "a", "b", "row_id", "runs", "recipe", "table", "files"}
"""Settings that are typed without their name, but where their field says `option`; others say `positional`."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal may lack our dashes, a file name may be no UTF-8
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code."""
    app = build(arguments)
    try:
        return int(
            app(_in_our_words(arguments), exit_on_error=False, print_error=True, result_action="return_value") or 0
        )
    except CycloptsError:
        return 2
    except TunescopeError as error:
        if _talks():
            print(f"tunescope: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tunescope: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except UnicodeEncodeError as error:  # a file name of other bytes
        print(f"tunescope: found {error.object[:200]!r}; expected UTF-8; rename the file", file=sys.stderr)
        return 1
    except OSError as error:  # a folder that can't be written, a full disk: the system's sentence says which
        print(f"tunescope: {error}", file=sys.stderr)
        return 1


def build(arguments: Sequence[str]) -> App:
    """Build the commands; only the verb that the arguments begin with is imported."""
    app = _app("tunescope", "Show what instruction data does to a language model, and repair the data.")
    groups: dict[str, App] = {}
    for name, verb in VERBS.items():
        if not verb.proven:
            continue
        *group, word = name.split()
        parent = app
        if name in GROUPS:  # a verb that others are under
            groups[name] = _app(name, GROUPS[name])
            app.command(groups[name])
            groups[name].default(_command(verb) if list(arguments[:1]) == [name] else _stub)
            continue
        if group:
            if group[0] not in groups:
                groups[group[0]] = _app(group[0], GROUPS[group[0]])
                app.command(groups[group[0]])
            parent = groups[group[0]]
        invoked = list(arguments[: len(group) + 1]) == [*group, word]
        parent.command(_command(verb) if invoked else _stub, name=word, help=verb.summary)
    return app


def _in_our_words(arguments: Sequence[str]) -> list[str]:
    """Write options that other tools call otherwise (--learning_rate) as ours (--lr)."""
    verb = next((VERBS[name] for n in (2, 1) if (name := " ".join(arguments[:n])) in VERBS), None)
    if verb is None:
        return list(arguments)
    settings, out = verb.settings_class(), []
    for word in arguments:
        option, equals, value = word.partition("=")
        name = option.removeprefix("--").replace("-", "_")
        ours = in_our_words(settings, name) if option.startswith("--") else name
        out.append(word if ours == name else f"--{ours.replace('_', '-')}{equals}{value}")
    return out


def _app(name: str, text: str) -> App:
    return App(
        name=name,
        help=text,
        version=__version__,
        help_flags=["--help", "-h"],
        help_format="plaintext",  # the others load a parser, for a fifth of the time to show help
        suppress_keyboard_interrupt=False,
    )


def _stub() -> None:
    """Stand for a verb that this call doesn't use."""


def _command(verb: Verb) -> Callable[..., int]:
    """Make a function whose signature is the settings class, flat, and `json` and `fail_on`."""
    settings = verb.settings_class()
    function = verb.call()

    def command(*typed: Any, **named: Any) -> int:
        bound = layout.bind(*typed, **named)
        bound.apply_defaults()
        values = dict(bound.arguments)
        as_json, gate = values.pop("json"), values.pop("fail_on", None)
        node = None
        if gate is not None:
            from tunescope.expressions import parse

            node = parse(gate)
        outcome = function(settings(**values))
        result, view = outcome.result, outcome.view
        if as_json:
            from tunescope.runs import plain

            utf8 = (getattr(sys.stdout, "encoding", None) or "").lower() in ("utf-8", "utf8")
            _show(json_format.dumps(plain(result), indent=1, ensure_ascii=not utf8, allow_nan=False) + "\n")
        else:
            from tunescope.views import to_text

            _show(to_text(view))
        return _gate(gate, node, result) if gate is not None else 0

    slots = [_slot(f.name, get_type_hints(settings)[f.name], f.default, settings) for f in fields(settings)]
    slots.append(_flag("json", bool, False, "Print one JSON object."))
    if any(f.name == "out" for f in fields(settings)):
        text = "Exit with 3 when this holds of the result, for example 'near_duplicate > 0.5%'."
        slots.append(_flag("fail_on", str | None, None, text))
    slots.sort(key=lambda slot: slot.kind != Slot.POSITIONAL_OR_KEYWORD)
    layout = Signature(slots)
    command.__signature__ = layout  # type: ignore[attr-defined]
    command.__doc__ = settings.__doc__
    command.__annotations__ = {slot.name: slot.annotation for slot in slots}
    return command


def _talks() -> bool:
    """Tell whether this process is the first, or the only one, of those that accelerate or torchrun started."""
    return (os.environ.get("RANK") or "0") == "0"


def _show(text: str) -> None:
    """Print the result; a reader that has seen enough (`| head`) is no failure of the run."""
    if not _talks():
        return
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _flag(name: str, kind: Any, default: Any, text: str) -> Slot:
    parameter = Parameter(help=text, negative="", show_default=False)
    return Slot(name, Slot.KEYWORD_ONLY, default=default, annotation=Annotated[kind, parameter])


def _slot(name: str, kind: Any, default: Any, settings: type[Any]) -> Slot:
    from tunescope.settings import help_of

    metadata = settings.__dataclass_fields__[name].metadata
    positional = bool(metadata.get("positional")) or (name in POSITIONAL and not metadata.get("option"))
    parameter = Parameter(
        name=None if positional else f"--{name.strip('_').replace('_', '-')}",
        help=help_of(settings, name),
        negative="",
        show_default=default not in (None, (), False, MISSING),
        allow_leading_hyphen=positional or bool(metadata.get("hyphen")),  # for the lone -
        validator=_refuse_option if positional else None,
        converter=_whole if int in (kind, *get_args(kind)) else None,
        consume_multiple=False,
    )
    return Slot(
        name,
        Slot.POSITIONAL_OR_KEYWORD if positional else Slot.KEYWORD_ONLY,
        default=Slot.empty if default is MISSING else default,
        annotation=Annotated[kind, parameter],
    )


def _whole(_kind: Any, tokens: Sequence[Any]) -> int:
    """Read a whole number, and nothing else: 1.5 isn't 2."""
    return int(tokens[0].value)


def _refuse_option(_kind: Any, value: str | Sequence[str] | None) -> None:
    """Refuse a mistyped option that was taken for a file."""
    for text in [value] if isinstance(value, str) else value or ():
        if text.startswith("-") and text != "-":
            raise ValueError(f"there is no option {text} (for a file of that name, type ./{text})")


def _gate(text: str, node: Any, result: dict[str, Any]) -> int:
    """Return 3 when the gate's condition holds (or can't be told), else 0."""
    from tunescope.expressions import holds

    rows = result.get("rows")
    answer = holds(node, flat(result), rows if isinstance(rows, int) else None)
    if answer is False:
        return 0
    why = "holds" if answer else "can't be told: a number it needs is missing"
    print(f"tunescope: the gate {text!r} {why}", file=sys.stderr)
    return 3


def flat(result: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of a result by name; a nested one is NAME.PART, and faults also by PART alone."""
    out: dict[str, Any] = {}
    for name, value in result.items():
        if isinstance(value, dict):
            inner = flat(value)
            out |= {f"{name}.{part}": number for part, number in inner.items()}
            if name == "faults":
                out |= inner
        elif value is None or isinstance(value, int | float):
            out[name] = value
    return out
