"""Gates: conditions on a run's result that mustn't hold, in the language of `--fail-on`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunescope.expressions import holds, names, parse
from tunescope.progress import complain


def gate_holds(text: str, result: Mapping[str, Any]) -> bool | None:
    """Tell whether a condition holds of a result; None where a number that it needs is missing.

    Raises:
        ExpressionError: it doesn't parse, or has a name that the result hasn't.
    """
    rows = result.get("rows")
    return holds(parse(text), flat(result), rows if isinstance(rows, int) else None)


def fails_gate(text: str, result: Mapping[str, Any]) -> bool:
    """Tell whether a gate fails: its condition holds, or can't be told. Says so on stderr."""
    answer = gate_holds(text, result)
    if answer is not False:
        complain(
            f"tunescope: the gate {text!r} " + ("holds" if answer else "can't be told: a number it needs is missing")
        )
    return answer is not False


def is_about(text: str, result: Mapping[str, Any]) -> bool:
    """Tell whether a result has all that a condition names; raises `ExpressionError` for one that doesn't parse."""
    return set(names(parse(text))) <= flat(result).keys()


def flat(result: Mapping[str, Any]) -> dict[str, Any]:
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
