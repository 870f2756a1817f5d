"""`judge leaderboard`: systems of several judge runs in one table, with what can't be told apart."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from tunescope.errors import RunError, SettingsError
from tunescope.judgements.comparable import unlike
from tunescope.judgements.records import told_apart
from tunescope.runs import INPUT, Outcome, Run, RunFolder, execute, open_runs, out_field
from tunescope.views import Cell, Table, View, counted, interval

if TYPE_CHECKING:
    from tunescope.judgements.ranking import Difference

VERSION = 2
SHOWN = 40
WIN_RATE = "win_rate"
ALL = "all_aspects"


@dataclass(frozen=True, kw_only=True)
class LeaderboardSettings:
    """Rank systems from several judge runs, with intervals and with groups that can't be told apart."""

    runs: tuple[str, ...] = field(metadata=INPUT)
    """Folders of judge runs, one or more."""

    by: str | None = None
    """The number to rank by: win_rate, or an aspect; by default win_rate, of scores the mean over all aspects."""

    reference: str | None = None
    """Only what is held against this system, where runs have several references."""

    judge: str | None = None
    """Only what this judge says, where runs have several judges."""

    out: str | None = out_field()
    """The run folder; runs/judge-leaderboard-KEY by default."""


class Entry(NamedTuple):
    """A line of the board: the system, what it is held against and by whom, its number and question of every item."""

    name: str
    system: str
    reference: str | None
    judge: str | None
    values: dict[str, float]
    questions: dict[str, str]
    items: int
    numbers: Mapping[str, Any]
    run: str


def leaderboard(settings: LeaderboardSettings) -> Run:
    """Rank systems; return the run with the tables `board` and `differences` (every pair's, with its corrected p).

    Raises:
        RunError: a run of another verb.
        SettingsError: several references or judges at once, verdicts and scores at once, or nothing to rank.
    """
    opened = open_runs(settings.runs)
    for run in opened:
        if not run.verb.startswith("judge ") or not {"items", "scores"} & set(run.tables):
            raise RunError(f"{run.path} is a run of {run.verb}; expected runs of judge that hold verdicts or scores")
    if not opened:
        raise SettingsError("no runs; type tunescope judge leaderboard RUN…")
    inputs = {str(run.path): run.key for run in opened}
    return execute("judge leaderboard", VERSION, settings, inputs, partial(_work, settings, opened))


def _work(settings: LeaderboardSettings, opened: Sequence[Run], folder: RunFolder) -> Outcome:
    import pyarrow as pa

    from tunescope.judgements.ranking import differences, groups

    kinds = {run.result["kind"] for run in opened}
    if len(kinds) > 1:
        raise SettingsError("some runs hold verdicts on pairs of answers and some scores of single ones; rank one kind")
    pairs = kinds == {"pairs"}
    by = settings.by or (WIN_RATE if pairs else ALL)
    entries = [entry for run in opened for entry in (_pairs(run, by) if pairs else _grades(run, by))]
    entries = _chosen(settings, entries)
    entries = sorted(_named(entries), key=lambda entry: -_mean(entry))
    found = differences({entry.name: _by_question(entry) for entry in entries})
    letters = groups([entry.name for entry in entries], found)
    lines = [_line(entry, letters[entry.name]) for entry in entries]
    scale = 100 if pairs else 1
    gaps = [_gap(each, scale) for each in found]
    folder.table("board", pa.table({name: [line[name] for line in lines] for name in lines[0]}))
    if gaps:
        folder.table("differences", pa.table({name: [gap[name] for gap in gaps] for name in gaps[0]}))
    result = {
        "kind": "pairs" if pairs else "grades",
        "by": by,
        "reference": entries[0].reference,
        "judge": entries[0].judge,
        "n": len(entries),
        "comparisons": len(gaps),
        "told_apart": sum(each.told_apart for each in found),
        "entries": {line["name"]: {k: v for k, v in line.items() if k != "name"} for line in lines},
        "differences": gaps,
    }
    kept = {entry.run for entry in entries}
    warned = [*unlike({str(run.path): run for run in opened if str(run.path) in kept})]
    return Outcome(result, _view(result, lines, found, gaps, warned))


def _pairs(run: Run, by: str) -> Iterator[Entry]:
    if by != WIN_RATE:
        raise SettingsError(f"--by {by}: {run.path} holds verdicts on pairs of answers; rank by win_rate")
    numbers = {line["comparison"]: line for line in run.tables["comparisons"].to_pylist()}
    items: dict[str, list[dict[str, Any]]] = {}
    for item in run.tables["items"].to_pylist():
        items.setdefault(item["comparison"], []).append(item)
    for name, members in items.items():
        values = {item["item"]: item["value"] for item in members if item["value"] is not None}
        line = numbers[name]
        label = line["system"] if not line["part"] else f"{line['system']} {line['part']}"
        questions = {item["item"]: item["question"] for item in members}
        who = (label, line["system"], line["reference"], line["judge"])
        yield Entry(*who, values, questions, len(members), line, str(run.path))


def _grades(run: Run, by: str) -> Iterator[Entry]:
    scores: dict[tuple[str, str | None], dict[str, list[float | None]]] = {}
    aspects: dict[str, None] = {}
    questions: dict[str, str] = {}
    for line in run.tables["scores"].to_pylist():
        aspects[line["aspect"]] = None
        questions[line["item"]] = line["question"]
        of_item = scores.setdefault((line["system"], line["judge"]), {}).setdefault(line["item"], [])
        if by in (ALL, line["aspect"]):
            of_item.append(line["score"])
    if by not in (ALL, *aspects):
        raise SettingsError(f"--by {by}: the aspects in {run.path} are {', '.join(aspects)}")
    for (system, judge), items in scores.items():
        kept = {item: [v for v in found if v is not None] for item, found in items.items()}
        values = {item: sum(found) / len(found) for item, found in kept.items() if found}
        yield Entry(system, system, None, judge, values, questions, len(items), {}, str(run.path))


def _chosen(settings: LeaderboardSettings, entries: Sequence[Entry]) -> list[Entry]:
    """Keep what is held against one reference by one judge; refuse several."""
    for name in ("reference", "judge"):
        wanted, there = getattr(settings, name), list(dict.fromkeys(getattr(entry, name) for entry in entries))
        said = ", ".join(str(each) if each is not None else "unknown" for each in there)
        if wanted is not None:
            if wanted not in there:
                raise SettingsError(f"--{name} {wanted}: the {name}s here are {said}")
            entries = [entry for entry in entries if getattr(entry, name) == wanted]
        elif len(there) > 1:
            raise SettingsError(f"several {name}s ({said}), whose numbers don't compare; name one with --{name}")
    with_values = [entry for entry in entries if entry.values]
    if not with_values:
        raise SettingsError("no system here has a verdict or a score; nothing to rank")
    return with_values


def _named(entries: Sequence[Entry]) -> list[Entry]:
    """Give each a name of its own: the system's, and where it is there twice, its run's."""
    counts = Counter(entry.name for entry in entries)
    names = [f"{entry.name} ({entry.run})" if counts[entry.name] > 1 else entry.name for entry in entries]
    return [entry._replace(name=name) for entry, name in zip(entries, told_apart(names), strict=True)]


def _by_question(entry: Entry) -> dict[str, float]:
    """Return the mean of each question's items: turns of one question aren't independent."""
    found: dict[str, list[float]] = {}
    for item, value in entry.values.items():
        found.setdefault(entry.questions[item], []).append(value)
    return {question: sum(values) / len(values) for question, values in found.items()}


def _mean(entry: Entry) -> float:
    return sum(entry.values.values()) / len(entry.values)


def _line(entry: Entry, letters: str) -> dict[str, Any]:
    """Return a line of the board: a win rate as its run has it, a mean of scores with its bootstrap interval."""
    from tunescope.judgements.win_rates import mean_of, standard_error

    known = entry.numbers
    if known:
        mean, low, high, error = (known[n] for n in ("win_rate", "win_rate_low", "win_rate_high", "standard_error"))
    else:
        values, questions = list(entry.values.values()), [entry.questions[item] for item in entry.values]
        found = mean_of(values, questions)
        mean, low, high, error = found.value, found.low, found.high, standard_error(values, questions)
    return {
        "name": entry.name,
        "system": entry.system,
        "mean": mean,
        "standard_error": error,
        "low": low,
        "high": high,
        "n": len(entry.values),
        "n_missing": entry.items - len(entry.values),
        "win_rate_length_controlled": known.get("win_rate_length_controlled"),
        "avg_length": known.get("avg_length"),
        "group": letters,
        "run": entry.run,
    }


def _gap(each: Difference, scale: int) -> dict[str, Any]:
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
        "told_apart": each.told_apart,
    }


def _view(
    result: Mapping[str, Any],
    lines: Sequence[Mapping[str, Any]],
    found: Sequence[Difference],
    gaps: Sequence[Mapping[str, Any]],
    warned: Sequence[str],
) -> View:
    return View((*_sentences(result, lines, found), *warned), tuple(_tables(result, lines, gaps)), _next(lines))


def _sentences(
    result: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], found: Sequence[Difference]
) -> Iterator[str]:
    unit = " %" if result["kind"] == "pairs" else ""
    against = f" against {result['reference']}" if result["reference"] else ""
    by = f" (judge {result['judge']})" if result["judge"] else ""
    first = lines[0]
    yield (
        f"{counted(len(lines), 'system')} by {result['by']}{against}{by}; the first is {first['name']} with "
        f"{first['mean']:.2f}{unit}."
    )
    if found:
        apart = result["told_apart"]
        rest = result["comparisons"] - apart
        pairs = "pair" if result["comparisons"] == 1 else "pairs"
        yield (
            f"{apart:,} of {result['comparisons']:,} {pairs} can be told apart at 5 % (paired over shared items, "
            f"corrected for all pairs); {rest:,} can't: systems that share a letter aren't told apart."
        )
    for each in found:
        if not each.told_apart and each.estimate.value and each.estimate.standard_error and _next_to(each, lines):
            from tunescope.stats import n_needed

            sd = each.estimate.standard_error * each.estimate.n**0.5
            needed = n_needed(each.estimate.value, sd).n
            if needed is not None:
                yield (
                    f"{each.first} and {each.second}: no difference that {each.estimate.n:,} items could show; about "
                    f"{needed:,} would show the one seen, before the correction."
                )


def _next_to(each: Difference, lines: Sequence[Mapping[str, Any]]) -> bool:
    names = [line["name"] for line in lines]
    return each.paired and abs(names.index(each.first) - names.index(each.second)) == 1


def _tables(
    result: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], gaps: Sequence[Mapping[str, Any]]
) -> Iterator[Table]:
    pairs = result["kind"] == "pairs"
    rows: list[tuple[Cell, ...]] = []
    for rank, line in enumerate(lines, 1):
        row: tuple[Cell, ...] = (rank, line["name"], _fixed(line["mean"]), _fixed(line["standard_error"]))
        row = (*row, interval(line["low"], line["high"]), line["group"])
        if pairs:
            length = None if line["avg_length"] is None else int(line["avg_length"])
            row = (*row, _fixed(line["win_rate_length_controlled"]), length)
        rows.append((*row, line["n"], line["n_missing"]))
    extra = ("at equal length", "avg length") if pairs else ()
    number = "win rate" if pairs else result["by"].replace("_", " ")
    columns = ("rank", "model", number, "standard error", "95 % interval", "group", *extra, "n", "missing")
    yield Table("Leaderboard", columns, tuple(rows), "Systems that share a letter aren't told apart.")
    names = [line["name"] for line in lines]
    near = [gap for gap in gaps if abs(names.index(gap["first"]) - names.index(gap["second"])) == 1]
    cells = tuple(
        (
            gap["first"],
            gap["second"],
            _fixed(gap["difference"]),
            interval(gap["low"], gap["high"]),
            gap["p"],
            gap["p_holm"],
            gap["n"],
            "paired" if gap["paired"] else "unpaired",
        )
        for gap in near[:SHOWN]
    )
    if cells:
        note = (
            "First minus second over the items that both have (t interval, uncorrected); p of a paired t-test, of "
            "Welch's where they share fewer than two items; Holm's correction is for all pairs. The table differences "
            "has all pairs."
        )
        head = ("first", "second", "difference", "95 % interval", "p", "p, Holm", "n", "test")
        yield Table("Neighbours", head, cells, note)


def _fixed(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _next(lines: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    paths = list(dict.fromkeys(line["run"] for line in lines))
    return (shlex.join(["tunescope", "report", *paths]),)
