"""Gates as badges: which conditions that mustn't hold of the runs do, and which don't."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tunescope.errors import SettingsError
from tunescope.expressions import names, parse
from tunescope.gates import flat, gate_holds, is_about
from tunescope.runs import Run


@dataclass(frozen=True, slots=True)
class Badge:
    """A gate and what became of it: passed, failed or not known; `kind` is the same as one word."""

    gate: str
    kind: str
    said: str


_PASSED, _FAILED, _UNKNOWN = ("passed", "passed"), ("failed", "failed"), ("unknown", "not known: a number is missing")


def badges(gates: Sequence[str], opened: Sequence[Run]) -> list[Badge]:
    """Return a badge for each gate, of all runs whose results have what it names: it fails if it holds of one of them.

    Raises:
        SettingsError: a gate that names what no run's result has.
    """
    return [_badge(gate, opened) for gate in gates]


def _badge(gate: str, opened: Sequence[Run]) -> Badge:
    about = [run for run in opened if is_about(gate, run.result)]
    if not about:
        known = sorted({name for run in opened for name in flat(run.result)})
        asked = ", ".join(names(parse(gate)))
        raise SettingsError(f"--gates {gate!r}: no run here has {asked}; there is {', '.join(known[:12])}")
    held = [gate_holds(gate, run.result) for run in about]
    kind, said = _FAILED if True in held else _UNKNOWN if None in held else _PASSED
    return Badge(gate, kind, said)
