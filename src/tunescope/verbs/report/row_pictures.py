"""Pictures of rows: how many have each fault, and how measures are distributed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tunescope import stats
from tunescope.results.check import CheckResult
from tunescope.results.measure import MeasuredTurn
from tunescope.runs import Run
from tunescope.verbs.report.pictures import MOST_SERIES, Measured, Scale, bars, histogram, scattered

_HISTOGRAMS = {
    "response_words": ("words of the response", True),
    "instruction_words": ("words of the instruction", True),
    "ppl_response_given": ("perplexity of the response", True),
    "ifd_ppl": ("IFD (by perplexity)", True),
    "coherence": ("coherence", False),
}
"""Measures that are drawn, what they are called, and whether their axis is logarithmic."""
_BY_FAULT = {"rows without a fault": False, "rows with a fault": True}
_MOST_NUMBERS = 9
"""Numbers of a comparison that are drawn."""
_MOST_POINTS = 1500
"""Points of a set in a scatter plot: every so many turns, in their order."""


def fault_bars(run: Run) -> str:
    """Draw the share of rows with each fault, with Wilson's intervals; "" where no row has one."""
    result = CheckResult.read(run)
    counts = sorted(((n, name) for name, n in result.faults.items() if n), key=lambda each: -each[0])
    values = []
    for n, name in counts:
        share = stats.proportion_from_counts(n, result.rows)
        values.append(Measured(name.replace("_", " "), share.value, share.low, share.high))
    return bars(values, Scale("share of rows", "%"))


def row_words(run: Run) -> str:
    """Draw how long the rows of a check are, those with a fault over those without."""
    table = run.tables["rows"]
    pairs = list(zip(table["words"].to_pylist(), table["faulty"].to_pylist(), strict=True))
    sets = {name: [words for words, bad in pairs if bad is faulty] for name, faulty in _BY_FAULT.items()}
    return histogram({name: words for name, words in sets.items() if words}, Scale("words of a row"), True)


def measure_pictures(runs: Sequence[Run]) -> str:
    """Draw each measure's distribution, the sets over each other, and IFD by length."""
    values = {run.path.name: _numbers(run) for run in runs[:MOST_SERIES]}
    return "".join(_pictures(values))


def compared_pictures(run: Run) -> str:
    """Draw how a comparison's numbers are distributed on both sides, where they differ; "" where none do."""
    table, drawn = run.tables["pairs"], []
    sides = {side: f"{side.upper()}: {Path(run.settings[side]).name}" for side in ("a", "b")}
    for name in (column.removesuffix("_a") for column in table.column_names if column.endswith("_a")):
        a, b = (sorted(table[f"{name}_{side}"].drop_null().to_pylist()) for side in sides)
        if a != b:
            numbers = dict(zip(sides.values(), (a, b), strict=True))
            drawn.append(histogram(numbers, Scale(name.replace("_", " ")), name.endswith("_words")))
    return f'<div class="pictures">{"".join(drawn[:_MOST_NUMBERS])}</div>' if any(drawn) else ""


def _pictures(values: dict[str, dict[str, list[float | None]]]) -> Iterator[str]:
    for column, (title, logarithmic) in _HISTOGRAMS.items():
        sets = {name: [v for v in each.get(column, []) if v is not None] for name, each in values.items()}
        if any(sets.values()):
            yield histogram(sets, Scale(title), logarithmic)
    pairs = {
        name: [
            (x, y)
            for x, y in zip(each.get("response_words", []), each.get("ifd_ppl", []), strict=False)
            if x and y is not None and y > 0
        ]
        for name, each in values.items()
    }
    thinned = {name: points[:: 1 + len(points) // _MOST_POINTS] for name, points in pairs.items()}
    yield scattered(thinned, Scale("words of the response"), Scale("IFD (by perplexity)"))


def _numbers(run: Run) -> dict[str, list[float | None]]:
    columns: dict[str, list[float | None]] = {name: [] for name in _HISTOGRAMS}
    for _, measures in MeasuredTurn.read_measures(run):
        for name, numbers in columns.items():
            numbers.append(measures.get(name))
    return columns
