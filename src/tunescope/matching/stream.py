"""Seeds without an index: the answers' runs of words are hashed, and all texts are read.

The first reading counts the runs of two words; a second those of three that begin with a run that stands in too many
places, and notes where. From there on only these places are looked at, a word longer each time. A reading rolls one
hash along the texts (Karp & Rabin 1987), and a table of bits tells most places apart from all runs at once.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.matching.compiled import compiled
from tunescope.matching.seeds import MOST, SHORTEST, Seeds, extend, ordered
from tunescope.matching.suffix_array import Ids
from tunescope.matching.word_ids import END, Query

BITS = 21
"""Logarithm of the number of bits that are asked first: 256 KB, which a core keeps at hand."""
NOTED = 1 << 25
"""Places that are noted at most (200 MB); where there may be more, the texts are read once more instead."""


class _Runs(NamedTuple):
    """The distinct runs of `length` words that are looked for.

    Attributes:
        length: words of each.
        starts: a place of each run in the query [runs].
        table: an open hash table of 1 + run number, 0 where empty [a power of two].
        bits: a bit for each value of the upper part of a hash, set where a run has it.
    """

    length: int
    starts: NDArray[np.int64]
    table: NDArray[np.int32]
    bits: NDArray[np.uint8]

    @classmethod
    def of(cls, query: Query, starts: NDArray[np.int64], length: int) -> _Runs:
        table = np.zeros(1 << max(10, int(4 * len(starts)).bit_length()), np.int32)
        bits = np.zeros(1 << (BITS - 3), np.uint8)
        compiled(_enter, _hash, _mix)(query, starts, length, table, bits)
        return cls(length, starts, table, bits)


class _Met(NamedTuple):
    """What was met: of each run how often [runs] and its first places [runs, most]; places noted, and their runs."""

    counts: NDArray[np.int64]
    places: NDArray[np.int64]
    noted: NDArray[np.int64]
    owners: NDArray[np.int64]


def by_stream(query: Query, ids: Ids, most: int = MOST, threads: int = 2, room: int = NOTED) -> Seeds:
    """Find the seeds of answers that END parts by reading all texts; `room` is for places that are noted."""
    run = compiled(_extend_all, extend)
    wanted = np.flatnonzero(query[:-1] > END) if len(query) else np.zeros(0, np.int64)
    found: list[Seeds] = []
    length, bound = SHORTEST, len(ids) + 1
    noted: NDArray[np.int64] | None = None
    while True:
        wanted = wanted[wanted + length <= len(query)]
        wanted = wanted[query[wanted + length - 1] > END]
        if not len(wanted):
            return ordered(np.concatenate(found)) if found else np.zeros((0, 3), np.int64)
        grams = np.lib.stride_tricks.sliding_window_view(query, length)[wanted]
        _, starts, number = np.unique(grams, axis=0, return_index=True, return_inverse=True)
        number = number.reshape(-1)
        runs = _Runs.of(query, wanted[starts], length)
        met = _meet(query, ids, runs, most, bound if bound <= room else 0, noted, threads)
        lines = np.flatnonzero((met.counts > 0)[number] & (met.counts <= most)[number])
        out = np.empty((int(met.counts[number[lines]].sum()), 3), np.int64)
        found.append(out[: run(query, ids, wanted[lines], number[lines], met.counts, met.places, length, out)])
        common = met.counts > most
        if noted is not None or bound <= room:
            noted = met.noted[common[met.owners]]
        bound = int(met.counts[common].sum())
        wanted = wanted[common[number]]
        length += 1


def _meet(
    query: Query, ids: Ids, runs: _Runs, most: int, room: int, noted: NDArray[np.int64] | None, threads: int
) -> _Met:
    """Count runs in all texts, or at the places noted, in stretches side by side; note up to `room` places."""
    total = len(ids) if noted is None else len(noted)
    meet: Any = compiled(_read if noted is None else _look, _hash, _mix, _which)
    tasks = []
    with ThreadPoolExecutor(threads) as pool:
        for begin, end in pairwise(np.linspace(0, total, threads + 1).astype(np.int64).tolist()):
            size = min(room, end - begin)
            met = _Met(
                np.zeros(len(runs.starts), np.int64),
                np.empty((len(runs.starts), most), np.int64),
                np.empty(size, np.int64),
                np.empty(size, np.int64),
            )
            where: tuple[Any, ...] = (begin, end) if noted is None else (noted[begin:end],)
            arguments: tuple[Any, ...] = (query, ids, *runs, *where, *met)
            tasks.append((pool.submit(meet, *arguments), met))
    parts = [
        met._replace(noted=met.noted[:count], owners=met.owners[:count])
        for count, met in ((t.result(), m) for t, m in tasks)
    ]
    return _joined(parts, most)


def _joined(parts: list[_Met], most: int) -> _Met:
    counts = np.sum([part.counts for part in parts], axis=0)
    places = np.empty_like(parts[0].places)
    filled = np.zeros(len(counts), np.int64)
    for part in parts:
        for place in range(most):
            lines = np.flatnonzero((part.counts > place) & (counts <= most))
            if not len(lines):
                break
            places[lines, filled[lines]] = part.places[lines, place]
            filled[lines] += 1
    return _Met(counts, places, np.concatenate([p.noted for p in parts]), np.concatenate([p.owners for p in parts]))


def _mix(h: Any) -> Any:
    return (h ^ (h >> np.uint64(32))) * np.uint64(0xBF58476D1CE4E5B9)


def _hash(values: Any, start: int, length: int) -> Any:
    """Hash a run of numbers: a polynomial over 2^64."""
    h = np.uint64(0)
    for offset in range(length):
        h = h * np.uint64(0x9E3779B97F4A7C15) + np.uint64(values[start + offset])
    return h


def _enter(query: Query, starts: Any, length: int, table: Any, bits: Any) -> None:
    mask = np.uint64(len(table) - 1)
    for number in range(len(starts)):
        mixed = _mix(_hash(query, starts[number], length))
        bit = mixed >> np.uint64(43)
        bits[bit >> np.uint64(3)] |= np.uint8(1) << np.uint8(bit & np.uint64(7))
        slot = mixed & mask
        while table[slot]:
            slot = (slot + np.uint64(1)) & mask
        table[slot] = number + 1


def _which(query: Query, ids: Ids, place: int, length: int, mixed: Any, starts: Any, table: Any) -> Any:
    """Return which run stands at a place of the texts, -1 where none does."""
    mask = np.uint64(len(table) - 1)
    slot = mixed & mask
    while table[slot]:
        number = table[slot] - 1
        same = True
        for offset in range(length):
            if ids[place + offset] != query[starts[number] + offset]:
                same = False
                break
        if same:
            return number
        slot = (slot + np.uint64(1)) & mask
    return -1


def _read(
    query: Query,
    ids: Ids,
    length: int,
    starts: Any,
    table: Any,
    bits: Any,
    begin: int,
    end: int,
    counts: Any,
    places: Any,
    noted: Any,
    owners: Any,
) -> int:
    """Count the runs that begin in ids[begin:end]; keep their first places, and note all where there is room."""
    most, room, count = places.shape[1], len(noted), 0
    end = min(end, len(ids) - length + 1)
    if end <= begin:
        return 0
    base = np.uint64(0x9E3779B97F4A7C15)
    power = np.uint64(1)
    for _ in range(length - 1):
        power = power * base
    h = _hash(ids, begin, length)
    for place in range(begin, end):
        mixed = _mix(h)
        bit = mixed >> np.uint64(43)
        if bits[bit >> np.uint64(3)] >> np.uint8(bit & np.uint64(7)) & np.uint8(1):
            number = _which(query, ids, place, length, mixed, starts, table)
            if number >= 0:
                if counts[number] < most:
                    places[number, counts[number]] = place
                counts[number] += 1
                if count < room:
                    noted[count], owners[count] = place, number
                    count += 1
        if place + 1 < end:
            h = (h - np.uint64(ids[place]) * power) * base + np.uint64(ids[place + length])
    return count


def _look(
    query: Query,
    ids: Ids,
    length: int,
    starts: Any,
    table: Any,
    bits: Any,
    wanted: Any,
    counts: Any,
    places: Any,
    noted: Any,
    owners: Any,
) -> int:
    """Do what `_read` does at some places."""
    most, count = places.shape[1], 0
    for line in range(len(wanted)):
        place = wanted[line]
        if place + length > len(ids):
            continue
        number = _which(query, ids, place, length, _mix(_hash(ids, place, length)), starts, table)
        if number >= 0:
            if counts[number] < most:
                places[number, counts[number]] = place
            counts[number] += 1
            noted[count], owners[count] = place, number
            count += 1
    return count


def _extend_all(
    query: Query, ids: Ids, wanted: Any, numbers: Any, counts: Any, places: Any, length: int, out: NDArray[np.int64]
) -> int:
    count = 0
    for line in range(len(wanted)):
        number = numbers[line]
        for which in range(counts[number]):
            place = places[number, which]
            whole = extend(query, wanted[line], ids, place, length)
            if whole:
                out[count, 0], out[count, 1], out[count, 2] = wanted[line], place, whole
                count += 1
    return count
