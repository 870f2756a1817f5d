"""Seeds: exact matches of runs of words between an answer and many texts, as far as the runs are rare.

A seed is (position in the answer, position in the texts, length in words). Its words are the same in both, it can't be
extended at either end, it has at least two words, and it contains a run that occurs in the texts at most `most` times.
For each word of an answer the shortest such run from there on decides which positions are compared. Two functions find
the same seeds: `look_up_seeds` looks each word up in a suffix array; `stream.stream_seeds` hashes the answers' runs and
reads all texts, without a suffix array.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tunescope.matching.compiled import compile_loop
from tunescope.matching.suffix_array import Positions, WordIds, lower_bound
from tunescope.matching.word_ids import END, Query

MIN_WORDS = 2
"""Words of a seed at least."""
MAX_POSITIONS = 100
"""A run that occurs more often than this tells nothing about any one row."""
Seeds = NDArray[np.int64]
"""[seeds, 3]: position in the answer, position in the texts, length in words; sorted by the second, then the first."""


def look_up_seeds(
    query: Query,
    ids: WordIds,
    order: Positions,
    buckets: NDArray[np.int64],
    most: int = MAX_POSITIONS,
    compile: bool = False,
) -> Seeds:
    """Find the seeds of an answer in texts with a suffix array.

    Args:
        query: numbers of the answer's words; several answers are separated by END.
        ids: numbers of the words of all texts.
        order: their suffix array.
        buckets: where each word's positions begin in it.
        most: how often a run may occur in the texts.
        compile: compile the loop with numba.
    """
    run = compile_loop(_look_up, lower_bound, extend) if compile else _look_up
    room = np.empty((len(query) * most, 3), np.int64)
    return sort_seeds(room[: run(query, ids, order, buckets, most, room)])


def sort_seeds(seeds: Seeds) -> Seeds:
    """Sort seeds by position in the texts, then in the answer."""
    return seeds[np.lexsort((seeds[:, 0], seeds[:, 1]))]


def extend(query: Query, start: int, ids: WordIds, position: int, length: int) -> int:
    """Return the full length in words of a match of `length` words; 0 where the word before it matches too."""
    if start > 0 and position > 0 and ids[position - 1] == query[start - 1] and query[start - 1] != END:
        return 0
    while start + length < len(query):
        if query[start + length] == END or ids[position + length] != query[start + length]:
            break
        length += 1
    return length


def _look_up(
    query: Query, ids: WordIds, order: Positions, buckets: NDArray[np.int64], most: int, out: NDArray[np.int64]
) -> int:
    """Write the seeds of a query into `out` [seeds, 3]; return how many there are."""
    count = 0
    for start in range(len(query) - 1):
        if query[start] <= END:
            continue
        low, high = buckets[query[start]], buckets[query[start] + 1]
        length = 1
        while low < high and (length < MIN_WORDS or high - low > most):
            if start + length == len(query) or query[start + length] <= END:
                low = high
                break
            word = query[start + length]
            low = lower_bound(ids, order, low, high, length, word)
            high = lower_bound(ids, order, low, high, length, word + 1)
            length += 1
        for line in range(low, high):
            whole = extend(query, start, ids, order[line], length)
            if whole:
                out[count, 0], out[count, 1], out[count, 2] = start, order[line], whole
                count += 1
    return count
