"""Borrowed spans of an answer: disjoint stretches of its best chains, each with the chains that cover it."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.verbs.trace.find import Matches

MAX_CANDIDATES = 50
"""Chains at most that are candidates for a span's source."""
MIN_BITS_SHARE = 0.5
"""Share of the best chain's bits that another chain needs to be a candidate."""


class BorrowedSpan(NamedTuple):
    """A stretch of an answer, and the chains that cover it.

    Attributes:
        begin, end: its first word, and the one behind its last.
        score: of its best chain: bits, or with a reference the bits above it.
        chains: the numbers of the chains, the best first.
    """

    begin: int
    end: int
    score: float
    chains: tuple[int, ...]


def select_spans(matches: Matches, threshold: float) -> list[BorrowedSpan]:
    """Select disjoint spans from the chains that score at least `threshold`, the best chains first.

    A chain that better chains cover by half is only a candidate for their spans. Of a chain that is covered less, the
    longest uncovered stretch becomes a span. Every chain is a candidate for the spans that it covers by half.
    """
    chains, free = matches.chains, np.ones(len(matches.query), bool)
    order = np.lexsort((chains.begin, -chains.bits, -matches.score)).tolist()
    stretches: list[tuple[int, int, int]] = []  # first word, the one behind the last, best chain
    for number in order:
        if matches.score[number] < threshold:
            break
        begin, end = int(chains.begin[number]), int(chains.end[number])
        if 2 * int(free[begin:end].sum()) <= end - begin:
            continue
        begin, end = _longest_free(free, begin, end)
        free[begin:end] = False
        stretches.append((begin, end, number))
    return [
        BorrowedSpan(begin, end, float(matches.score[best]), _candidates(matches, begin, end, best))
        for begin, end, best in sorted(stretches)
    ]


def _longest_free(free: NDArray[np.bool_], begin: int, end: int) -> tuple[int, int]:
    """Return the longest uncovered stretch of begin:end, the first of several."""
    taken = [begin - 1, *(begin + np.flatnonzero(~free[begin:end])).tolist(), end]
    before, after = max(pairwise(taken), key=lambda pair: pair[1] - pair[0])
    return before + 1, after


def _candidates(matches: Matches, begin: int, end: int, best: int) -> tuple[int, ...]:
    """Return the best chain and the others that cover half of a stretch and have half of its bits, most bits first."""
    chains = matches.chains
    shared = np.minimum(chains.end, end) - np.maximum(chains.begin, begin)
    good = (2 * shared >= end - begin) & (chains.bits >= MIN_BITS_SHARE * chains.bits[best])
    order = [int(i) for i in np.flatnonzero(good)[np.argsort(-chains.bits[good], kind="stable")] if i != best]
    return (best, *order[: MAX_CANDIDATES - 1])
