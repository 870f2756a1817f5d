"""Two models compared by how much they lose, task by task (the FACO paper, section 3.3: smarter models lose more)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunescope import stats
from tunescope.results.estimates import ALPHA
from tunescope.verbs.analyze.parts import Part, name_all, tasks_in_means, with_interval
from tunescope.views import Table

_EXACT = 20
"""Tasks up to which all signs of their differences are tried: 2^20, about a million."""


def compare_models(
    first: Mapping[str, Mapping[str, Any]],
    second: Mapping[str, Mapping[str, Any]],
    names: tuple[str, str],
    left_out: Sequence[str] = (),
    unit: str = "",
) -> Part:
    """Return the paired difference of ABS, first model - second, over the tasks that both have.

    `first` and `second` are the records of `dose_response` by task. The result has `difference` with low, high, n
    (tasks), n_missing (tasks without an ABS on one side); `p` of the sign-flip test, exact up to 20 tasks; `larger`,
    the tasks in which the first loses more, and `smaller`; `p_sign` of the exact sign test of these; `tasks` with both
    ABS; and `left_out`.
    """
    shared = [task for task in first if task in second]
    counted = tasks_in_means(shared, left_out)
    pairs = [(first[task]["abs"], second[task]["abs"]) for task in counted]
    drops = [a for a, _ in pairs], [b for _, b in pairs]
    gaps = [None if a is None or b is None else a - b for a, b in pairs]
    difference = stats.paired_difference(*drops).estimate
    test = stats.sign_flip_test(stats.subtract(*drops), exact_up_to=_EXACT)
    larger, smaller = (sum(sign * gap > 0 for gap in gaps if gap is not None) for sign in (1, -1))
    sign_test = stats.binomial_test(larger, larger + smaller, 0.5)
    result = {
        "models": list(names),
        **difference.as_json("difference"),
        "p": test.p,
        "p_method": test.method,
        "larger": larger,
        "smaller": smaller,
        "p_sign": sign_test.p,
        "means": [stats.mean_t(each).value for each in drops],
        "tasks": {
            task: {"abs": [a, b], "difference": gap} for task, (a, b), gap in zip(counted, pairs, gaps, strict=True)
        },
        "left_out": [task for task in [*first, *(task for task in second if task not in first)] if task not in counted],
    }
    return Part(key="models", result=result, sentences=(_say(result, unit),), tables=(_table(result, unit),))


def _say(result: Mapping[str, Any], unit: str) -> str:
    one, other = result["models"]
    if result["difference"] is None:
        return f"{one} and {other} can't be compared: {result['reason']}."
    value = with_interval(result["difference"], result["low"], result["high"])
    text = f"From 0 to 100 % {one} loses {value}{' points' if unit else ''} more than {other}, on average over "
    text += f"{result['n']} tasks"
    if result["low"] is None:
        text += f" ({result['reason']})"
    p = result["p"]
    exact = "exact " if "exact" in result["p_method"] else ""
    text += (
        f"; {exact}permutation p {p:.3g}. It loses more in {result['larger']} tasks and less in {result['smaller']} "
    )
    text += f"(sign test p {result['p_sign']:.3g})." if result["p_sign"] is not None else "."
    return text + ("" if p <= ALPHA else " This doesn't show that one of them is more sensitive.")


def _table(result: Mapping[str, Any], unit: str) -> Table:
    rows = tuple((task, *record["abs"], record["difference"]) for task, record in result["tasks"].items())
    one, other = result["models"]
    note = f"ABS: score at 0 % − score at 100 %{f', in {unit}' if unit else ''}."
    if None not in result["means"]:
        means = f"{one} {result['means'][0]:.3f} and {other} {result['means'][1]:.3f}"
        note += f" The means are {means}. The interval of their difference is over tasks (t, corrected for skewness)."
    note += f" Left out: {name_all(result['left_out'])}." if result["left_out"] else ""
    return Table("Two models by ABS", ("task", one, other, "difference"), rows, note)
