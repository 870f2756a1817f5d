"""Judgements that a judge's run holds, item by item, as far as comparing goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tunescope.runs import Run


class JudgedItem(NamedTuple):
    """What a judge says about one item.

    Attributes:
        item: the question's id.
        who: the system, its reference and the part of the files, where there are any, and the judge, where the run has
            several.
        verdicts: win_rate (100, 50 or 0, or in between) or a score per aspect; None is missing.
        lengths: how long the answers are, in characters.
        is_only_system: whether the run holds no other system, part or judge.
    """

    item: str
    who: tuple[str, ...]
    verdicts: dict[str, float | None]
    lengths: dict[str, float | None]
    is_only_system: bool


def describe_judges(run: Run) -> str:
    """Return the names of the judges and references: numbers of other judges or references don't compare."""
    pairs = "items" in run.tables
    table = run.tables["items" if pairs else "scores"]
    names = ", ".join(sorted({name or "an unnamed judge" for name in table["judge"].to_pylist()}))
    return f"{names} against {', '.join(sorted(set(table['reference'].to_pylist())))}" if pairs else names


def read_judgements(run: Run) -> Iterator[JudgedItem]:
    """Yield what a judge's run says about each item: from its table `items`, else from `scores`."""
    if "items" not in run.tables:
        yield from _read_scores(run)
        return
    records = run.tables["items"].to_pylist()
    judge_of = _judge_names(records)
    is_only = len({record["comparison"] for record in records}) == 1
    for record in records:
        lengths = {"length": record["length"], "length_reference": record["length_reference"]}
        value = record["value"]
        verdicts = {"win_rate": None if value is None else 100 * value}
        who = (record["system"], record["reference"], *filter(None, [record["part"]]), *judge_of(record))
        yield JudgedItem(record["item"], who, verdicts, lengths, is_only)


def _read_scores(run: Run) -> Iterator[JudgedItem]:
    items: dict[tuple[str, ...], JudgedItem] = {}
    records = run.tables["scores"].to_pylist()
    judge_of = _judge_names(records)
    is_only = len({(record["system"], record["judge"]) for record in records}) == 1
    for record in records:
        who = (record["system"], *judge_of(record))
        new = JudgedItem(record["item"], who, {}, {"length": record["length"]}, is_only)
        items.setdefault((*who, record["item"]), new).verdicts[record["aspect"]] = record["score"]
    yield from items.values()


def _judge_names(records: Sequence[Mapping[str, Any]]) -> Callable[[Mapping[str, Any]], tuple[str, ...]]:
    """Return what names a record's judge: its name where there are several, else nothing, so that judges compare."""
    several = len({record["judge"] for record in records}) > 1
    return lambda record: (record["judge"] or "",) if several else ()
