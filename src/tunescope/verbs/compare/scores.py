"""Two models' scores on benchmarks, item by item: runs of `bench`, or lm-eval's files from anywhere.

The question after tuning is "did it forget?". That no difference is found doesn't answer it; with --no-harm the test
asks whether the difference is within a margin (two one-sided tests).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from math import ceil
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING, Any

from tunescope import runs, stats
from tunescope.errors import RunError
from tunescope.results.bench import BenchResult
from tunescope.results.compare import ScoreComparison, ScoreMeanComparison, ScoresResult
from tunescope.results.estimates import ALPHA, MeanEstimate
from tunescope.results.lm_eval import LmEvalResults, ScoredTask
from tunescope.rows.containers import content_hash
from tunescope.runs import Outcome, Run, RunFolder
from tunescope.views import Table, View, counted, interval

if TYPE_CHECKING:
    from tunescope.verbs.compare.settings import CompareSettings

VERSION = 3


def compare_scores(settings: CompareSettings, a: LmEvalResults, b: LmEvalResults) -> Run:
    """Pair the items of the tasks that both have; return the run with the table `items`.

    `items` has task, item (the hash of its content), a, b and other_prompt. The result has `tasks`: per task both
    scores, the paired difference with its interval, McNemar's p (of scores beside 0 and 1 the sign-flip test's), Holm's
    adjustment over tasks, the detectable difference, and with `no_harm` whether no harm is shown.

    Raises:
        RunError: no task in common, or none with an item in common.
        InputError: files without items, or without the metric.
    """
    sides = {"a": a, "b": b}
    inputs = {f"{side} {path}": content_hash(path) for side, each in sides.items() for path in each.files}
    return runs.execute("compare", VERSION, settings, inputs, partial(_work, settings, a, b))


def _work(settings: CompareSettings, a: LmEvalResults, b: LmEvalResults, folder: RunFolder) -> Outcome:
    of_a, of_b = a.tasks(settings.metric), b.tasks(settings.metric)
    shared = [name for name in of_a if name in of_b]
    if not shared:
        raise RunError(
            f"{a.path} has the tasks {', '.join(of_a)} and {b.path} has {', '.join(of_b)}; expected one in common"
        )
    margin = None if settings.no_harm is None else settings.no_harm / 100
    tasks = {name: _compare(name, of_a[name], of_b[name], margin, settings.seed) for name in shared}
    adjusted = stats.holm([task.p for task in tasks.values()])
    tasks = {
        name: _with_holm(task, p, of_a[name].higher_is_better, margin is not None)
        for (name, task), p in zip(tasks.items(), adjusted, strict=True)
    }
    mean = _compare_means({name: (of_a[name], of_b[name]) for name in shared}, margin)
    _write(folder, {name: (of_a[name], of_b[name]) for name in shared})
    result = ScoresResult(
        kind="scores",
        models={"a": a.model, "b": b.model},
        tasks=tasks,
        mean=mean,
        only_a=tuple(name for name in of_a if name not in of_b),
        only_b=tuple(name for name in of_b if name not in of_a),
        orders=_orders(settings),
    )
    return Outcome(result.as_json(), _view(settings, result))


def _compare_means(
    tasks: Mapping[str, tuple[ScoredTask, ScoredTask]], margin: float | None
) -> ScoreMeanComparison | None:
    """Compare the mean over tasks whose scores are shares of which more is better; None of fewer than two."""
    pairs = {
        name: [(b.scores.get(item), a.scores.get(item)) for item in dict.fromkeys([*a.scores, *b.scores])]
        for name, (a, b) in tasks.items()
        if a.higher_is_better
    }
    known = {name: [x for pair in each for x in pair if x is not None] for name, each in pairs.items()}
    shares = {name: tuple(zip(*pairs[name], strict=True)) for name, values in known.items() if _are_shares(values)}
    if len(shares) < 2:
        return None
    strata = [(first, second) for first, second in shares.values()]
    found = stats.equivalence_of_strata(strata, margin or 0.01)
    difference = MeanEstimate.of(found.estimate)
    if margin is None or found.equivalent is None:
        return ScoreMeanComparison(tasks=(*shares,), difference=difference)
    is_below = found.estimate.high is not None and found.estimate.high < 0
    is_above = found.estimate.low is not None and found.estimate.low > 0
    no_harm = "shown" if found.equivalent or is_above else "harm" if is_below else "too few items"
    return ScoreMeanComparison(tasks=(*shares,), difference=difference, no_harm=no_harm, equivalence=found.as_json())


def _compare(name: str, a: ScoredTask, b: ScoredTask, margin: float | None, seed: int) -> ScoreComparison:
    """Compare a task's items; those of one side alone are missing."""
    if a.metric != b.metric:
        raise RunError(f"{name} has the metric {a.metric} on one side and {b.metric} on the other; give --metric")
    items = list(dict.fromkeys([*a.scores, *b.scores]))
    if not a.scores.keys() & b.scores.keys():
        raise RunError(f"{name}: no item of one side is an item of the other; score the same questions with both")
    first, second = [a.scores.get(item) for item in items], [b.scores.get(item) for item in items]
    pairs = [(x, y) for x, y in zip(first, second, strict=True) if x is not None and y is not None]
    if not _are_shares(value for pair in pairs for value in pair):
        margin = None  # points are of a share
    binary = all(value in (0, 1) for pair in pairs for value in pair)
    if binary:
        interval_of = stats.equivalence_of_paired_shares(second, first, margin or 0.01, alpha=0.025).estimate
        test = stats.mcnemar(first, second)
        equivalence = None if margin is None else stats.equivalence_of_paired_shares(second, first, margin)
    else:
        difference = stats.paired_difference(second, first, seed=seed)
        interval_of, test = difference.estimate, difference.test
        equivalence = None if margin is None else stats.equivalence_of_pairs(second, first, margin)
    n = len(pairs)
    detectable = stats.detectable_difference(n, _deviation(pairs)).difference
    needed = None
    if equivalence is not None and margin is not None and equivalence.detectable_margin:
        needed = ceil(n * (equivalence.detectable_margin / margin) ** 2)
    return ScoreComparison(
        metric=a.metric,
        a=_mean([x for x, _ in pairs]),
        b=_mean([y for _, y in pairs]),
        difference=MeanEstimate.of(interval_of),
        won=sum(y > x for x, y in pairs),
        lost=sum(y < x for x, y in pairs),
        p=test.p,
        p_holm=None,
        test=test.method,
        detectable=detectable,
        other_prompts=sum(a.prompts[item] != b.prompts[item] for item in a.prompts.keys() & b.prompts.keys()),
        equivalence=None if equivalence is None else equivalence.as_json(),
        n_needed=needed,
    )


def _are_shares(values: Iterable[float]) -> bool:
    return all(0 <= value <= 1 for value in values)


def _mean(values: list[float]) -> MeanEstimate:
    return MeanEstimate.of(stats.mean_share(values) if _are_shares(values) else stats.mean(values))


def _deviation(pairs: list[tuple[float, float]]) -> float:
    """Return the standard deviation of the differences (ddof 1); 0 of fewer than two."""
    apart = [y - x for x, y in pairs]
    return stdev(apart) if len(apart) > 1 else 0.0


def _with_holm(task: ScoreComparison, p: float | None, higher_is_better: bool, asked: bool) -> ScoreComparison:
    """Add the adjusted p, and where no harm is asked for, whether it is shown."""
    if not asked or task.difference.mean is None:
        return replace(task, p_holm=p)
    differs = p is not None and p < ALPHA
    is_better = (task.difference.mean > 0) == higher_is_better
    is_equivalent = task.equivalence is not None and task.equivalence["equivalent"]
    if is_equivalent or (differs and is_better):
        return replace(task, p_holm=p, no_harm="shown", n_needed=None)
    if differs:
        return replace(task, p_holm=p, no_harm="harm", n_needed=None)
    return replace(task, p_holm=p, no_harm=None if task.equivalence is None else "too few items")


def _orders(settings: CompareSettings) -> dict[str, dict[str, int]]:
    """Return under how many choices of template and exemplars B is above A, by task; empty without --spread."""
    if not all((Path(name) / "run.json").is_file() for name in (settings.a, settings.b)):
        return {}
    a, b = (BenchResult.read(Run(Path(name))).spread for name in (settings.a, settings.b))
    counts = {}
    for name in a:
        both = [(x, b[name].choices.get(choice)) for choice, x in a[name].choices.items()] if name in b else []
        known = [(x, y) for x, y in both if x is not None and y is not None]
        if known:
            above, below = sum(y > x for x, y in known), sum(y < x for x, y in known)
            counts[name] = {"above": above, "below": below, "equal": len(known) - above - below}
    return counts


def _write(folder: RunFolder, tasks: Mapping[str, tuple[ScoredTask, ScoredTask]]) -> None:
    import pyarrow as pa

    lines: list[tuple[Any, ...]] = []
    for name, (a, b) in tasks.items():
        for item in dict.fromkeys([*a.scores, *b.scores]):
            prompts = a.prompts.get(item), b.prompts.get(item)
            other = None if None in prompts else prompts[0] != prompts[1]
            lines.append((name, "-".join(map(str, item)), a.scores.get(item), b.scores.get(item), other))
    kinds = {"task": pa.string(), "item": pa.string(), "a": pa.float64(), "b": pa.float64(), "other_prompt": pa.bool_()}
    columns = zip(*lines, strict=True)
    folder.table("items", pa.table({n: pa.array(c, kind) for (n, kind), c in zip(kinds.items(), columns, strict=True)}))


def _view(settings: CompareSettings, result: ScoresResult) -> View:
    tasks = result.tasks
    a, b = result.models["a"], result.models["b"]
    sentences = [f"{b} (B) compared with {a} (A): {counted(len(tasks), 'task')} in common."]
    found = [name for name, task in tasks.items() if task.p_holm is not None and task.p_holm < ALPHA]
    for name in found:
        mean = tasks[name].difference.mean or 0
        sentences.append(f"B is {'above' if mean > 0 else 'below'} A on {name} by {_amount(tasks[name])}.")
    if len(found) < len(tasks):
        rest = "the other tasks" if found else "any task" if len(tasks) > 1 else next(iter(tasks))
        sentences.append(f"No significant difference was found on {rest}. These items may have missed one.")
    sentences += [
        _order_sentence(name, order) for name, order in result.orders.items() if order["above"] and order["below"]
    ]
    if result.mean is not None and result.mean.difference.mean is not None:
        sentences.append(_mean_sentence(result.mean, settings.no_harm))
    if settings.no_harm is not None:
        sentences += [_harm_sentence(name, task, settings.no_harm) for name, task in tasks.items()]
    other = sum(task.other_prompts for task in tasks.values())
    if other:
        sentences.append(f"A and B were asked {counted(other, 'item')} with different prompts.")
    for side, only in (("A", result.only_a), ("B", result.only_b)):
        if only:
            sentences.append(f"Only {side} has {', '.join(only)}.")
    return View(tuple(sentences), (_table(tasks), *(_harm_tables(tasks, settings.no_harm))))


def _order_sentence(name: str, order: Mapping[str, int]) -> str:
    total = sum(order.values())
    return (
        f"On {name} the order depends on template and exemplars: B is above A under {order['above']} of {total} "
        f"choices and below it under {order['below']}."
    )


def _mean_sentence(mean: ScoreMeanComparison, margin: float | None) -> str:
    apart = mean.difference
    low, high = (None if end is None else 100 * end for end in (apart.low, apart.high))
    value = 100 * (apart.mean or 0)
    side = "below" if value < 0 else "above"
    said = f"Over the {len(mean.tasks)} tasks together, each counted once, B is {abs(value):.1f} points {side} A"
    said += f" (95 % interval {interval(low, high, 1)}, n = {apart.n:,})"
    if margin is None or mean.no_harm is None:
        return f"{said}."
    points = f"{margin:g} point{'' if margin == 1 else 's'}"
    verdict = {
        "shown": f"no harm within {points}",
        "harm": "harm",
        "too few items": f"too few items to show no harm within {points}",
    }
    return f"{said}: {verdict[mean.no_harm]}."


def _harm_sentence(name: str, task: ScoreComparison, margin: float) -> str:
    points = f"{margin:g} point{'' if margin == 1 else 's'}"
    if task.no_harm == "shown" and task.equivalence is None:
        return f"No harm on {name}: B is better by {_amount(task)} (n = {task.difference.n})."
    if task.no_harm == "shown":
        return f"No harm on {name}: B isn't {points} or more below A (n = {task.difference.n})."
    if task.no_harm == "harm":
        return f"Harm on {name}: B is worse than A by {_amount(task)}."
    if not task.difference.n:
        return f"Whether {name} was harmed isn't tested: no item has a score on both sides."
    if task.no_harm is None:
        return f"Whether {name} was harmed isn't tested: the margin is of a share, and {task.metric} isn't one."
    n = task.difference.n
    if task.n_needed is None:
        enough = ""
    elif task.n_needed > n:
        enough = f"; about {task.n_needed:,} would do"
    else:
        side = "below" if (task.difference.mean or 0) < 0 else "above"
        enough = f", in which B is {_amount(task)} {side} A; without a difference about {task.n_needed:,} would do"
    return f"Too few items of {name} to show no harm within {points}: {n:,}{enough}."


def _amount(task: ScoreComparison) -> str:
    """Return the size of a difference: in points where the scores are shares."""
    size = abs(task.difference.mean or 0)
    shares = _are_shares(mean for mean in (task.a.mean, task.b.mean) if mean is not None)
    return f"{100 * size:.1f} points" if shares else f"{size:.4g}"


def _table(tasks: Mapping[str, ScoreComparison]) -> Table:
    rows = tuple(
        (
            name,
            task.metric,
            task.a.mean,
            task.b.mean,
            task.difference.mean,
            interval(task.difference.low, task.difference.high, 3),
            task.won,
            task.lost,
            task.p_holm,
            task.detectable,
            task.difference.n,
            task.difference.n_missing,
        )
        for name, task in tasks.items()
    )
    tests = " or ".join(dict.fromkeys(task.test for task in tasks.values()))
    note = (
        f"Difference: B - A over the items of both. won, lost: items that B scores higher, lower. p: {tests}, adjusted "
        "for the number of tasks (Holm). detectable: the difference that so many items show with a power of 80 %."
    )
    columns = ("task", "metric", "A", "B", "B - A", "95 %", "won", "lost", "p", "detectable", "n", "missing")
    return Table("Scores", columns, rows, note)


def _harm_tables(tasks: Mapping[str, ScoreComparison], margin: float | None) -> tuple[Table, ...]:
    if margin is None:
        return ()
    rows = tuple(
        (name, task.no_harm, task.equivalence["p"], task.equivalence["smallest_margin"], task.n_needed)
        for name, task in tasks.items()
        if task.equivalence is not None
    )
    note = (
        f"Two one-sided tests of a difference of {margin / 100:g}. smallest: the smallest margin that these items "
        "show. needed: items that would show no harm where there is none."
    )
    return (Table("No harm", ("task", "no harm", "p", "smallest", "needed"), rows, note),)
