"""The command line: `tunescope VERB …`.

Results go to stdout, talk to stderr. Exit 0 done, 1 refused in one sentence, 2 wrong usage,
3 a gate failed, 130 interrupted.
"""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from inspect import Parameter as Slot
from inspect import Signature
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter

from tunescope import __version__
from tunescope.errors import TunescopeError
from tunescope.verbs import VERBS, Verb

POSITIONAL = {"rows", "prompts", "a", "b", "row_id", "runs", "recipe"}
"""Settings that are typed without their name."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code."""
    app = build(arguments[0] if arguments else "")
    try:
        return int(app(arguments, exit_on_error=False, print_error=True, result_action="return_value") or 0)
    except CycloptsError:
        return 2
    except TunescopeError as error:
        print(f"tunescope: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tunescope: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def build(invoked: str) -> App:
    """Build the commands; only the `invoked` verb is imported."""
    app = App(
        name="tunescope",
        help="Show what instruction data does to a language model, and repair the data.",
        version=__version__,
        help_flags=["--help", "-h"],
    )
    for name, verb in VERBS.items():
        if verb.proven:
            app.command(_command(verb) if name == invoked else _stub, name=name, help=verb.summary)
    return app


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
            print(json_format.dumps(result, indent=1, ensure_ascii=False))
        else:
            from tunescope.views import to_text

            print(to_text(view), end="")
        return _gate(gate, node, result) if gate is not None else 0

    slots = [_slot(f.name, _type_of(settings, f.name), f.default, settings) for f in fields(settings)]
    slots.append(Slot("json", Slot.KEYWORD_ONLY, default=False, annotation=Annotated[bool, Parameter(help="Print one JSON object.", negative="")]))
    if any(f.name == "out" for f in fields(settings)):
        gate_help = "Exit with 3 when this doesn't hold back: a count of the result, for example 'near_duplicate > 0.5%'."
        slots.append(Slot("fail_on", Slot.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, Parameter(help=gate_help)]))
    slots.sort(key=lambda slot: slot.kind != Slot.POSITIONAL_OR_KEYWORD)
    layout = Signature(slots)
    command.__signature__ = layout  # type: ignore[attr-defined]
    command.__doc__ = settings.__doc__
    command.__annotations__ = {slot.name: slot.annotation for slot in slots}
    return command


def _type_of(settings: type[Any], name: str) -> Any:
    from typing import get_type_hints

    return get_type_hints(settings)[name]


def _slot(name: str, kind: Any, default: Any, settings: type[Any]) -> Slot:
    from dataclasses import MISSING

    from tunescope.settings import help_of

    positional = name in POSITIONAL
    parameter = Parameter(
        name=None if positional else f"--{name.strip('_').replace('_', '-')}",
        help=help_of(settings, name),
        negative="",
        show_default=default not in (None, (), False, MISSING),
        allow_leading_hyphen=positional,
        consume_multiple=False,
    )
    return Slot(
        name,
        Slot.POSITIONAL_OR_KEYWORD if positional else Slot.KEYWORD_ONLY,
        default=Slot.empty if default is MISSING else default,
        annotation=Annotated[kind, parameter],
    )


def _gate(text: str, node: Any, result: dict[str, Any]) -> int:
    """Return 3 when the gate's condition holds (or can't be told), else 0."""
    from tunescope.expressions import holds

    answer = holds(node, flat(result), result.get("rows"))
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
