"""Seeds without a suffix array: hash the answers' runs of words, and read all texts.

The first pass counts the runs of two words. A second pass counts the runs of three words that begin with a run which
occurs too often, and notes their positions. From there on only these positions are visited, with runs one word longer
each time. A pass rolls one hash along the texts (Karp & Rabin 1987); a bit table rejects most positions at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.matching.compiled import compile_loop
from tunescope.matching.seeds import MAX_POSITIONS, MIN_WORDS, Seeds, extend, sort_seeds
from tunescope.matching.suffix_array import WordIds
from tunescope.matching.word_ids import END, Query

_LOG_BITS = 21
"""Log2 of the bits of the table that is asked first: 256 KB, which fit in a core's cache."""
_MAX_NOTED = 1 << 25
"""Positions that are noted at most (200 MB). Where there may be more, the texts are read once more instead."""


class Runs(NamedTuple):
    """The distinct runs of `length` words that are looked for.

    Attributes:
        length: words of each run.
        starts: an occurrence of each run in the query [runs].
        table: an open hash table of 1 + run number, 0 where empty [a power of two].
        bits: a bit for each value of a hash's upper part, set where a run has it.
    """

    length: int
    starts: NDArray[np.int64]
    table: NDArray[np.int32]
    bits: NDArray[np.uint8]

    @classmethod
    def of(cls, query: Query, starts: NDArray[np.int64], length: int) -> Runs:
        """Enter the runs that begin at `starts` into the tables."""
        table = np.zeros(1 << max(10, int(4 * len(starts)).bit_length()), np.int32)
        bits = np.zeros(1 << (_LOG_BITS - 3), np.uint8)
        compile_loop(_insert, _hash, _mix)(query, starts, length, table, bits)
        return cls(length, starts, table, bits)


class Occurrences(NamedTuple):
    """Where runs occur in the texts.

    Attributes:
        counts: how often each run occurs [runs].
        positions: the first positions of each run [runs, most].
        noted: positions noted for the next pass [noted].
        owners: the run at each of these [noted].
    """

    counts: NDArray[np.int64]
    positions: NDArray[np.int64]
    noted: NDArray[np.int64]
    owners: NDArray[np.int64]


Read = Callable[[Query, Runs, int, int], Occurrences]
"""Counts runs in all texts; takes what `count_stretch` does."""


def stream_seeds(
    query: Query,
    ids: WordIds,
    most: int = MAX_POSITIONS,
    threads: int = 2,
    room: int = _MAX_NOTED,
    read: Read | None = None,
) -> Seeds:
    """Find the seeds of answers by reading all texts.

    Args:
        query: numbers of the answers' words; answers are separated by END.
        ids: numbers of the words of all texts.
        most: how often a run may occur in the texts.
        threads: how many threads read.
        room: positions to note at most.
        read: reads all texts in place of these threads.
    """
    run = compile_loop(_extend_all, extend)
    wanted = np.flatnonzero(query[:-1] > END) if len(query) else np.zeros(0, np.int64)
    parts: list[Seeds] = []
    length, bound = MIN_WORDS, len(ids) + 1
    noted: NDArray[np.int64] | None = None
    while True:
        wanted = wanted[wanted + length <= len(query)]
        wanted = wanted[query[wanted + length - 1] > END]
        if not len(wanted):
            return sort_seeds(np.concatenate(parts)) if parts else np.zeros((0, 3), np.int64)
        grams = np.lib.stride_tricks.sliding_window_view(query, length)[wanted]
        _, starts, number = np.unique(grams, axis=0, return_index=True, return_inverse=True)
        number = number.reshape(-1)
        runs = Runs.of(query, wanted[starts], length)
        to_note = bound if bound <= room else 0
        if read is not None and noted is None:
            seen = read(query, runs, most, to_note)
        else:
            seen = _count_runs(query, ids, runs, most, to_note, noted, threads)
        lines = np.flatnonzero((seen.counts > 0)[number] & (seen.counts <= most)[number])
        out = np.empty((int(seen.counts[number[lines]].sum()), 3), np.int64)
        parts.append(out[: run(query, ids, wanted[lines], number[lines], seen.counts, seen.positions, length, out)])
        common = seen.counts > most
        if noted is not None or bound <= room:
            noted = seen.noted[common[seen.owners]]
        bound = int(seen.counts[common].sum())
        wanted = wanted[common[number]]
        length += 1


def _count_runs(
    query: Query, ids: WordIds, runs: Runs, most: int, room: int, noted: NDArray[np.int64] | None, threads: int
) -> Occurrences:
    """Count runs in all texts, or at the noted positions; note up to `room` positions. Each thread reads a part."""
    total = len(ids) if noted is None else len(noted)
    compile_loop(_read if noted is None else _look, _hash, _mix, _run_at)  # once, not in each thread
    with ThreadPoolExecutor(threads) as pool:
        tasks = [
            pool.submit(count_stretch, query, runs, most, room, ids, begin, end, noted)
            for begin, end in pairwise(np.linspace(0, total, threads + 1).astype(np.int64).tolist())
        ]
    return join_stretches([task.result() for task in tasks], most)


def count_stretch(
    query: Query,
    runs: Runs,
    most: int,
    room: int,
    ids: WordIds,
    begin: int,
    end: int,
    noted: NDArray[np.int64] | None = None,
) -> Occurrences:
    """Count the runs that begin in ids[begin:end], or at the positions noted[begin:end].

    Args:
        query: numbers of the answers' words.
        runs: what is counted.
        most: positions that are kept of each run.
        room: positions to note at most.
        ids: numbers of the words of all texts.
        begin: where the stretch begins.
        end: where it ends.
        noted: positions, in place of all.
    """
    count_part: Any = compile_loop(_read if noted is None else _look, _hash, _mix, _run_at)
    size = min(room, end - begin)
    part = Occurrences(
        np.zeros(len(runs.starts), np.int64),
        np.empty((len(runs.starts), most), np.int64),
        np.empty(size, np.int64),
        np.empty(size, np.int64),
    )
    where: tuple[Any, ...] = (begin, end) if noted is None else (noted[begin:end],)
    count = count_part(query, ids, *runs, *where, *part)
    return part._replace(noted=part.noted[:count], owners=part.owners[:count])


def join_stretches(parts: Sequence[Occurrences], most: int) -> Occurrences:
    """Add up what was counted in stretches, in order; keep the first positions of each run."""
    counts = np.sum([part.counts for part in parts], axis=0)
    positions = np.empty_like(parts[0].positions)
    filled = np.zeros(len(counts), np.int64)
    for part in parts:
        for column in range(most):
            lines = np.flatnonzero((part.counts > column) & (counts <= most))
            if not len(lines):
                break
            positions[lines, filled[lines]] = part.positions[lines, column]
            filled[lines] += 1
    noted, owners = (np.concatenate(arrays) for arrays in zip(*((p.noted, p.owners) for p in parts), strict=True))
    return Occurrences(counts, positions, noted, owners)


def _mix(h: Any) -> Any:
    """Spread a hash over its 64 bits (splitmix64's multiplier)."""
    return (h ^ (h >> np.uint64(32))) * np.uint64(0xBF58476D1CE4E5B9)


def _hash(values: Any, start: int, length: int) -> Any:
    """Hash a run of numbers: a polynomial over 2^64."""
    h = np.uint64(0)
    for offset in range(length):
        h = h * np.uint64(0x9E3779B97F4A7C15) + np.uint64(values[start + offset])
    return h


def _insert(query: Query, starts: Any, length: int, table: Any, bits: Any) -> None:
    """Enter runs of the query into the hash table and the bit table."""
    mask = np.uint64(len(table) - 1)
    for number in range(len(starts)):
        mixed = _mix(_hash(query, starts[number], length))
        bit = mixed >> np.uint64(43)
        bits[bit >> np.uint64(3)] |= np.uint8(1) << np.uint8(bit & np.uint64(7))
        slot = mixed & mask
        while table[slot]:
            slot = (slot + np.uint64(1)) & mask
        table[slot] = number + 1


def _run_at(query: Query, ids: WordIds, position: int, length: int, mixed: Any, starts: Any, table: Any) -> Any:
    """Return the number of the run at a position of the texts, -1 where there is none."""
    mask = np.uint64(len(table) - 1)
    slot = mixed & mask
    while table[slot]:
        number = table[slot] - 1
        same = True
        for offset in range(length):
            if ids[position + offset] != query[starts[number] + offset]:
                same = False
                break
        if same:
            return number
        slot = (slot + np.uint64(1)) & mask
    return -1


def _read(
    query: Query,
    ids: WordIds,
    length: int,
    starts: Any,
    table: Any,
    bits: Any,
    begin: int,
    end: int,
    counts: Any,
    positions: Any,
    noted: Any,
    owners: Any,
) -> int:
    """Count the runs that begin in ids[begin:end]; keep their first positions; note positions while there is room."""
    most, room, count = positions.shape[1], len(noted), 0
    end = min(end, len(ids) - length + 1)
    if end <= begin:
        return 0
    base = np.uint64(0x9E3779B97F4A7C15)
    power = np.uint64(1)
    for _ in range(length - 1):
        power = power * base
    h = _hash(ids, begin, length)
    for position in range(begin, end):
        mixed = _mix(h)
        bit = mixed >> np.uint64(43)
        if bits[bit >> np.uint64(3)] >> np.uint8(bit & np.uint64(7)) & np.uint8(1):
            number = _run_at(query, ids, position, length, mixed, starts, table)
            if number >= 0:
                if counts[number] < most:
                    positions[number, counts[number]] = position
                counts[number] += 1
                if count < room:
                    noted[count], owners[count] = position, number
                    count += 1
        if position + 1 < end:
            h = (h - np.uint64(ids[position]) * power) * base + np.uint64(ids[position + length])
    return count


def _look(
    query: Query,
    ids: WordIds,
    length: int,
    starts: Any,
    table: Any,
    bits: Any,
    wanted: Any,
    counts: Any,
    positions: Any,
    noted: Any,
    owners: Any,
) -> int:
    """Count the runs at the positions in `wanted`; keep and note them as `_read` does."""
    most, count = positions.shape[1], 0
    for line in range(len(wanted)):
        position = wanted[line]
        if position + length > len(ids):
            continue
        number = _run_at(query, ids, position, length, _mix(_hash(ids, position, length)), starts, table)
        if number >= 0:
            if counts[number] < most:
                positions[number, counts[number]] = position
            counts[number] += 1
            noted[count], owners[count] = position, number
            count += 1
    return count


def _extend_all(
    query: Query,
    ids: WordIds,
    wanted: Any,
    numbers: Any,
    counts: Any,
    positions: Any,
    length: int,
    out: NDArray[np.int64],
) -> int:
    """Write the seeds that begin at `wanted` in the query into `out` [seeds, 3]; return how many there are."""
    count = 0
    for line in range(len(wanted)):
        number = numbers[line]
        for column in range(counts[number]):
            position = positions[number, column]
            whole = extend(query, wanted[line], ids, position, length)
            if whole:
                out[count, 0], out[count, 1], out[count, 2] = wanted[line], position, whole
                count += 1
    return count
