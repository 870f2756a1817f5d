"""A suffix array over word numbers: where any run of words stands, and how often.

The array lists all places of words in the order of the texts that begin there (Manber & Myers 1990), so that the places
of a phrase are one stretch of it, found by halving. `build` hands big-endian numbers to libdivsufsort and keeps the
places where a number begins.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tunescope.errors import MissingPackageError
from tunescope.matching.compiled import compiled
from tunescope.matching.word_ids import END, Query

Ids = NDArray[Any]
"""Word numbers, each text's last followed by END; of any unsigned type."""
Places = NDArray[np.int32]
MOST_BYTES = 2**31 - 1
"""Bytes that libdivsufsort's 32-bit form takes: 715 million words of 3 bytes."""


def width_of(largest: int) -> int:
    """Return how many bytes hold numbers up to `largest`."""
    return max(1, (int(largest).bit_length() + 7) // 8)


def build(ids: Ids) -> Places:
    """Return the places of all words (END left out), ordered by what follows.

    Raises:
        ValueError: more words than 32 bits can place.
    """
    try:
        from pydivsufsort import divsufsort
    except ModuleNotFoundError as error:
        raise MissingPackageError("pydivsufsort", "trace", "indexing rows") from error
    if not len(ids):
        return np.zeros(0, np.int32)
    width = width_of(int(ids.max()))
    if len(ids) * width > MOST_BYTES:
        raise ValueError(f"{len(ids):,} words of {width} bytes; a suffix array takes {MOST_BYTES:,} bytes")
    wide = np.ascontiguousarray(ids, dtype=">u4").view(np.uint8).reshape(-1, 4)
    order = divsufsort(np.ascontiguousarray(wide[:, 4 - width :]).reshape(-1))
    places = order if width == 1 else order[order % width == 0] // width
    return np.asarray(
        places[int((ids == END).sum()) :], np.int32
    )  # END is the smallest number, so its places are first


def starts(ids: Ids, words: int) -> NDArray[np.int64]:
    """Return where in the suffix array each word's places begin, [words + 2] by number (END has none)."""
    counts = np.bincount(ids, minlength=words + 1).astype(np.int64)
    counts[END] = 0
    return np.concatenate([[0], np.cumsum(counts)])


def lower(ids: Ids, order: Places, low: int, high: int, depth: int, word: int) -> int:
    """Return the first of order[low:high] whose word at `depth` isn't below `word`."""
    while low < high:
        middle = (low + high) // 2
        if ids[order[middle] + depth] < word:
            low = middle + 1
        else:
            high = middle
    return low


def _longest(query: Query, ids: Ids, order: Places, first: NDArray[np.int64], found: NDArray[np.int64]) -> None:
    """Fill `found` [words of the query, 2] with the longest match's length at each place, and how often it stands."""
    for start in range(len(query)):
        if query[start] < 0:
            continue
        low, high = first[query[start]], first[query[start] + 1]
        length = 0
        while low < high:
            length += 1
            found[start, 0], found[start, 1] = length, high - low
            if start + length == len(query):
                break
            word = query[start + length]
            if high - low == 1:  # a single place: compare along it
                place = order[low]
                while start + length < len(query) and ids[place + length] == query[start + length] != END:
                    length += 1
                found[start, 0] = length
                break
            if word == END:
                break
            low = lower(ids, order, low, high, length, word)
            high = lower(ids, order, low, high, length, word + 1)


def longest(
    query: Query, ids: Ids, order: Places, first: NDArray[np.int64], compile: bool = False
) -> NDArray[np.int64]:
    """Return for each word of the query how long a run of words from there on stands in the texts, and how often.

    Returns:
        [words of the query, 2]: the length in words (0 where the word itself isn't there), and the number of places.
    """
    found = np.zeros((len(query), 2), np.int64)
    run = compiled(_longest, lower) if compile else _longest
    run(query, ids, order, first, found)
    return found


def maximal(found: NDArray[np.int64], shortest: int) -> NDArray[np.int64]:
    """Return the matches of `longest` that lie in no longer one: [matches, 3] of start, length and count."""
    lengths = found[:, 0]
    ends = np.arange(len(lengths)) + lengths
    before = np.concatenate([[0], np.maximum.accumulate(ends)[:-1]]) if len(ends) else ends
    keep = np.flatnonzero((lengths >= shortest) & (ends > before))
    return np.column_stack([keep, found[keep]]).reshape(-1, 3)
