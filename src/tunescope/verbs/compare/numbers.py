"""The numbers that two sets share: their means, their differences over pairs, medians, and words in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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


def summarize_number(
    name: str,
    a: Sequence[ComparedItem],
    b: Sequence[ComparedItem],
    pairs: Sequence[tuple[ComparedItem, ComparedItem, str]],
    seed: int,
) -> dict[str, Any]:
    """Return one number's means over all items and its mean difference B − A over pairs, with intervals and p.

    Where the interval contains 0, `n_needed` is how many pairs would show a difference of this size.
    """
    difference = paired_difference(
        [y.numbers.get(name) for _, y, _ in pairs], [x.numbers.get(name) for x, _, _ in pairs], seed=seed
    )
    all_a, all_b = [x.numbers.get(name) for x in a], [y.numbers.get(name) for y in b]
    summary: dict[str, Any] = {
        "a": mean_t(all_a).as_json(),
        "b": mean_t(all_b).as_json(),
        "unpaired_difference": unpaired_difference(all_b, all_a, draws=100).t.as_json(),  # Welch's draws nothing
        "difference": difference.bootstrap.as_json(),
        "p": difference.test.p,
        "test": difference.test.method,
    }
    mean, error = difference.t.value, difference.t.standard_error
    low, high = difference.bootstrap.low, difference.bootstrap.high
    if mean and error and low is not None and high is not None and low <= 0 <= high:
        summary["n_needed"] = n_needed(mean, error * difference.t.n**0.5).n
    return summary


def medians(name: str, a: Sequence[ComparedItem], b: Sequence[ComparedItem]) -> dict[str, Any]:
    """Return both sets' medians: the means of perplexities depend on a few short texts."""
    return {
        side: median_bootstrap([item.numbers.get(name) for item in items]).as_json("median")
        for side, items in (("a", a), ("b", b))
    }


def word_overlap(pairs: Sequence[tuple[ComparedItem, ComparedItem, str]]) -> dict[str, Any]:
    """Return the mean Jaccard similarity of the two answers' sets of words."""
    sets = [(set(words(x.text)), set(words(y.text))) for x, y, _ in pairs]
    return mean_bootstrap([len(x & y) / len(x | y) if x | y else None for x, y in sets]).as_json()
