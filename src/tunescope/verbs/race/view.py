"""The view of `study race`: which ways to choose rows beat drawing them, and by how much."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunescope.results.estimates import ALPHA
from tunescope.verbs.race.choices import RANDOM
from tunescope.views import Table, View, counted, interval, percent, percent_interval

_PER_CHOICE = ("rows", "tokens", "supervised_tokens")
"""Numbers of a rule's chosen rows, in the order of the columns."""
_NEARLY_ALL = 0.95
"""Share of the allowed tokens below which a rule's aren't called equal to the others'."""


def view(result: Mapping[str, Any], folder: Path) -> View:
    """Show the race, whether or not any rule beats random."""
    rules: Sequence[Mapping[str, Any]] = result["rules"]
    measures = [*rules[0]["scores"]]
    sentences = [*_say_who_wins(rules), *_say_what_is_open(rules), *_say_what_is_unequal(rules, result["token_budget"])]
    sentences.append(
        f"Every model was tuned on rows of at most {result['token_budget']:,} tokens, counted with "
        f"{result['counted_with']} as tune reads them."
    )
    if result["before"] is not None:
        scores = ", ".join(f"{task} {_number(score)}" for task, score in result["before"].items())
        sentences.append(f"Before tuning: {scores}.")
    tables = [_race(rules, measures[0], len(measures) > 1), _chosen(rules, result["pool_noise"])]
    if len(measures) > 1:
        tables.append(_by_task(rules, measures[1:]))
    return View(tuple(sentences), tuple(tables), (f"tunescope report {shlex.quote(str(folder))}",))


def _say_who_wins(rules: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    others = [rule for rule in rules if rule["rule"] != RANDOM]
    measure = next(iter(rules[0]["scores"]))
    better: list[str] = []
    worse: list[str] = []
    for rule in others:
        if rule["p_holm"] is not None and rule["p_holm"] < ALPHA:
            (better if rule["differences"][measure]["mean"] > 0 else worse).append(rule["rule"])
    n = len(others)
    ways = counted(n, "way") + " to choose rows"
    if better:
        yield f"Of {ways}, {_count(better)} better than drawing them at random: {'; '.join(better)}."
    else:
        yield f"Of {ways}, none is shown to be better than drawing them at random."
    if worse:
        yield f"{_count(worse).capitalize()} worse: {'; '.join(worse)}."


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} {'is' if len(names) == 1 else 'are'}"


def _say_what_is_open(rules: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Say of each rule that can't be told from random what its seeds leave open."""
    measure = next(iter(rules[0]["scores"]))
    for rule in rules:
        if rule["rule"] == RANDOM or (rule["p_holm"] is not None and rule["p_holm"] < ALPHA):
            continue
        difference = rule["differences"][measure]
        seeds = counted(difference["n"], "seed")
        if difference["mean"] is None:
            yield f"{rule['rule']} can't be compared with random: {difference['reason']}."
            continue
        if difference["low"] is None:
            points = f"{100 * difference['mean']:+.1f} points"
            same = "all seeds differ from random by the same, " if difference["n"] > 1 else ""
            yield f"{rule['rule']}: {same}{points} ({seeds}): there is no interval."
            continue
        what = f"{100 * difference['mean']:+.1f} points ({100 * difference['low']:+.1f} to "
        what += f"{100 * difference['high']:+.1f}, {seeds})"
        needed = rule["seeds_needed"]
        end = f" About {needed:,} seeds would show a difference of this size." if needed else ""
        yield f"{rule['rule']} can't be told from random here: {what}.{end}"


def _say_what_is_unequal(rules: Sequence[Mapping[str, Any]], budget: int) -> Iterator[str]:
    """Say which rules have fewer tokens than allowed: long rows that didn't fit, or too few rows to choose from."""
    for rule in rules:
        if rule["tokens"] < _NEARLY_ALL * budget:
            yield (
                f"{rule['rule']} chose {rule['tokens']:,.0f} tokens on average, of the {budget:,} allowed: tokens are "
                "equal only up to that."
            )


def _race(rules: Sequence[Mapping[str, Any]], measure: str, is_mean: bool) -> Table:
    rows: list[tuple[Any, ...]] = []
    for rule in rules:
        score, difference = rule["scores"][measure], (rule["differences"] or {}).get(measure)
        cells = (rule["rule"], rule["seeds"], score["mean"], interval(score["low"], score["high"], 3))
        if difference is None:
            rows.append((*cells, None, None, None, None, 0))
            continue
        between = interval(difference["low"], difference["high"], 3)
        tests = (rule["p_holm"], rule["seeds_needed"], difference["n_missing"])
        rows.append((*cells, difference["mean"], between, *tests))
    columns = ("rows by", "seeds", measure, "95 %", "less random", "95 %", "p Holm", "seeds needed", "missing")
    what = "the mean over tasks, each counted once" if is_mean else "the score"
    note = (
        f"{measure}: {what}, and the mean of that over seeds. Less random: paired by seed and by the rows that were "
        "chosen from. Intervals over seeds: Student t. p Holm: paired t-test, adjusted for all ways. Seeds needed: "
        "where the test alone doesn't reach 0.05, how many would show a difference of this size (power 0.8). Missing: "
        "seeds without such a pair."
    )
    return Table("The race", columns, tuple(rows), note)


def _chosen(rules: Sequence[Mapping[str, Any]], pool_noise: float | None) -> Table:
    has_noise = any(rule["noise"] is not None for rule in rules)
    columns = ("rows by", "rows", "tokens", "supervised", *(("planted noise", "95 %") if has_noise else ()))
    rows = []
    for rule in rules:
        cells: tuple[Any, ...] = (rule["rule"], *(round(rule[name], 1) for name in _PER_CHOICE))
        if has_noise:
            noise = rule["noise"] or {"mean": None, "low": None, "high": None}
            cells += (percent(noise["mean"], 1), percent_interval(noise["low"], noise["high"], 1))
        rows.append(cells)
    note = "Means over seeds."
    if has_noise:
        of_all = "" if pool_noise is None else f"; of all rows that were chosen from it is {percent(pool_noise, 1)}"
        note += f" Planted noise: the share of the chosen rows that falsify dose made false{of_all}."
    return Table("Rows chosen", columns, tuple(rows), note)


def _by_task(rules: Sequence[Mapping[str, Any]], tasks: Sequence[str]) -> Table:
    rows = []
    for task in tasks:
        for rule in rules:
            score, difference = rule["scores"][task], (rule["differences"] or {}).get(task)
            cells = (task, rule["rule"], score["mean"], interval(score["low"], score["high"], 3))
            low, high = (None, None) if difference is None else (difference["low"], difference["high"])
            apart = (None if difference is None else difference["mean"], interval(low, high, 3))
            rows.append((*cells, *apart, score["n"], score["n_missing"]))
    columns = ("task", "rows by", "score", "95 %", "less random", "95 %", "n", "missing")
    note = "Intervals over seeds: Student t. n: seeds. Which way is better is tested on the mean over tasks alone."
    return Table("By task", columns, tuple(rows), note)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
