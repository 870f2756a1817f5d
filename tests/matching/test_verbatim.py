"""Whole runs of words in texts."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tunescope.matching.verbatim import find_runs


@given(
    st.lists(st.integers(0, 3), max_size=60),
    st.lists(st.lists(st.integers(-1, 3).filter(bool), min_size=1, max_size=4), max_size=5),
)
def test_runs_are_found_where_brute_force_finds_them(texts, runs):
    ids = np.array(texts, np.uint32)
    counts = np.bincount(ids, minlength=5).astype(np.uint32)
    expected = [[i for i in range(len(texts) - len(run) + 1) if texts[i : i + len(run)] == run] for run in runs]
    assert [places.tolist() for places in find_runs([np.array(run) for run in runs], ids, counts)] == expected
