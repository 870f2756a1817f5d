"""What a recipe would do: its cells, which of them are there already, and the hours and tokens of the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from tunescope.errors import TunescopeError
from tunescope.oracle.settings import OracleSettings
from tunescope.runs import Run, look_up
from tunescope.settings import make
from tunescope.study.cells import Variant
from tunescope.verbs import VERBS
from tunescope.views import counted

_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class PlannedCell:
    """A cell, its finished run where there is one, and else what it would take.

    Attributes:
        hours: None where it is done, or nobody can know yet.
        hours_from: where the hours come from, or why there are none.
        tokens: expected prompt and reply tokens of an oracle; None where it is done, or nobody can know yet.
        tokens_from: likewise.
    """

    cell: Variant
    run: Run | None
    hours: float | None = None
    hours_from: str = ""
    tokens: int | None = None
    tokens_from: str = ""


def plan_cells(cells: Sequence[Variant], with_probe: bool) -> list[PlannedCell]:
    """Look every cell's run up, and estimate those that aren't there; nothing is tuned, asked or answered.

    Hours come from the cells of the same verb that are done, or `with_probe` from the verb's own `--plan`, which works
    for some seconds. Tokens come from the `--plan` of verbs that ask an oracle.
    """
    done = _find_finished(cells)
    seconds: dict[str, list[float]] = defaultdict(list)
    for cell in cells:
        if cell.key in done:
            seconds[cell.verb].append(done[cell.key].info["wall_seconds"])
    folders = {key: str(run.path) for key, run in done.items()}
    names = {cell.key: cell.name for cell in cells}
    return [
        PlannedCell(cell, done[cell.key])
        if cell.key in done
        else _estimate(cell, folders, names, seconds[cell.verb], with_probe)
        for cell in cells
    ]


def _find_finished(cells: Sequence[Variant]) -> dict[str, Run]:
    """Return the finished runs of cells, by their keys; without its inputs a cell's run can't be known."""
    done: dict[str, Run] = {}
    for cell in cells:
        if all(key in done for key in cell.needs):
            verb, folders = VERBS[cell.verb], {key: str(done[key].path) for key in cell.needs}
            try:
                done[cell.key] = look_up(verb.call(), make(verb.settings_class(), cell.settings_with(folders)))
            except TunescopeError:
                continue  # not there yet, or refused: running it says why
    return done


def _estimate(
    cell: Variant, folders: Mapping[str, str], names: Mapping[str, str], seconds: Sequence[float], with_probe: bool
) -> PlannedCell:
    missing = [names[key] for key in cell.needs if key not in folders]
    settings_class = VERBS[cell.verb].settings_class()
    asks = issubclass(settings_class, OracleSettings)
    plan: Mapping[str, Any] = {}
    reason = f"{missing[0]} isn't there yet" if missing else ""
    if not missing and "plan" in settings_class.__dataclass_fields__ and (asks or with_probe):
        try:
            settings = make(settings_class, {**cell.settings_with(folders), "plan": True})
            plan = VERBS[cell.verb].call()(settings).result
        except TunescopeError as error:
            reason = str(error)
    hours, hours_from = None, reason or f"no cell of {cell.verb} is done yet"
    if "minutes" in plan:
        hours, hours_from = plan["minutes"] / 60, "its verb's --plan"
    elif seconds:
        hours, hours_from = mean(seconds) / _SECONDS, f"the mean of {counted(len(seconds), 'cell')} of {cell.verb}"
    tokens, tokens_from = None, (reason or "not counted") if asks else "it asks no oracle"
    if "expected" in plan:
        tokens = plan["expected"]["prompt_tokens"] + plan["expected"]["completion_tokens"]
        tokens_from = "its verb's --plan"
    return PlannedCell(cell, None, hours, hours_from, tokens, tokens_from)


def say_what_it_takes(planned: Sequence[PlannedCell]) -> str:
    """Say how many cells are there, and what the others take, as far as that is known."""
    todo = [each for each in planned if each.run is None]
    if not todo:
        return f"All {counted(len(planned), 'cell')} are there already."
    text = f"{len(planned) - len(todo)} of {counted(len(planned), 'cell')} are there already."
    hours = [each.hours for each in todo if each.hours is not None]
    if hours:
        text += f" {counted(len(hours), 'other')} would take about {sum(hours):.3g} hours, one after the other."
    if len(hours) < len(todo):
        text += f" How long {counted(len(todo) - len(hours), 'cell')} would take isn't known."
    tokens = [each.tokens for each in todo if each.tokens is not None]
    if tokens:
        text += f" {counted(len(tokens), 'cell')} would use about {sum(tokens):,} tokens of an oracle."
    return text
