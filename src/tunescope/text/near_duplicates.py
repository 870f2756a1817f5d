"""Near-duplicates: MinHash with banding finds candidates, exact Jaccard decides.

A text's shingles are its distinct word 3-grams; two texts are near-duplicates when the Jaccard
similarity of their shingle sets is at least the threshold. Candidates are pairs that agree in
all 6 rows of at least one of 20 bands (Broder 1997; Leskovec, Rajaraman & Ullman, Mining of
Massive Datasets, 3.4): at similarity s a pair is found with probability 1 − (1 − s⁶)²⁰, which
is 0.998 at 0.8 and 0.9999997 at 0.9.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunescope.text.ngrams import ngram_hashes

_SHINGLE = 3
BANDS, ROWS = 20, 6
SEED = 1
_WINDOW = 31
"""Rows of a bucket that each row is compared with: so many behind it, and the bucket's first."""
_MAX_PAIRS = 4_000_000
"""Candidate pairs per band from which on the window is cut short."""
_BASE = np.uint64(0x9E3779B97F4A7C15)


class Sketches(NamedTuple):
    """Sketches of a batch of rows.

    Attributes:
        bands: a 64-bit key per band and row, [BANDS, rows].
        shingles: the rows' distinct shingles, sorted within each row, flat [shingles] (32 bits).
        offsets: where each row's shingles start, [rows + 1].
    """

    bands: NDArray[np.uint64]
    shingles: NDArray[np.uint32]
    offsets: NDArray[np.int64]


class NearDuplicate(NamedTuple):
    """A row that is nearly like an earlier one; both are indices.

    Attributes:
        later: the row that repeats.
        earlier: the row that it repeats.
        similarity: Jaccard similarity of their shingle sets, 0 to 1.
    """

    later: int
    earlier: int
    similarity: float


def candidate_probability(similarity: float) -> float:
    """Return the probability that banding makes a pair of this similarity a candidate."""
    return 1 - (1 - similarity**ROWS) ** BANDS


def sketch(words: NDArray[np.uint64], offsets: NDArray[np.int64], groups: NDArray[np.uint64] | None = None) -> Sketches:
    """Return the sketches of rows.

    Args:
        words: 64-bit word hashes of all rows, flat [words].
        offsets: where each row's words start [rows + 1].
        groups: a key per row [rows]; rows of different groups are never near-duplicates. One group by default.
    """
    from rensa import RMinHash

    rows = len(offsets) - 1
    (_, grams, starts) = next(iter(ngram_hashes(words, offsets, (_SHINGLE,))))
    owner = (np.searchsorted(offsets, starts, side="right") - 1).astype(np.uint64)
    keys = np.sort((owner << np.uint64(32)) | (grams >> np.uint64(32)))
    distinct = keys[np.concatenate([[True], keys[1:] != keys[:-1]])] if len(keys) else keys
    counts = np.bincount((distinct >> np.uint64(32)).astype(np.int64), minlength=rows)
    shingle_offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    shingles = distinct.astype(np.uint32)
    # A multiplier spreads 32-bit shingles over the 64 bits that the sketch expects.
    with np.errstate(over="ignore"):
        tokens = shingles.astype(np.uint64) * _BASE
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(
            tokens, shingle_offsets.astype(np.uint64), BANDS * ROWS, SEED
        )
        flat = np.fromiter(chain.from_iterable(matrix.to_rows()), np.uint64, rows * BANDS * ROWS)
        digests = flat.reshape(rows, BANDS, ROWS)
        bands = digests[:, :, 0].copy()
        for row in range(1, ROWS):
            bands = bands * _BASE + digests[:, :, row]
    if groups is not None:
        bands ^= groups[:, None]
    return Sketches(np.ascontiguousarray(bands.T), shingles, shingle_offsets)


def join(parts: Sequence[Sketches]) -> Sketches:
    """Join the sketches of consecutive batches into one."""
    return Sketches(
        np.concatenate([part.bands for part in parts], axis=1),
        np.concatenate([part.shingles for part in parts]),
        join_offsets([part.offsets for part in parts]),
    )


def join_offsets(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return where each row's shingles start in the joined batches, from where they start in each."""
    return np.concatenate([[0], np.cumsum(np.concatenate([np.diff(part) for part in parts]))]).astype(np.int64)


def jaccard(sketches: Sketches, left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the exact Jaccard similarity of rows left[i] and right[i]; 0 where both are empty."""
    sizes = np.diff(sketches.offsets)
    out = np.zeros(len(left))
    step = 100_000
    for start in range(0, len(left), step):
        a, b = left[start : start + step], right[start : start + step]
        a_keys, b_keys = _keyed(sketches, a, sizes), _keyed(sketches, b, sizes)
        if not len(a_keys) or not len(b_keys):
            continue
        place = np.minimum(np.searchsorted(b_keys, a_keys), len(b_keys) - 1)
        shared_keys = a_keys[b_keys[place] == a_keys]
        shared = np.bincount((shared_keys >> np.uint64(32)).astype(np.int64), minlength=len(a))
        out[start : start + step] = shared / np.maximum(sizes[a] + sizes[b] - shared, 1)
    return out


def _keyed(sketches: Sketches, rows: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return the shingles of `rows`, each with the pair's number in its upper half; ascending."""
    lengths = sizes[rows]
    pair = np.repeat(np.arange(len(rows), dtype=np.uint64), lengths)
    starts = np.repeat(sketches.offsets[rows] - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
    values = sketches.shingles[starts + np.arange(int(lengths.sum()))].astype(np.uint64)
    keys: NDArray[np.uint64] = (pair << np.uint64(32)) | values
    return keys


def similar_pairs(
    sketches: Sketches, threshold: float, among: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Find pairs of rows whose similarity reaches `threshold`.

    Args:
        sketches: of all rows.
        threshold: least Jaccard similarity, above 0.
        among: which rows take part [rows]; all with at least one shingle by default.

    Returns:
        (earlier [pairs], later [pairs], similarity [pairs]), ordered by later, then earlier.
    """
    sizes = np.diff(sketches.offsets)
    active = np.flatnonzero((sizes > 0) if among is None else (sizes > 0) & among)
    rows = len(sizes)
    batches: list[NDArray[np.int64]] = []
    for band in sketches.bands:
        codes = _candidate_codes(band[active], active, rows)
        left, right = codes // rows, codes % rows
        small, large = np.minimum(sizes[left], sizes[right]), np.maximum(sizes[left], sizes[right])
        codes = codes[small >= threshold * large - 1e-9]
        batches.append(codes)
        if sum(map(len, batches)) > 2 * _MAX_PAIRS:
            batches = [_at_least(sketches, np.unique(np.concatenate(batches)), rows, threshold)]
    codes = np.unique(np.concatenate(batches)) if batches else np.zeros(0, np.int64)
    similarity = jaccard(sketches, codes // max(rows, 1), codes % max(rows, 1))
    keep = similarity >= threshold - 1e-9
    earlier, later, similarity = codes[keep] // max(rows, 1), codes[keep] % max(rows, 1), similarity[keep]
    order = np.lexsort((earlier, later))
    return earlier[order], later[order], similarity[order]


def _at_least(sketches: Sketches, codes: NDArray[np.int64], rows: int, threshold: float) -> NDArray[np.int64]:
    """Return the pairs (earlier · rows + later) whose similarity reaches `threshold`."""
    return codes[jaccard(sketches, codes // rows, codes % rows) >= threshold - 1e-9]


def _candidate_codes(keys: NDArray[np.uint64], index: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """Return pairs of rows with the same key, each pair as earlier · rows + later."""
    ordered = np.sort(keys)
    shared = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(shared):
        return np.zeros(0, np.int64)
    place = np.minimum(np.searchsorted(shared, keys), len(shared) - 1)
    collides = shared[place] == keys  # few rows do; only these are sorted
    keys, index = keys[collides], index[collides]
    order = np.argsort(keys, kind="stable")
    keys, index = keys[order], index[order]
    new = np.concatenate([[True], keys[1:] != keys[:-1]])
    first = index[np.maximum.accumulate(np.where(new, np.arange(len(keys)), 0))]
    codes = [first[~new] * rows + index[~new]]
    total = len(codes[0])
    for lag in range(1, _WINDOW + 1):
        same = keys[lag:] == keys[:-lag]
        total += int(same.sum())
        if not same.any() or total > _MAX_PAIRS:
            break
        codes.append(index[:-lag][same] * rows + index[lag:][same])
    return np.unique(np.concatenate(codes))


def repeats(sketches: Sketches, threshold: float, among: NDArray[np.bool_] | None = None) -> list[NearDuplicate]:
    """Return the rows that are near-duplicates of an earlier kept row, in file order.

    A row is a repeat when an earlier row that isn't itself a repeat is similar enough. So every
    repeat names a kept row, and no two kept rows are similar.

    Args:
        sketches: of all rows.
        threshold: least Jaccard similarity, above 0.
        among: which rows take part [rows]; all with at least one shingle by default.
    """
    repeat: dict[int, NearDuplicate] = {}
    for earlier, later, similarity in zip(
        *(a.tolist() for a in similar_pairs(sketches, threshold, among)), strict=True
    ):
        best = repeat.get(later)
        if earlier not in repeat and (best is None or similarity > best.similarity):
            repeat[later] = NearDuplicate(later, earlier, similarity)
    return [repeat[later] for later in sorted(repeat)]
