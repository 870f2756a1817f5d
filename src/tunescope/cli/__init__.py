"""The command line: `tunescope VERB …`.

Results go to stdout, talk to stderr. Exit 0 done, 1 refused in one sentence, 2 wrong usage,
3 a gate failed, 4 open: the same command goes on, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import Field, fields
from functools import partial
from inspect import Parameter as Slot
from inspect import Signature
from itertools import count
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from cyclopts import App, CycloptsError, Group, Parameter

from tunescope import __version__
from tunescope.cli.arguments import as_typed, explain, find_verb, with_our_names
from tunescope.cli.help import OUTPUT, Sections, default_text, headings, help_text, usage
from tunescope.errors import TunescopeError, UsageError, WaitingError
from tunescope.foreign import dump_json, gate_streams, show_line
from tunescope.progress import complain
from tunescope.settings import as_option, fit, is_required, make
from tunescope.verbs import GROUPS, QUESTIONS, VERBS, Verb

_FAILED = 3
"""The exit code of a run whose gate fails."""
_OPEN = 4
"""The exit code of a run with open items, whatever its gate says, and where calls wait in a batch: it isn't done."""
_EPILOGUE = "tunescope VERB --help explains a verb and shows examples of it."


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    gate_streams()
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code."""
    name = None
    try:
        name = find_verb(arguments)
        if name is not None:
            arguments = with_our_names(name, arguments)
        outcome = build(name)(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        return int(outcome or 0)
    except (CycloptsError, UsageError) as error:
        _complain(show_line(explain(error)) if isinstance(error, CycloptsError) else str(error))
        if name is not None:
            _complain(usage(name, VERBS[name].settings_class()), "")
        return 2
    except WaitingError as error:
        _complain(str(error))
        return _OPEN
    except TunescopeError as error:
        _complain(str(error))
        return 1
    except KeyboardInterrupt:
        _complain("interrupted; the same command continues from here")
        return 130
    except UnicodeEncodeError as error:  # a file name of other bytes
        _complain(f"found {error.object[:200]!r}; expected UTF-8; rename the file")
        return 1
    except OSError as error:  # beside a run folder, such as a table that was asked for
        from tunescope.runs.disk import describe

        _complain(show_line(describe(error) or str(error)))
        return 1


def _complain(sentence: str, begin: str = "tunescope: ") -> None:
    if _is_first_process():
        complain(f"{begin}{sentence}")


def _is_first_process() -> bool:
    """Tell whether this process is the first, or the only one, of those that accelerate or torchrun started."""
    return (os.environ.get("RANK") or "0") == "0"


def build(invoked: str | None) -> App:
    """Build the commands, in the order and under the questions of the table; only the invoked verb is imported."""
    app = _app("tunescope", "Show what instruction data does to a language model, and repair the data.")
    app.help_epilogue = _EPILOGUE
    app.usage = "Usage: tunescope VERB [ARGUMENTS]"
    app["--help"].group = app["--version"].group = Group("Options", sort_key=len(QUESTIONS))
    groups: dict[str, App] = {}
    place, below = count(), Group("Verbs", sort_key=len(QUESTIONS))
    for number, (question, verbs) in enumerate(QUESTIONS.items()):
        section = Group(question, sort_key=number)
        for name, verb in verbs.items():
            first, _, second = name.partition(" ")
            if not verb.proven:
                continue
            if first in GROUPS and first not in groups:
                groups[first] = _app(first, GROUPS[first], group=section, sort_key=next(place))
                groups[first].usage = f"Usage: tunescope {first} VERB [ARGUMENTS]"
                groups[first]["--help"].group = groups[first]["--version"].group = Group(show=False)
                app.command(groups[first])
            command = _command(verb) if name == invoked else _stub
            details = _details(name, verb) if name == invoked else {}
            if first not in groups:
                app.command(command, name=first, help=verb.summary, group=section, sort_key=next(place), **details)
            elif second:
                groups[first].command(
                    command, name=second, help=verb.summary, group=below, sort_key=next(place), **details
                )
            else:  # a verb that others are under
                groups[first].default(command)
                for attribute, value in details.items():
                    setattr(groups[first], attribute, value)
    return app


def _app(name: str, text: str, **details: Any) -> App:
    return App(
        name=name,
        help=text,
        version=__version__,
        help_flags=["--help", "-h"],
        help_format="plaintext",  # the others load a parser, for a fifth of the time to show help
        help_formatter=Sections(),
        suppress_keyboard_interrupt=False,
        **details,
    )


def _details(name: str, verb: Verb) -> dict[str, str]:
    """Return a verb's usage and examples for its help."""
    examples = "\n".join(f"  tunescope {example}" for example in verb.examples)
    return {"usage": usage(name, verb.settings_class()), "help_epilogue": f"Examples\n{examples}"}


def _stub() -> None:
    """Stand for a verb that this call doesn't use."""


def _command(verb: Verb) -> Callable[..., int]:
    """Make a function whose signature is the settings class, flat, and `json` and `fail_on`."""
    settings = verb.settings_class()
    function = verb.call()

    def command(*arguments: Any, **named: Any) -> int:
        values = dict(layout.bind(*arguments, **named).arguments)
        as_json, gate = values.pop("json", False), values.pop("fail_on", None)
        if gate is not None:
            from tunescope.expressions import parse
            from tunescope.gates import fails_gate

            parse(gate)  # before anything is computed
        outcome = function(make(settings, values, partial(as_typed, settings)))
        _show(outcome.result, outcome.view, as_json)
        failed = gate is not None and fails_gate(gate, outcome.result)
        return _OPEN if outcome.open else _FAILED if failed else 0

    titles = headings(settings)
    order = list(dict.fromkeys([*titles.values(), OUTPUT]))
    groups = {title: Group(title, sort_key=number) for number, title in enumerate(order)}
    hints = get_type_hints(settings)
    slots = [_slot(settings, f, hints[f.name], groups[titles[f.name]]) for f in fields(settings)]
    slots.append(_flag("json", bool, False, "Print one JSON object.", groups[OUTPUT]))
    if any(f.name == "out" for f in fields(settings)):
        text = "Exit with code 3 if this condition holds for the result, for example 'near_duplicate > 0.5%'."
        slots.append(_flag("fail_on", str | None, None, text, groups[OUTPUT]))
    slots.sort(key=lambda slot: slot.kind != Slot.POSITIONAL_OR_KEYWORD)
    layout = Signature(slots)
    command.__signature__ = layout  # type: ignore[attr-defined]
    command.__doc__ = settings.__doc__
    command.__annotations__ = {slot.name: slot.annotation for slot in slots}
    return command


def _slot(settings: type[Any], declared: Field[Any], hint: Any, group: Group) -> Slot:
    """Return a settings field as a parameter of the command."""
    positional = bool(declared.metadata.get("positional"))
    kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    read = partial(_read, settings, declared, hint)
    parameter = Parameter(
        name=None if positional else as_option(declared.name),
        group=group,
        help=help_text(settings, declared),
        negative="",
        show_default=default_text(declared.default),
        allow_leading_hyphen=positional or bool(declared.metadata.get("hyphen")),  # for the lone -
        converter=None if bool in kinds or get_origin(hint) is tuple else read,
        consume_multiple=False,
    )
    return Slot(
        declared.name,
        Slot.POSITIONAL_OR_KEYWORD if positional else Slot.KEYWORD_ONLY,
        default=Slot.empty if is_required(declared) else declared.default,
        annotation=Annotated[hint, parameter],
    )


def _flag(name: str, kind: Any, default: Any, text: str, group: Group) -> Slot:
    parameter = Parameter(help=text, negative="", show_default=default_text(default), group=group)
    return Slot(name, Slot.KEYWORD_ONLY, default=default, annotation=Annotated[kind, parameter])


def _read(settings: type[Any], declared: Field[Any], hint: Any, _hint: Any, tokens: Sequence[Any]) -> Any:
    """Read the value of an option, a number where one is expected; raises `UsageError` in our words, not cyclopts'."""
    value: Any = tokens[0].value
    for kind in (int, float):
        if kind in (hint, *get_args(hint)):
            with suppress(ValueError):
                value = kind(value)
                break
    return fit(declared, hint, value, partial(as_typed, settings))


def _show(result: dict[str, Any], view: Any, as_json: bool) -> None:
    """Print the result; a reader that has seen enough (`| head`) is no failure of the run."""
    if not _is_first_process():
        return
    if as_json:
        from tunescope.runs import plain

        utf8 = (getattr(sys.stdout, "encoding", None) or "").lower() in ("utf-8", "utf8")
        text = dump_json(plain(result), indent=1, ensure_ascii=not utf8, allow_nan=False) + "\n"
        show = partial(print, text, end="", flush=True)
    elif sys.stdout is None:  # it was closed
        return
    else:
        from tunescope.terminal import draw

        show = partial(draw, view, sys.stdout)
    try:
        show()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
