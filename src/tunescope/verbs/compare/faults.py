"""Two runs of `check`: which faults have grown, beyond what other rows from the same source would show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from tunescope import runs, stats
from tunescope.errors import SettingsError
from tunescope.locations import Location
from tunescope.results.check import CheckResult
from tunescope.results.compare import FaultGrowth, FaultsResult
from tunescope.results.estimates import ALPHA, MeanEstimate
from tunescope.runs import Outcome, Run, RunFolder
from tunescope.settings import as_option
from tunescope.stats import Share
from tunescope.views import Table, View, counted, percent, percent_interval

if TYPE_CHECKING:
    import pyarrow as pa

    from tunescope.verbs.compare.settings import CompareSettings

VERSION = 1
_SAME_SETTINGS = ("max_words", "near_duplicate_at")
_OF_THE_SET = ("exact_duplicate", "near_duplicate", "conflicting_answers")
"""Faults that depend on the other rows: counted, and not tested, since they come in clusters and grow with the set."""
_SHOWN = 10


class _CheckedSide(NamedTuple):
    """A run of check: its result, its table `rows`, and the place of each row by id."""

    result: CheckResult
    rows: pa.Table
    places: dict[str, str]

    @property
    def n(self) -> int:
        return self.result.rows

    def with_fault(self, fault: str) -> set[str]:
        return set(self.rows["row_id"].filter(self.rows[fault]).to_pylist())


def compare_faults(settings: CompareSettings, a: Run, b: Run) -> Run:
    """Test each fault of A and B for growth; return the run with the table `faults`.

    A row counts as kept in what it says of a fault where both runs have it, by its content, with the same verdict. All
    others were removed or added. `faults` has fault, row_id, change (new or gone) and place.

    Raises:
        SettingsError: the runs ask for different things, or don't have the fault that is named.
    """
    for name in _SAME_SETTINGS:
        of_a, of_b = (run.settings.get(name) for run in (a, b))
        if of_a != of_b:
            raise SettingsError(f"A was checked with {as_option(name)} {of_a} and B with {of_b}; check both alike")
    inputs = {f"a {settings.a}": a.identity, f"b {settings.b}": b.identity, "--fault": " ".join(settings.fault)}
    return runs.execute("compare", VERSION, settings, inputs, partial(_work, settings, _read(a), _read(b)))


def _read(run: Run) -> _CheckedSide:
    rows = run.tables["rows"]
    columns = (rows[name].to_pylist() for name in ("row_id", "file", "line", "record"))
    return _CheckedSide(
        CheckResult.read(run), rows, {row_id: str(Location(*place)) for row_id, *place in zip(*columns, strict=True)}
    )


def _work(settings: CompareSettings, a: _CheckedSide, b: _CheckedSide, folder: RunFolder) -> Outcome:
    shared = [name for name in a.result.faults if name in b.result.faults]
    names = _chosen(settings, shared)
    both = a.places.keys() & b.places.keys()
    changes = {name: (a.with_fault(name), b.with_fault(name)) for name in names}
    growths = {name: _growth(name, a, b, both, *changes[name]) for name in names}
    adjusted = stats.holm([growth.p for growth in growths.values()])
    growths = {
        name: replace(growth, p_holm=p, grew=None if p is None else p < ALPHA)
        for (name, growth), p in zip(growths.items(), adjusted, strict=True)
    }
    result = FaultsResult(
        kind="faults",
        a=a.n,
        b=b.n,
        same=len(both),
        removed=a.n - len(both),
        added=b.n - len(both),
        grown=sum(bool(growth.grew) for growth in growths.values()),
        faults=growths,
        only_a=tuple(name for name in a.result.faults if name not in shared),
        only_b=tuple(name for name in b.result.faults if name not in shared),
    )
    lines = [*_lines(a, b, changes)]
    _write(folder, lines)
    return Outcome(result.as_json(), _view(result, lines))


def _chosen(settings: CompareSettings, shared: Sequence[str]) -> list[str]:
    """Return the faults to test: those that are named, else every one."""
    for name in settings.fault:
        if name not in shared:
            raise SettingsError(f"--fault {name}: expected one that both runs have: {', '.join(shared)}")
    return list(settings.fault or shared)


def _growth(
    fault: str, a: _CheckedSide, b: _CheckedSide, both: set[str], of_a: set[str], of_b: set[str]
) -> FaultGrowth:
    """Count what is kept, removed and added, and test whether the share grew."""
    kept_faulty = len(of_a & of_b)
    n_kept = len(both) - len((of_a ^ of_b) & both)
    kept = Share(kept_faulty, n_kept)
    removed, added = Share(len(of_a) - kept_faulty, a.n - n_kept), Share(len(of_b) - kept_faulty, b.n - n_kept)
    return FaultGrowth(
        a=len(of_a),
        b=len(of_b),
        new=added.successes,
        gone=removed.successes,
        difference=MeanEstimate.of(stats.difference_of_shares(kept, removed, added)),
        p=None if fault in _OF_THE_SET else stats.growth_test(kept, removed, added).p,
        p_holm=None,
        grew=None,
    )


def _lines(
    a: _CheckedSide, b: _CheckedSide, changes: dict[str, tuple[set[str], set[str]]]
) -> Iterator[tuple[str, str, str, str]]:
    """Yield fault, row id, change and place of each row that has a fault on one side alone, in file order."""
    for name, (of_a, of_b) in changes.items():
        for change, side, ids in (("new", b, of_b - of_a), ("gone", a, of_a - of_b)):
            yield from ((name, row_id, change, place) for row_id, place in side.places.items() if row_id in ids)


def _write(folder: RunFolder, lines: Sequence[tuple[str, str, str, str]]) -> None:
    import pyarrow as pa

    columns = zip(*lines, strict=True) if lines else [()] * 4
    names = ("fault", "row_id", "change", "place")
    folder.table("faults", pa.table({n: pa.array(c, pa.string()) for n, c in zip(names, columns, strict=True)}))


def _view(result: FaultsResult, lines: Sequence[tuple[str, str, str, str]]) -> View:
    there = {name: growth for name, growth in result.faults.items() if growth.a or growth.b}
    new = tuple((name, row_id, place) for name, row_id, change, place in lines if change == "new")
    tables = [_table(result, there)] if there else []
    if new:
        note = f"The first {_SHOWN} of {len(new):,}; the table faults has them all." if len(new) > _SHOWN else ""
        tables.append(Table("New", ("fault", "row id", "place"), new[:_SHOWN], note))
    return View(tuple(_sentences(result)), tuple(tables))


def _sentences(result: FaultsResult) -> Iterator[str]:
    yield (
        f"A has {counted(result.a, 'row')} and B has {result.b:,}: {result.same:,} are in both, {result.removed:,} "
        f"only in A (removed), {result.added:,} only in B (added)."
    )
    for name, growth in result.faults.items():
        if growth.grew:
            yield (
                f"{name} grew: {growth.a:,} of {result.a:,} rows ({percent(growth.a / result.a)}) in A, "
                f"{growth.b:,} of {result.b:,} ({percent(growth.b / result.b)}) in B."
            )
    if not result.grown:
        yield "No fault grew beyond what other rows from the same source would show."
    for side, only in (("A", result.only_a), ("B", result.only_b)):
        if only:
            yield f"Only {side} was checked for {', '.join(only)}."


def _table(result: FaultsResult, there: dict[str, FaultGrowth]) -> Table:
    rows = tuple(
        (
            name,
            growth.a,
            growth.b,
            _share(growth.a, result.a),
            _share(growth.b, result.b),
            percent_interval(growth.difference.low, growth.difference.high),
            growth.new,
            growth.gone,
            growth.p_holm,
            {True: "grew", False: "no", None: None}[growth.grew],
        )
        for name, growth in there.items()
    )
    absent = [name for name in result.faults if name not in there]
    note = (
        "B - A: in points, with the 95 % interval. p: how often rows from the same source would show so much growth "
        "(exact, one-sided), adjusted for the number of faults that were tested (Holm). Grew: p below 0.05. "
        "Duplicates and conflicting answers depend on the other rows and aren't tested."
    )
    if absent:
        note += f" No row of either has: {', '.join(absent)}."
    columns = ("fault", "A", "B", "share of A", "share of B", "B - A", "new", "gone", "p", "grew")
    return Table("Faults", columns, rows, note)


def _share(count: int, n: int) -> str:
    return percent(count / n if n else None)
