"""Loops over arrays that numba compiles where there is enough to do; else Python runs the same functions.

Loading numba takes longer than tracing one sentence without it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


@cache
def compiled(function: F, *called: Callable[..., Any]) -> F:
    """Compile a function of arrays and numbers, and those that it calls; kept on disk for later processes."""
    import numba
    from numba.extending import register_jitable

    for each in called:
        _callable(register_jitable, each)
    made: F = numba.njit(cache=True, nogil=True)(function)
    return made


@cache
def _callable(register: Callable[..., Any], function: Callable[..., Any]) -> None:
    register(function)
