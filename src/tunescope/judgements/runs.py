"""Judgements that a judge's run holds, item by item, as far as comparing goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tunescope.results.judge import PairRow, ScoreRow
from tunescope.runs import Run

_RATE = {"win_rate": (0.0, 100.0)}


class JudgedItem(NamedTuple):
    """What a judge says about one item.

    Attributes:
        item: the question's id.
        who: the system, its reference and the part of the files, where there are any, and the judge, where the run has
            several.
        verdicts: win_rate (100, 50 or 0, or in between) or a score per aspect; None is missing.
        lengths: how long the answers are, in characters.
        scales: the least and the largest value of the verdicts, where it is known.
        is_only_system: whether the run holds no other system, part or judge.
    """

    item: str
    who: tuple[str, ...]
    verdicts: dict[str, float | None]
    lengths: dict[str, float | None]
    scales: dict[str, tuple[float, float]]
    is_only_system: bool


def holds_judgements(run: Run) -> bool:
    """Tell whether a run has a table of judgements."""
    return run.verb.startswith("judge ") and (PairRow.NAME in run.tables or ScoreRow.NAME in run.tables)


def describe_judges(run: Run) -> str:
    """Return the names of the judges and references: numbers of other judges or references don't compare."""
    if PairRow.NAME not in run.tables:
        return _judge_list(ScoreRow.read_rows(run))
    rows = PairRow.read_rows(run)
    return f"{_judge_list(rows)} against {', '.join(sorted({row.reference for row in rows}))}"


def _judge_list(rows: Sequence[PairRow | ScoreRow]) -> str:
    return ", ".join(sorted({row.judge or "an unnamed judge" for row in rows}))


def read_judgements(run: Run) -> Iterator[JudgedItem]:
    """Yield what a judge's run says about each item: from its table `items`, else from `scores`."""
    return _read_pairs(run) if PairRow.NAME in run.tables else _read_scores(run)


def _read_pairs(run: Run) -> Iterator[JudgedItem]:
    rows = PairRow.read_rows(run)
    several_judges = len({row.judge for row in rows}) > 1
    is_only = len({row.comparison for row in rows}) == 1
    for row in rows:
        verdicts = {"win_rate": None if row.value is None else 100 * row.value}
        lengths: dict[str, float | None] = {"length": row.length, "length_reference": row.length_reference}
        who = (row.system, row.reference, *((row.part,) if row.part else ()))
        yield JudgedItem(
            row.item, (*who, row.judge or "") if several_judges else who, verdicts, lengths, _RATE, is_only
        )


def _read_scores(run: Run) -> Iterator[JudgedItem]:
    items: dict[tuple[str, ...], JudgedItem] = {}
    rows = ScoreRow.read_rows(run)
    several_judges = len({row.judge for row in rows}) > 1
    is_only = len({(row.system, row.judge) for row in rows}) == 1
    for row in rows:
        who = (row.system, row.judge or "") if several_judges else (row.system,)
        new = JudgedItem(row.item, who, {}, {"length": row.length}, {}, is_only)
        judged = items.setdefault((*who, row.item), new)
        judged.verdicts[row.aspect] = row.score
        if row.scale is not None:
            judged.scales[row.aspect] = row.scale
    yield from items.values()
