"""Seeds: where runs of words of an answer stand in many texts, as far as they are rare enough to tell a row by.

A seed is (place in the answer, place in the texts, length in words): the same words in both, longer at neither end, at
least two of them, holding a run that stands in the texts at most `most` times. For each word of an answer the shortest
such run that begins there decides which places are looked at. Two ways to the same seeds: `by_suffix_array` looks each
word up in an index; `stream.by_stream` hashes the answers' runs and reads all texts, without an index.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tunescope.matching.compiled import compiled
from tunescope.matching.suffix_array import Ids, Places, lower
from tunescope.matching.word_ids import END, Query

SHORTEST = 2
MOST = 100
Seeds = NDArray[np.int64]
"""[seeds, 3]: place in the answer, place in the texts, length; sorted by place in the texts, then in the answer."""


def by_suffix_array(
    query: Query, ids: Ids, order: Places, first: NDArray[np.int64], most: int = MOST, compile: bool = False
) -> Seeds:
    """Find the seeds of one answer, or of several that END parts, in indexed texts."""
    run = compiled(_look_up, lower, extend) if compile else _look_up
    room = np.empty((len(query) * most, 3), np.int64)
    return ordered(room[: run(query, ids, order, first, most, room)])


def ordered(seeds: Seeds) -> Seeds:
    """Sort seeds by place in the texts, then in the answer."""
    return seeds[np.lexsort((seeds[:, 0], seeds[:, 1]))]


def extend(query: Query, start: int, ids: Ids, place: int, length: int) -> int:
    """Return how far a match of `length` words goes on; 0 where the word before it matches too."""
    if start > 0 and place > 0 and ids[place - 1] == query[start - 1] and query[start - 1] != END:
        return 0
    while start + length < len(query) and query[start + length] != END and ids[place + length] == query[start + length]:
        length += 1
    return length


def _look_up(query: Query, ids: Ids, order: Places, first: NDArray[np.int64], most: int, out: NDArray[np.int64]) -> int:
    """Write the seeds of a query into `out`; return how many there are."""
    count = 0
    for start in range(len(query) - 1):
        if query[start] <= END:
            continue
        low, high = first[query[start]], first[query[start] + 1]
        length = 1
        while low < high and (length < SHORTEST or high - low > most):
            if start + length == len(query) or query[start + length] <= END:
                low = high
                break
            word = query[start + length]
            low = lower(ids, order, low, high, length, word)
            high = lower(ids, order, low, high, length, word + 1)
            length += 1
        for line in range(low, high):
            whole = extend(query, start, ids, order[line], length)
            if whole:
                out[count, 0], out[count, 1], out[count, 2] = start, order[line], whole
                count += 1
    return count
