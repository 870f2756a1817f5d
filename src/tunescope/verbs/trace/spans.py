"""Borrowed spans of an answer: where its chains lie, each stretch once, with the rows that have it."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.verbs.trace.find import Found

MOST_CHAINS = 50
"""Rows that are candidates for a span."""
WORTH = 0.5
"""Share of the best chain's bits that another row's chain needs to be a candidate."""


class Span(NamedTuple):
    """A stretch of an answer, in words, and the chains that cover it, most bits first.

    Attributes:
        begin, end: its words, end exclusive.
        score: of its best chain: bits, or with a reference bits above it.
        chains: their numbers, the best first.
    """

    begin: int
    end: int
    score: float
    chains: tuple[int, ...]


def spans(found: Found, least: float) -> list[Span]:
    """Lay the chains that score at least `least` over the answer, the best first, none over another.

    A chain that lies by half under a better one is a candidate for that stretch; what else is left of one is a span
    of its own. All other chains count as candidates where they cover half of a span.
    """
    chains, free = found.chains, np.ones(len(found.query), bool)
    order = np.lexsort((chains.begin, -chains.bits, -found.score)).tolist()
    made: list[tuple[int, int, int]] = []  # first word, the one behind the last, best chain
    for number in order:
        if found.score[number] < least:
            break
        begin, end = int(chains.begin[number]), int(chains.end[number])
        if 2 * int(free[begin:end].sum()) <= end - begin:
            continue
        begin, end = _longest_free(free, begin, end)
        free[begin:end] = False
        made.append((begin, end, number))
    return [
        Span(begin, end, float(found.score[best]), _candidates(found, begin, end, best))
        for begin, end, best in sorted(made)
    ]


def _longest_free(free: NDArray[np.bool_], begin: int, end: int) -> tuple[int, int]:
    """Return the longest stretch of begin:end that nothing lies over, the first of several."""
    taken = [begin - 1, *(begin + np.flatnonzero(~free[begin:end])).tolist(), end]
    before, after = max(pairwise(taken), key=lambda pair: pair[1] - pair[0])
    return before + 1, after


def _candidates(found: Found, begin: int, end: int, best: int) -> tuple[int, ...]:
    """Return the best chain and others that cover half of a stretch with half of its bits."""
    chains = found.chains
    shared = np.minimum(chains.end, end) - np.maximum(chains.begin, begin)
    good = (2 * shared >= end - begin) & (chains.bits >= WORTH * chains.bits[best])
    order = [int(i) for i in np.flatnonzero(good)[np.argsort(-chains.bits[good], kind="stable")] if i != best]
    return (best, *order[: MOST_CHAINS - 1])
