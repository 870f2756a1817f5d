"""From how many values on an interval is printed: below, it doesn't cover 93 to 97 % in simulation.

`tools/intervals.py` simulates every kind and writes the coverage into `docs/proofs/intervals.md`. The numbers below are
read off its tables.
"""

from __future__ import annotations

from collections.abc import Mapping

MINIMAL_N: Mapping[str, int] = {
    "a mean": 12,
    "a heavy-tailed mean": 50,
    "a mean over groups": 12,
    "a heavy-tailed mean over groups": 300,
    "a share over groups": 12,
    "a difference of means": 12,
    "a heavy-tailed difference of means": 50,
    "a mean of scores": 2,
    "a median": 6,
    "a slope": 3,
    "a threshold": 3,
    "a ratio of means": 3,
    "a Pearson correlation": 4,
    "a Spearman correlation": 8,
    "a length-controlled share": 50,
    "an equivalence of means": 30,
    "an agreement": 30,
}
"""What is estimated, and its least number of values, pairs or groups; of two columns, that of the smaller one.

Lengths and perplexities are heavy-tailed: as lognormal numbers whose logarithms have a standard deviation of 1.
Scores are numbers that are themselves means over many questions, such as a model's score per seed: close to normal.
"""
RARE = 0.05
"""A share over groups of several values has no interval below this, nor above 1 minus this: its events are clumped."""


def too_few(what: str, n: int) -> str | None:
    """Return why n values are too few for an interval of `what`, a key of `MINIMAL_N`; None where they aren't."""
    least = MINIMAL_N[what]
    return f"n = {n}: the interval of {what} needs {least}" if n < least else None
