"""A suffix array over word numbers: where any run of words occurs, and how often.

The array lists all positions of words, sorted by the words that follow (Manber & Myers 1990). So the positions of a
phrase are one stretch of the array, found by bisection. `build` passes big-endian numbers to libdivsufsort and keeps
the positions where a number begins.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunescope.errors import MissingPackageError
from tunescope.matching.compiled import compile_loop
from tunescope.matching.word_ids import END, Query

WordIds = NDArray[Any]
"""Numbers of the words of all texts, END behind each text's last word; of any unsigned type."""
Positions = NDArray[np.int32]
"""Indices into `WordIds`."""
MAX_BYTES = 2**31 - 1
"""The most bytes that libdivsufsort's 32-bit form takes: 715 million words of 3 bytes."""


def byte_width(largest: int) -> int:
    """Return how many bytes a number up to `largest` needs."""
    return max(1, (int(largest).bit_length() + 7) // 8)


def build(ids: WordIds) -> Positions:
    """Return the positions of all words, sorted by the words that follow [words]; END has none.

    Raises:
        ValueError: more words than 32 bits can address.
        MissingPackageError: pydivsufsort isn't installed.
    """
    try:
        from pydivsufsort import divsufsort
    except ModuleNotFoundError as error:
        raise MissingPackageError("pydivsufsort", "trace", "indexing rows") from error
    if not len(ids):
        return np.zeros(0, np.int32)
    width = byte_width(int(ids.max()))
    if len(ids) * width > MAX_BYTES:
        raise ValueError(f"{len(ids):,} words of {width} bytes; a suffix array takes {MAX_BYTES:,} bytes")
    wide = np.ascontiguousarray(ids, dtype=">u4").view(np.uint8).reshape(-1, 4)
    order = divsufsort(np.ascontiguousarray(wide[:, 4 - width :]).reshape(-1))
    positions = order if width == 1 else order[order % width == 0] // width
    n_ends = int((ids == END).sum())  # END is the smallest number, so its positions come first
    return np.asarray(positions[n_ends:], np.int32)


def bucket_starts(ids: WordIds, words: int) -> NDArray[np.int64]:
    """Return where each word's positions begin in the suffix array, by word number [words + 2]; END has none."""
    counts = np.bincount(ids, minlength=words + 1).astype(np.int64)
    counts[END] = 0
    return np.concatenate([[0], np.cumsum(counts)])


def lower_bound(ids: WordIds, order: Positions, low: int, high: int, depth: int, word: int) -> int:
    """Return the first index in low:high whose suffix has a word at `depth` that isn't below `word`; else `high`."""
    while low < high:
        middle = (low + high) // 2
        if ids[order[middle] + depth] < word:
            low = middle + 1
        else:
            high = middle
    return low


def _longest_matches(
    query: Query, ids: WordIds, order: Positions, buckets: NDArray[np.int64], matches: NDArray[np.int64]
) -> None:
    """Fill `matches` [words of the query, 2] with the length of the longest match from each word on, and its count."""
    for start in range(len(query)):
        if query[start] < 0:
            continue
        low, high = buckets[query[start]], buckets[query[start] + 1]
        length = 0
        while low < high:
            length += 1
            matches[start, 0], matches[start, 1] = length, high - low
            if start + length == len(query):
                break
            word = query[start + length]
            if high - low == 1:  # a single position: compare along it
                position = order[low]
                while start + length < len(query) and ids[position + length] == query[start + length] != END:
                    length += 1
                matches[start, 0] = length
                break
            if word == END:
                break
            low = lower_bound(ids, order, low, high, length, word)
            high = lower_bound(ids, order, low, high, length, word + 1)


def longest_matches(
    query: Query, ids: WordIds, order: Positions, buckets: NDArray[np.int64], compile: bool = False
) -> NDArray[np.int64]:
    """Return for each word of the query the longest run of words from there on that the texts contain.

    Args:
        query: numbers of the words looked for [words of the query].
        ids: numbers of the words of all texts.
        order: their suffix array, as `build` returns it.
        buckets: its stretches, as `bucket_starts` returns them.
        compile: compile the loop with numba.

    Returns:
        [words of the query, 2]: the length in words (0 where the word itself doesn't occur), and the number of
        occurrences.
    """
    matches = np.zeros((len(query), 2), np.int64)
    run = compile_loop(_longest_matches, lower_bound) if compile else _longest_matches
    run(query, ids, order, buckets, matches)
    return matches
