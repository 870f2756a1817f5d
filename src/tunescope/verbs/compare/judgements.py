"""Judgements that a judge's run holds, item by item, as far as comparing goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tunescope.runs import Run


class Judged(NamedTuple):
    """What a judge says of one item.

    Attributes:
        item: the question's id.
        who: the system, and the reference that it is held against, if any.
        verdicts: what it says in numbers: a win rate of 100, 50 or 0, or a score per aspect; None: nothing.
        lengths: how long the answers are, in characters.
        alone: whether the run judges no other system.
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
    alone = len({record["comparison"] for record in records}) == 1
    for record in records:
        lengths = {"length": record["length"], "length_reference": record["length_reference"]}
        value = record["value"]
        verdicts = {"win_rate": None if value is None else 100 * value}
        yield Judged(record["item"], (record["system"], record["reference"]), verdicts, lengths, alone)


def _grades(run: Run) -> Iterator[Judged]:
    found: dict[tuple[str, str], Judged] = {}
    records = run.tables["scores"].to_pylist()
    alone = len({record["system"] for record in records}) == 1
    for record in records:
        place = (record["system"], record["item"])
        new = Judged(record["item"], place[:1], {}, {"length": record["length"]}, alone)
        found.setdefault(place, new).verdicts[record["aspect"]] = record["score"]
    yield from found.values()
