"""The numbers that two sets share: their means, their differences over pairs, medians, and words in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tunescope.pairing import Pairing
from tunescope.results.compare import NumberComparison
from tunescope.results.estimates import ALPHA, MeanEstimate
from tunescope.stats import (
    UNBOUNDED,
    Bounds,
    Estimate,
    bounds_of_differences,
    difference_of_means,
    mean,
    mean_share,
    median,
    n_needed,
    paired_difference,
    widest,
)
from tunescope.text.words import words
from tunescope.verbs.compare.items import ComparedItem


def shared_numbers(a: Sequence[ComparedItem], b: Sequence[ComparedItem]) -> list[str]:
    """Return the names of the numbers that both sets have."""
    names_a, names_b = ({name: None for item in items for name in item.numbers} for items in (a, b))
    return [name for name in names_a if name in names_b]


def compare_number(name: str, paired: Pairing[ComparedItem], heavy_tailed: bool, seed: int) -> NumberComparison:
    """Return one number's means over all items and its mean difference B − A over pairs, with intervals and p.

    Items that both sides have aren't independent: the difference over all items takes account of its pairs.
    """
    pairs = [(x.numbers.get(name), y.numbers.get(name)) for x, y, _ in paired.pairs]
    of_a = [*(x for x, _ in pairs), *(x.numbers.get(name) for x in paired.only_a), *(None for _ in paired.only_b)]
    of_b = [*(y for _, y in pairs), *(None for _ in paired.only_a), *(y.numbers.get(name) for y in paired.only_b)]
    bounds = _bounds(name, paired)
    apart = bounds_of_differences(bounds)
    difference = paired_difference([y for _, y in pairs], [x for x, _ in pairs], heavy_tailed=heavy_tailed, seed=seed)
    estimate, test = difference.estimate.within(apart), difference.test
    needed: int | None = 0
    if estimate.value and estimate.standard_error and test.p is not None and test.p >= ALPHA:
        needed = n_needed(estimate.value, estimate.standard_error * estimate.n**0.5).n
    return NumberComparison(
        a=MeanEstimate.of(_mean_of_side(of_a, len(paired.only_b), heavy_tailed, bounds)),
        b=MeanEstimate.of(_mean_of_side(of_b, len(paired.only_a), heavy_tailed, bounds)),
        unpaired_difference=MeanEstimate.of(
            difference_of_means(of_b, of_a, heavy_tailed=heavy_tailed).estimate.within(apart)
        ),
        difference=MeanEstimate.of(estimate),
        p=test.p,
        test=test.method,
        n_needed=needed,
    )


def _bounds(name: str, paired: Pairing[ComparedItem]) -> Bounds:
    """Return the least and the largest value that a number can have, in both sides."""
    items = [*(item for x, y, _ in paired.pairs for item in (x, y)), *paired.only_a, *paired.only_b]
    return widest(item.bounds.get(name, UNBOUNDED) for item in items if name in item.numbers)


def _mean_of_side(values: Sequence[float | None], n_absent: int, heavy_tailed: bool, bounds: Bounds) -> Estimate:
    """Return the mean of a side's values; items that only the other side has aren't missing."""
    estimate = mean(values, heavy_tailed=heavy_tailed, bounds=bounds)
    return replace(estimate, n_missing=estimate.n_missing - n_absent)


def medians(name: str, a: Sequence[ComparedItem], b: Sequence[ComparedItem]) -> dict[str, Any]:
    """Return both sets' medians: the means of perplexities depend on a few short texts."""
    return {
        side: median([item.numbers.get(name) for item in items]).as_json("median")
        for side, items in (("a", a), ("b", b))
    }


def word_overlap(pairs: Sequence[tuple[ComparedItem, ComparedItem, str]]) -> MeanEstimate:
    """Return the mean Jaccard similarity of the two answers' sets of words."""
    sets = [(set(words(x.text)), set(words(y.text))) for x, y, _ in pairs]
    return MeanEstimate.of(mean_share([len(x & y) / len(x | y) if x | y else None for x, y in sets]))
