"""Random permutations, seeded and in chunks of about 2 MB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from tunescope.errors import SettingsError
from tunescope.stats.estimates import Floats

TIE = 1e-9
"""Relative tolerance of ties: 0.3 - 0.2 and 0.9 - 0.8 differ by rounding and must count as tied."""
_CHUNK = 1 << 18
"""Numbers resampled at a time."""


def random_generator(seed: int, draws: int) -> np.random.Generator:
    """Return the generator of a seed; raises `SettingsError` for fewer than 100 draws."""
    if draws < 100:
        raise SettingsError(f"draws is {draws}; expected at least 100")
    return np.random.default_rng(seed)


def block_shapes(draws: int, n: int) -> Iterator[tuple[int, int]]:
    """Cut `draws` rows of n numbers into blocks of at most _CHUNK numbers, or of one row."""
    rows = max(1, _CHUNK // n)
    return ((min(rows, draws - start), n) for start in range(0, draws, rows))


def permutation_p(blocks: Iterable[Floats], observed: float, exact: bool) -> float:
    """Return the share of permuted statistics that reach the observed one, which is one of them unless `exact`."""
    hits, total = (0, 0) if exact else (1, 1)
    for block in blocks:
        hits += int((block >= observed).sum())
        total += block.size
    return hits / total
