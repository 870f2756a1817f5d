"""Loops that numba compiles: the same results, once in each process, with nowhere to keep them too."""

from __future__ import annotations

import numpy as np

from tunescope.matching.compiled import compile_loop


def _double(value: int) -> int:
    return 2 * value


def _doubled(values, out):
    for place in range(len(values)):
        out[place] = _double(values[place])


def test_a_function_and_what_it_calls():
    fast, values = compile_loop(_doubled, _double), np.arange(5)
    out, plain = np.zeros(5, np.int64), np.zeros(5, np.int64)
    fast(values, out)
    _doubled(values, plain)
    assert out.tolist() == plain.tolist() == [0, 2, 4, 6, 8]
    assert compile_loop(_doubled, _double) is fast


def test_nowhere_to_keep_it():
    """numba refuses to cache what has no file, as it does where no folder can be written."""
    made: dict = {}
    exec("def add(values):\n    return values[0] + values[1]", made)
    assert compile_loop(made["add"])(np.array([2, 3])) == 5
