"""Seeds: where runs of words of an answer stand in many texts, as far as they are rare enough to tell a row by.

A seed is (place in the answer, place in the texts, length in words): the same words in both, longer at neither end, at
least two of them, holding a run that stands in the texts at most `most` times. For each word of an answer the shortest
such run that begins there decides which places are looked at. Two ways to the same seeds: `by_suffix_array` looks each
word up in an index; `by_stream` hashes the answers' runs and reads all texts once per length of run, without an index.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.text.compiled import compiled
from tunescope.text.suffix_array import Ids, Places, lower
from tunescope.text.word_ids import END, Query

SHORTEST = 2
MOST = 100
Seeds = NDArray[np.int64]
"""[seeds, 3]: place in the answer, place in the texts, length; sorted by place in the texts, then in the answer."""


def by_suffix_array(
    query: Query, ids: Ids, order: Places, first: NDArray[np.int64], most: int = MOST, compile: bool = False
) -> Seeds:
    """Find the seeds of one answer, or of several that END parts, in indexed texts."""
    run = compiled(_look_up, lower, _extend) if compile else _look_up
    room = np.empty((len(query) * most, 3), np.int64)
    return _sorted(room[: run(query, ids, order, first, most, room)])


def _sorted(seeds: Seeds) -> Seeds:
    return seeds[np.lexsort((seeds[:, 0], seeds[:, 1]))]


def _extend(query: Query, start: int, ids: Ids, place: int, length: int) -> int:
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
            whole = _extend(query, start, ids, order[line], length)
            if whole:
                out[count, 0], out[count, 1], out[count, 2] = start, order[line], whole
                count += 1
    return count


class _Runs(NamedTuple):
    """The distinct runs of `length` words of a query that are looked for.

    Attributes:
        starts: a place of each run in the query [runs].
        table: an open hash table of 1 + run number, 0 where empty [a power of two].
        counts: how often each run was met [runs].
        places: where, the first `most` times [runs, most].
    """

    length: int
    starts: NDArray[np.int64]
    table: NDArray[np.int32]
    counts: NDArray[np.int64]
    places: NDArray[np.int32]


def by_stream(query: Query, ids: Ids, words: int, most: int = MOST, threads: int = 2) -> Seeds:
    """Find the seeds of answers that END parts by reading all texts, whose largest number is `words`.

    A reading counts the query's runs of one length; those that stand in too many places are looked for again, a word
    longer.
    """
    extend = compiled(_extend_all, _extend)
    known = np.zeros(words + 1, np.bool_)
    known[query[query > END]] = True
    wanted = np.flatnonzero(query[:-1] > END) if len(query) else np.zeros(0, np.int64)
    found: list[Seeds] = []
    length = SHORTEST
    while len(wanted):
        ends = wanted + length
        inside = ends <= len(query)
        wanted = wanted[inside]
        wanted = wanted[query[wanted + length - 1] > END]
        if not len(wanted):
            break
        grams = np.lib.stride_tricks.sliding_window_view(query, length)[wanted]
        _, starts, number = np.unique(grams, axis=0, return_index=True, return_inverse=True)
        number = number.reshape(-1)
        counts, places = _count(query, ids, known, wanted[starts], length, most, threads)
        rare = (counts > 0) & (counts <= most)
        lines = np.flatnonzero(rare[number])
        room = np.empty((int(counts[number[lines]].sum()), 3), np.int64)
        found.append(room[: extend(query, ids, wanted[lines], number[lines], counts, places, length, room)])
        wanted = wanted[counts[number] > most]
        length += 1
    return _sorted(np.concatenate(found)) if found else np.zeros((0, 3), np.int64)


def _count(
    query: Query,
    ids: Ids,
    known: NDArray[np.bool_],
    starts: NDArray[np.int64],
    length: int,
    most: int,
    threads: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Count the runs of `length` words that begin at `starts`, in stretches of the texts side by side."""
    size = 1 << max(10, int(4 * len(starts)).bit_length())
    table = np.zeros(size, np.int32)
    compiled(_enter, _hash)(query, starts, length, table)
    scan = compiled(_scan, _hash)
    edges = np.linspace(0, len(ids), threads + 1).astype(np.int64)
    tasks = []
    with ThreadPoolExecutor(threads) as pool:
        for begin, end in pairwise(edges):
            counts = np.zeros(len(starts), np.int64)
            places = np.empty((len(starts), most), np.int32)
            task = pool.submit(scan, query, ids, known, starts, length, table, int(begin), int(end), counts, places)
            tasks.append((task, counts, places))
    for task, _, _ in tasks:
        task.result()
    total = np.sum([counts for _, counts, _ in tasks], axis=0)
    joined = np.empty((len(starts), most), np.int32)
    filled = np.zeros(len(starts), np.int64)
    for _, counts, places in tasks:
        for place in range(most):
            lines = np.flatnonzero((counts > place) & (filled < most) & (total <= most))
            if not len(lines):
                break
            joined[lines, filled[lines]] = places[lines, place]
            filled[lines] += 1
    return total, joined


def _hash(values: Any, start: int, length: int) -> Any:
    """Hash a run of numbers: a polynomial over 2^64, its upper half mixed in."""
    h = np.uint64(0)
    for offset in range(length):
        h = (h + np.uint64(values[start + offset])) * np.uint64(0x9E3779B97F4A7C15)
    return h ^ (h >> np.uint64(29))


def _enter(query: Query, starts: NDArray[np.int64], length: int, table: NDArray[np.int32]) -> None:
    mask = np.uint64(len(table) - 1)
    for number in range(len(starts)):
        slot = _hash(query, starts[number], length) & mask
        while table[slot]:
            slot = (slot + np.uint64(1)) & mask
        table[slot] = number + 1


def _scan(
    query: Query,
    ids: Ids,
    known: NDArray[np.bool_],
    starts: NDArray[np.int64],
    length: int,
    table: NDArray[np.int32],
    begin: int,
    end: int,
    counts: NDArray[np.int64],
    places: NDArray[np.int32],
) -> None:
    """Count runs that begin in ids[begin:end], and keep their first places."""
    mask = np.uint64(len(table) - 1)
    most = places.shape[1]
    last = min(end + length - 1, len(ids))
    streak = 0
    for place in range(begin, last):
        if not known[ids[place]]:
            streak = 0
            continue
        streak += 1
        if streak < length:
            continue
        start = place - length + 1
        slot = _hash(ids, start, length) & mask
        while table[slot]:
            number = table[slot] - 1
            same = True
            for offset in range(length):
                if ids[start + offset] != query[starts[number] + offset]:
                    same = False
                    break
            if same:
                if counts[number] < most:
                    places[number, counts[number]] = start
                counts[number] += 1
                break
            slot = (slot + np.uint64(1)) & mask


def _extend_all(
    query: Query,
    ids: Ids,
    wanted: NDArray[np.int64],
    numbers: NDArray[np.int64],
    counts: NDArray[np.int64],
    places: NDArray[np.int32],
    length: int,
    out: NDArray[np.int64],
) -> int:
    count = 0
    for line in range(len(wanted)):
        number = numbers[line]
        for which in range(counts[number]):
            place = places[number, which]
            whole = _extend(query, wanted[line], ids, place, length)
            if whole:
                out[count, 0], out[count, 1], out[count, 2] = wanted[line], place, whole
                count += 1
    return count
