"""Judgements that a judge's run holds, item by item, as far as comparing goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tunescope.runs import Run


class Judged(NamedTuple):
    """What a judge says of one item.

    Attributes:
        item: the question's id.
        who: the system, the reference that it is held against, if any, the part of the files that it is from, if
            any, and who judged, where the run has several judges.
        verdicts: what it says in numbers: a win rate of 100, 50 or 0, or a score per aspect; None: nothing.
        lengths: how long the answers are, in characters.
        alone: whether the run holds nothing else: no other system, part or judge.
    """

    item: str
    who: tuple[str, ...]
    verdicts: dict[str, float | None]
    lengths: dict[str, float | None]
    alone: bool


def judges(run: Run) -> str:
    """Return who judged, and against whom: numbers of other judges or references don't compare."""
    pairs = "items" in run.tables
    table = run.tables["items" if pairs else "scores"]
    names = ", ".join(sorted({name or "nobody named" for name in table["judge"].to_pylist()}))
    return f"{names} against {', '.join(sorted(set(table['reference'].to_pylist())))}" if pairs else names


def read_judgements(run: Run) -> Iterator[Judged]:
    """Yield what a run of `judge` says: of its table `items`, else of `scores`."""
    if "items" not in run.tables:
        yield from _grades(run)
        return
    records = run.tables["items"].to_pylist()
    judges = _judges(records)
    alone = len({record["comparison"] for record in records}) == 1
    for record in records:
        lengths = {"length": record["length"], "length_reference": record["length_reference"]}
        value = record["value"]
        verdicts = {"win_rate": None if value is None else 100 * value}
        who = (record["system"], record["reference"], *filter(None, [record["part"]]), *judges(record))
        yield Judged(record["item"], who, verdicts, lengths, alone)


def _grades(run: Run) -> Iterator[Judged]:
    found: dict[tuple[str, ...], Judged] = {}
    records = run.tables["scores"].to_pylist()
    judges = _judges(records)
    alone = len({(record["system"], record["judge"]) for record in records}) == 1
    for record in records:
        who = (record["system"], *judges(record))
        new = Judged(record["item"], who, {}, {"length": record["length"]}, alone)
        found.setdefault((*who, record["item"]), new).verdicts[record["aspect"]] = record["score"]
    yield from found.values()


def _judges(records: Sequence[Mapping[str, Any]]) -> Callable[[Mapping[str, Any]], tuple[str, ...]]:
    """Return what tells a record's judge: his name where there are several; else nothing, so that judges compare."""
    several = len({record["judge"] for record in records}) > 1
    return lambda record: (record["judge"] or "",) if several else ()
