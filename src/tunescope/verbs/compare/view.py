"""What `compare` says: counts of pairs, the shared numbers, and examples of what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunescope.pairing import Pairing
from tunescope.results.compare import CompareResult, NumberComparison
from tunescope.results.estimates import MeanEstimate
from tunescope.verbs.compare.items import ComparedItem
from tunescope.views import Cell, Table, View, counted, interval, shorten

_SHOWN = 5
_SHOWN_CHARS = 60
_ALL_NOTE = (
    "Means over all items of each side, and the difference of these means with its 95 % interval: Welch's, less what "
    "pairs have in common."
)
_PAIRS_NOTE = (
    "The mean difference over pairs, with its 95 % interval (from 50 pairs on, of verdicts and scores from 12 on) and "
    "the p of a paired sign-flip test. Pairs needed: where p isn't below 0.05, how many pairs would show a difference "
    "of this size (power 0.8, two-sided 5 %)."
)


def compare_view(result: CompareResult, paired: Pairing[ComparedItem], next_steps: Sequence[str]) -> View:
    """Show what `result` says, with examples from the pairs."""
    return View(tuple(_sentences(result, len(paired.pairs))), tuple(_tables(result, paired)), tuple(next_steps))


def _sentences(result: CompareResult, n_pairs: int) -> list[str]:
    ways = ", ".join(f"{count:,} by {way}" for way, count in result.paired_by.items() if count)
    sentences = [
        f"A has {counted(result.a, result.kind.removesuffix('s'))} and B has {result.b:,}. "
        f"{n_pairs:,} {_are(n_pairs)} paired{f' ({ways})' if ways else ''}: {result.same:,} {_are(result.same)} the "
        f"same and {result.changed:,} changed. {result.removed:,} {_are(result.removed)} only in A (removed), "
        f"{result.added:,} only in B (added)."
    ]
    if result.models is not None:
        sentences.append(f"Perplexities and IFD by {_either(result.models)}.")
    if result.judges is not None:
        sentences += [f"Judged by {_either(result.judges)}.", *(result.setup_differences or ())]
    overlap = result.word_overlap
    if overlap is not None and overlap.mean is not None:
        sentences.append(
            f"Paired answers share {100 * overlap.mean:.0f} % of their words "
            f"(mean Jaccard{_interval_of(overlap)}, n = {overlap.n})."
        )
    return sentences


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _interval_of(mean: MeanEstimate) -> str:
    return "" if mean.low is None else f", 95 % interval {interval(mean.low, mean.high)}"


def _either(of_sides: Mapping[str, str]) -> str:
    a, b = of_sides["a"], of_sides["b"]
    return a if a == b else f"{a} (A) and {b} (B)"


def _tables(result: CompareResult, paired: Pairing[ComparedItem]) -> list[Table]:
    summary, tables = result.summary, []
    if summary:
        columns: tuple[str, ...] = ("number", "A", "B", "B − A", "95 % interval")
        lines = tuple(_all_line(name, numbers) for name, numbers in summary.items())
        tables.append(Table("All items", columns, lines, _ALL_NOTE))
        if result.medians is not None:
            tables.append(_median_table(result.medians))
        if paired.pairs:
            columns = ("number", "B − A", "95 % interval", "p", "n", "missing", "pairs needed")
            lines = tuple(_pairs_line(name, numbers) for name, numbers in summary.items())
            tables.append(Table("Pairs", columns, lines, _PAIRS_NOTE))
    changed = [(x, y) for x, y, _ in paired.pairs if x.content != y.content][:_SHOWN]
    examples = tuple(
        (x.id, y.id, *(shorten(text, _SHOWN_CHARS) for text in (x.prompt, x.text, y.text)))
        for x, y in changed
        if x.text
    )
    if examples:
        tables.append(Table("First changed", ("A id", "B id", "instruction", "A says", "B says"), examples))
    return tables


def _all_line(name: str, numbers: NumberComparison) -> tuple[Cell, ...]:
    difference = numbers.unpaired_difference
    return name, numbers.a.mean, numbers.b.mean, difference.mean, interval(difference.low, difference.high)


def _median_table(medians: Mapping[str, Mapping[str, Any]]) -> Table:
    lines = [
        (name, *(cell for m in sides.values() for cell in (m["median"], interval(m["low"], m["high"]))))
        for name, sides in medians.items()
    ]
    columns = ("number", "A", "95 % interval", "B", "95 % interval")
    return Table("Medians", columns, tuple(lines), "Intervals between order statistics.")


def _pairs_line(name: str, numbers: NumberComparison) -> tuple[Cell, ...]:
    difference = numbers.difference
    return (
        name,
        difference.mean,
        interval(difference.low, difference.high),
        numbers.p,
        difference.n,
        difference.n_missing,
        numbers.n_needed or None,
    )
