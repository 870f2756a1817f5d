"""A leaderboard: systems of several judge runs, ranked, with the differences that are significant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tunescope.errors import SettingsError
from tunescope.judgements.ranking import SystemDifference, differences, groups
from tunescope.judgements.records import unique_names
from tunescope.judgements.win_rates import mean_of, standard_error
from tunescope.results.judge import PAIRS, ComparisonRow, JudgeKind, PairRow, ScoreRow
from tunescope.runs import Run
from tunescope.stats import SHARE, UNBOUNDED, Bounds, widest

_WIN_RATE = "win_rate"
_ALL_ASPECTS = "all_aspects"


class RankedSystem(NamedTuple):
    """A system of one run, compared with one reference by one judge.

    Attributes:
        name: unique on the board.
        values: item → value, for items that have one: a share of a win, 0 to 1, or a score.
        questions: item → the question that it is a turn of.
        n_items: items judged, with a value or without.
        bounds: the least and the largest value that an item can have.
        numbers: its row of the run's table `comparisons`; None for scores.
        run: the run's folder.
    """

    name: str
    system: str
    reference: str | None
    judge: str | None
    values: dict[str, float]
    questions: dict[str, str]
    n_items: int
    bounds: Bounds
    numbers: ComparisonRow | None
    run: str

    @property
    def mean(self) -> float:
        """The mean over all items with a value."""
        return sum(self.values.values()) / len(self.values)

    @property
    def by_question(self) -> dict[str, float]:
        """The mean of each question's items: turns of one question aren't independent."""
        of_question: dict[str, list[float]] = {}
        for item, value in self.values.items():
            of_question.setdefault(self.questions[item], []).append(value)
        return {question: sum(values) / len(values) for question, values in of_question.items()}


class Board(NamedTuple):
    """Ranked systems, best first, and the difference of every two.

    Attributes:
        kind: `PAIRS` (win rates, in per cent) or `SCORES`.
        by: the number that they are ranked by.
        lines: a record per system, for the table `board`.
        gaps: a record per pair of systems, for the table `differences`.
        compared: the same differences, in the unit of the items' values.
    """

    kind: str
    by: str
    systems: Sequence[RankedSystem]
    lines: Sequence[Mapping[str, Any]]
    gaps: Sequence[Mapping[str, Any]]
    compared: Sequence[SystemDifference]

    def result(self) -> dict[str, Any]:
        """Return the run's result."""
        return {
            "kind": self.kind,
            "by": self.by,
            "reference": self.systems[0].reference,
            "judge": self.systems[0].judge,
            "n": len(self.systems),
            "comparisons": len(self.gaps),
            "significant": sum(each.is_significant for each in self.compared),
            "entries": {line["name"]: {k: v for k, v in line.items() if k != "name"} for line in self.lines},
            "differences": self.gaps,
        }


def make_board(runs: Sequence[Run], by: str | None, reference: str | None, judge: str | None) -> Board:
    """Rank the systems of judge runs.

    Args:
        runs: judge runs, all with verdicts on pairs of answers or all with scores.
        by: win_rate, or an aspect; None: win_rate, of scores the mean over all aspects.
        reference: only what is compared with this system, where runs have several references.
        judge: only what this judge says, where runs have several judges.

    Raises:
        SettingsError: several references or judges, verdicts and scores at once, or nothing to rank.
    """
    kinds = {JudgeKind.read(run).kind for run in runs}
    if len(kinds) > 1:
        raise SettingsError("some runs hold verdicts on pairs of answers and some scores of single ones; rank one kind")
    kind = kinds.pop()
    if kind == PAIRS:
        by, scale = by or _WIN_RATE, 100
        systems = [system for run in runs for system in _compared_systems(run, by)]
    else:
        by, scale = by or _ALL_ASPECTS, 1
        systems = [system for run in runs for system in _scored_systems(run, by)]
    systems = _select(_select(systems, "reference", reference), "judge", judge)
    systems = [system for system in systems if system.values]
    if not systems:
        raise SettingsError("no system here has a verdict or a score; nothing to rank")
    systems = sorted(_with_unique_names(systems), key=lambda system: -system.mean)
    bounds = widest(system.bounds for system in systems)
    compared = differences({system.name: system.by_question for system in systems}, bounds)
    letters = groups([system.name for system in systems], compared)
    lines = [_line(system, letters[system.name]) for system in systems]
    return Board(kind, by, systems, lines, [_gap(each, scale) for each in compared], compared)


def _compared_systems(run: Run, by: str) -> Iterator[RankedSystem]:
    """Yield the systems of a run with verdicts on pairs of answers."""
    if by != _WIN_RATE:
        raise SettingsError(f"--by {by}: {run.path} holds verdicts on pairs of answers; rank by win_rate")
    comparisons = {row.comparison: row for row in ComparisonRow.read_rows(run)}
    rows: dict[str, list[PairRow]] = {}
    for row in PairRow.read_rows(run):
        rows.setdefault(row.comparison, []).append(row)
    for name, members in rows.items():
        numbers = comparisons[name]
        yield RankedSystem(
            numbers.system if not numbers.part else f"{numbers.system} {numbers.part}",
            numbers.system,
            numbers.reference,
            numbers.judge,
            {row.item: row.value for row in members if row.value is not None},
            {row.item: row.question for row in members},
            len(members),
            SHARE,
            numbers,
            str(run.path),
        )


def _scored_systems(run: Run, by: str) -> Iterator[RankedSystem]:
    """Yield the systems of a run with scores; an item's value is its score, or the mean of its scores."""
    scores: dict[tuple[str, str | None], dict[str, list[float | None]]] = {}
    aspects: dict[str, None] = {}
    questions: dict[str, str] = {}
    scales: set[Bounds] = set()
    for row in ScoreRow.read_rows(run):
        aspects[row.aspect] = None
        questions[row.item] = row.question
        of_item = scores.setdefault((row.system, row.judge), {}).setdefault(row.item, [])
        scales.add(UNBOUNDED if row.scale is None else row.scale)
        if by in (_ALL_ASPECTS, row.aspect):
            of_item.append(row.score)
    if by not in (_ALL_ASPECTS, *aspects):
        raise SettingsError(f"--by {by}: the aspects in {run.path} are {', '.join(aspects)}")
    for (system, judge), items in scores.items():
        known = {item: [v for v in of_item if v is not None] for item, of_item in items.items()}
        values = {item: sum(of_item) / len(of_item) for item, of_item in known.items() if of_item}
        yield RankedSystem(
            system, system, None, judge, values, questions, len(items), widest(scales), None, str(run.path)
        )


def _select(systems: Sequence[RankedSystem], attribute: str, wanted: str | None) -> list[RankedSystem]:
    """Keep the systems with one reference, or with one judge; numbers of several don't compare."""
    there = list(dict.fromkeys(getattr(system, attribute) for system in systems))
    listed = ", ".join(str(each) if each is not None else "unknown" for each in there)
    if wanted is None:
        if len(there) > 1:
            raise SettingsError(
                f"several {attribute}s ({listed}), whose numbers don't compare; name one with --{attribute}"
            )
        return list(systems)
    if wanted not in there:
        raise SettingsError(f"--{attribute} {wanted}: the {attribute}s here are {listed}")
    return [system for system in systems if getattr(system, attribute) == wanted]


def _with_unique_names(systems: Sequence[RankedSystem]) -> list[RankedSystem]:
    """Put the run behind names that several systems have."""
    counts = Counter(system.name for system in systems)
    names = [f"{system.name} ({system.run})" if counts[system.name] > 1 else system.name for system in systems]
    return [system._replace(name=name) for system, name in zip(systems, unique_names(names), strict=True)]


def _line(system: RankedSystem, letters: str) -> dict[str, Any]:
    """Return a line of the board: a win rate as its run has it, a mean of scores with its interval."""
    numbers = system.numbers
    if numbers is not None:
        mean, low, high = numbers.win_rate, numbers.win_rate_low, numbers.win_rate_high
        error = numbers.standard_error
    else:
        values, questions = list(system.values.values()), [system.questions[item] for item in system.values]
        estimate = mean_of(values, questions, system.bounds)
        mean, low, high = estimate.value, estimate.low, estimate.high
        error = standard_error(values, questions)
    return {
        "name": system.name,
        "system": system.system,
        "mean": mean,
        "standard_error": error,
        "low": low,
        "high": high,
        "n": len(system.values),
        "n_missing": system.n_items - len(system.values),
        "win_rate_length_controlled": numbers and numbers.win_rate_length_controlled,
        "avg_length": numbers and numbers.avg_length,
        "group": letters,
        "run": system.run,
    }


def _gap(each: SystemDifference, scale: int) -> dict[str, Any]:
    low, high = each.estimate.low, each.estimate.high
    return {
        "first": each.first,
        "second": each.second,
        "paired": each.paired,
        "n": each.estimate.n,
        "difference": None if each.estimate.value is None else scale * each.estimate.value,
        "low": None if low is None else scale * low,
        "high": None if high is None else scale * high,
        "p": each.test.p,
        "p_holm": each.p_holm,
        "significant": each.is_significant,
    }
