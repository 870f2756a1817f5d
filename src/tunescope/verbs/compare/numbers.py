"""The numbers that two sets share: their means, their differences over pairs, medians, and words in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tunescope.results.compare import NumberComparison
from tunescope.results.estimates import MeanEstimate
from tunescope.stats import (
    mean_bootstrap,
    mean_t,
    median_bootstrap,
    n_needed,
    paired_difference,
    unpaired_difference,
)
from tunescope.text.words import words
from tunescope.verbs.compare.items import ComparedItem


def shared_numbers(a: Sequence[ComparedItem], b: Sequence[ComparedItem]) -> list[str]:
    """Return the names of the numbers that both sets have."""
    names_a, names_b = ({name: None for item in items for name in item.numbers} for items in (a, b))
    return [name for name in names_a if name in names_b]


def compare_number(
    name: str,
    a: Sequence[ComparedItem],
    b: Sequence[ComparedItem],
    pairs: Sequence[tuple[ComparedItem, ComparedItem, str]],
    seed: int,
) -> NumberComparison:
    """Return one number's means over all items and its mean difference B − A over pairs, with intervals and p."""
    difference = paired_difference(
        [y.numbers.get(name) for _, y, _ in pairs], [x.numbers.get(name) for x, _, _ in pairs], seed=seed
    )
    all_a, all_b = [x.numbers.get(name) for x in a], [y.numbers.get(name) for y in b]
    mean, error = difference.t.value, difference.t.standard_error
    low, high = difference.bootstrap.low, difference.bootstrap.high
    needed: int | None = 0
    if mean and error and low is not None and high is not None and low <= 0 <= high:
        needed = n_needed(mean, error * difference.t.n**0.5).n
    return NumberComparison(
        a=MeanEstimate.of(mean_t(all_a)),
        b=MeanEstimate.of(mean_t(all_b)),
        unpaired_difference=MeanEstimate.of(unpaired_difference(all_b, all_a, draws=100).t),  # Welch's draws nothing
        difference=MeanEstimate.of(difference.bootstrap),
        p=difference.test.p,
        test=difference.test.method,
        n_needed=needed,
    )


def medians(name: str, a: Sequence[ComparedItem], b: Sequence[ComparedItem]) -> dict[str, Any]:
    """Return both sets' medians: the means of perplexities depend on a few short texts."""
    return {
        side: median_bootstrap([item.numbers.get(name) for item in items]).as_json("median")
        for side, items in (("a", a), ("b", b))
    }


def word_overlap(pairs: Sequence[tuple[ComparedItem, ComparedItem, str]]) -> MeanEstimate:
    """Return the mean Jaccard similarity of the two answers' sets of words."""
    sets = [(set(words(x.text)), set(words(y.text))) for x, y, _ in pairs]
    return MeanEstimate.of(mean_bootstrap([len(x & y) / len(x | y) if x | y else None for x, y in sets]))
