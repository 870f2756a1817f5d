"""The rows that runs name by row_id: which meet a condition, and for which questions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from tunescope import expressions
from tunescope.errors import ExpressionError, RunError, SettingsError

if TYPE_CHECKING:
    from tunescope.runs import Run


def read_named_rows(sources: Sequence[Run], where: str, row_ids: Iterable[str]) -> Mapping[str, frozenset[str]]:
    """Return the ids of the named rows, each with the prompt ids of the lines that name it.

    Raises:
        ExpressionError: a condition that doesn't parse, or no table by row_id that has its columns.
        RunError: the runs were made on other rows.
        SettingsError: no run, or no row is named.
    """
    if not sources:
        raise SettingsError("--from names no run; expected one that names rows, such as one of attribute")
    node = expressions.parse(where)
    wanted = set(expressions.names(node))
    tables = [table for run in sources for table in run.tables.values() if "row_id" in table.column_names]
    fitting = [table for table in tables if wanted <= {*table.column_names}]
    shown = ", ".join(str(run.path) for run in sources)
    if not fitting:
        there = ", ".join(sorted({name for table in tables for name in table.column_names})) or "no table by row_id"
        raise ExpressionError(f"--where {where!r}: no table of {shown} has {', '.join(sorted(wanted))}; found {there}")
    named: dict[str, set[str]] = {}
    for table in fitting:
        has_prompts = "prompt_id" in table.column_names
        prompts = table["prompt_id"].to_pylist() if has_prompts else [None] * len(table)
        lines = zip(table["row_id"].to_pylist(), prompts, expressions.mask(node, table).to_pylist(), strict=True)
        for row_id, prompt_id, holds in lines:
            if holds:
                named.setdefault(row_id, set()).update([prompt_id] if prompt_id is not None else [])
    if not named:
        raise SettingsError(f"--where {where!r}: it holds for no row of {shown}, so there is nothing to correct")
    there_are = set(row_ids)
    present = {row_id: frozenset(prompts) for row_id, prompts in named.items() if row_id in there_are}
    if not present:
        raise RunError(f"{shown}: made on other rows: none of the {len(named):,} named rows is among these")
    return present
