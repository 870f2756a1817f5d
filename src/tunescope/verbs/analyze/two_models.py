"""Two models compared by how much they lose, task by task (the FACO paper, section 3.3: smarter models lose more)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tunescope import stats
from tunescope.results.estimates import ALPHA
from tunescope.verbs.analyze.parts import Part, complete_mean, name_all, round_p, tasks_in_means, without_sign
from tunescope.views import Cell, Table, interval

_EXACT = 20
"""Tasks up to which all signs of their differences are tried: 2^20, about a million."""


class ModelLosses(NamedTuple):
    """What one model loses.

    Attributes:
        name: what it is called.
        responses: task → its record of `dose_response`.
        by_seed: task → seed → ABS.
    """

    name: str
    responses: Mapping[str, Mapping[str, Any]]
    by_seed: Mapping[str, Mapping[str, float | None]]


def compare_models(first: ModelLosses, second: ModelLosses, left_out: Sequence[str] = (), unit: str = "") -> Part:
    """Return the paired difference of ABS, first model - second, over the tasks that both have.

    The result has `difference` with low, high, n (tasks), n_missing (tasks without an ABS on one side); `p` of the
    sign-flip test, exact up to 20 tasks; `larger`, the tasks in which the first loses more, and `smaller`; `p_sign` of
    the exact sign test of these; `tasks` with both ABS; and `left_out`. Where both models have the same seeds, two at
    least, `over_seeds` has the difference of the mean over the tasks, paired by seed: low and high (Student t), n
    (seeds), n_missing and `p` of the sign-flip test. Each task has the same of its own.
    """
    shared = [task for task in first.responses if task in second.responses]
    counted = tasks_in_means(shared, left_out)
    pairs = [(first.responses[task]["abs"], second.responses[task]["abs"]) for task in counted]
    drops = [a for a, _ in pairs], [b for _, b in pairs]
    gaps = [None if a is None or b is None else a - b for a, b in pairs]
    difference = stats.paired_difference(*drops).estimate
    test = stats.sign_flip_test(stats.subtract(*drops), exact_up_to=_EXACT)
    larger, smaller = (sum(sign * gap > 0 for gap in gaps if gap is not None) for sign in (1, -1))
    sign_test = stats.binomial_test(larger, larger + smaller, 0.5)
    losses = {task: (first.by_seed[task], second.by_seed[task]) for task in counted}
    over_seeds = _over_seeds([each for pair in losses.values() for each in pair]) if losses else None
    tasks: dict[str, dict[str, Any]] = {
        task: {"abs": list(pair), "difference": gap} for task, pair, gap in zip(counted, pairs, gaps, strict=True)
    }
    if over_seeds is not None:
        for task, of_task in losses.items():
            tasks[task]["over_seeds"] = _over_seeds(of_task)
    result = {
        "models": [first.name, second.name],
        **difference.as_json("difference"),
        "p": test.p,
        "p_method": test.method,
        "larger": larger,
        "smaller": smaller,
        "p_sign": sign_test.p,
        "means": [stats.mean_t(each).value for each in drops],
        "tasks": tasks,
        "left_out": [
            task
            for task in [*first.responses, *(task for task in second.responses if task not in first.responses)]
            if task not in counted
        ],
        **({"over_seeds": over_seeds} if over_seeds else {}),
    }
    return Part(key="models", result=result, sentences=(*_say(result, unit),), tables=(_table(result, unit),))


def _over_seeds(losses: Sequence[Mapping[str, float | None]]) -> dict[str, Any] | None:
    """Return the difference of the mean of `losses` (two for each task: first and second model, by seed) over seeds.

    None where they don't have the same seeds, two at least. A seed that lacks one of them is missing.
    """
    seeds = list(losses[0])
    if len(seeds) < 2 or any(each.keys() != losses[0].keys() for each in losses):
        return None
    first, second = ([complete_mean([each[seed] for each in losses[side::2]]) for seed in seeds] for side in (0, 1))
    gaps = stats.subtract(first, second)
    test = stats.sign_flip_test(gaps, exact_up_to=_EXACT)
    return {**stats.mean_t(gaps).as_json("difference"), "p": test.p, "p_method": test.method}


def _gap(record: Mapping[str, Any], points: str) -> str:
    """Write a difference like `0.123 [0.05, 0.2] points more`, or less."""
    value, low, high = (record[key] for key in ("difference", "low", "high"))
    return f"{without_sign(value, low, high)}{points} {'more' if value >= 0 else 'less'}"


def _say(result: Mapping[str, Any], unit: str) -> Iterator[str]:
    one, other = result["models"]
    if result["difference"] is None:
        yield f"{one} and {other} can't be compared: {result['reason']}."
        return
    points = " points" if unit else ""
    over_seeds = result.get("over_seeds")
    if over_seeds is not None and over_seeds["p"] is not None:
        value = _gap(over_seeds, points)
        yield (
            f"From 0 to 100 % {one} loses {value} than {other}: the mean over {result['n']} tasks, paired "
            f"over {over_seeds['n']} seeds; {_name_test(over_seeds)}.{_doubt(over_seeds)}"
        )
    value = _gap(result, points)
    text = f"From 0 to 100 % {one} loses {value} than {other}, on average over {result['n']} tasks"
    if result["low"] is None:
        text += f" ({result['reason']})"
    text += f"; {_name_test(result)}. It loses more in {result['larger']} tasks and less in {result['smaller']}"
    text += f" (sign test p {result['p_sign']:.3g})." if result["p_sign"] is not None else "."
    yield text + ("" if over_seeds else _doubt(result))


def _name_test(record: Mapping[str, Any]) -> str:
    return f"{'exact ' if 'exact' in record['p_method'] else ''}permutation p {record['p']:.3g}"


def _doubt(record: Mapping[str, Any]) -> str:
    return "" if record["p"] <= ALPHA else " This doesn't show that one of them is more sensitive."


def _table(result: Mapping[str, Any], unit: str) -> Table:
    one, other = result["models"]
    columns = ["task", one, other, "difference"]
    rows: list[list[Cell]] = [[task, *r["abs"], r["difference"]] for task, r in result["tasks"].items()]
    note = f"ABS: score at 0 % − score at 100 %{f', in {unit}' if unit else ''}."
    if "over_seeds" in result:
        columns += ["95 %", "n", "p"]
        for row, r in zip(rows, result["tasks"].values(), strict=True):
            of_task = r["over_seeds"]
            row += [interval(of_task["low"], of_task["high"], 3), of_task["n"], round_p(of_task["p"])]
        note += " Differences have intervals over seeds (Student t, paired) and p of the sign-flip test; n = seeds."
    if None not in result["means"]:
        means = f"{one} {result['means'][0]:.3f} and {other} {result['means'][1]:.3f}"
        note += f" The means are {means}. The interval of their difference is over tasks (t, corrected for skewness)."
    note += f" Left out: {name_all(result['left_out'])}." if result["left_out"] else ""
    return Table("Two models by ABS", tuple(columns), tuple(tuple(row) for row in rows), note)
