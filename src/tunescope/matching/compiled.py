"""Loops over arrays that numba compiles where there is enough to do; else Python runs the same functions.

Loading numba takes longer than tracing one sentence without it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

from tunescope.errors import MissingPackageError

F = TypeVar("F", bound=Callable[..., Any])


@cache
def compiled(function: F, *called: Callable[..., Any]) -> F:
    """Compile a function of arrays and numbers, and those that it calls; kept on disk for later processes.

    Raises:
        MissingPackageError: numba isn't installed.
    """
    try:
        import numba
        from numba.extending import register_jitable
    except ModuleNotFoundError as error:
        raise MissingPackageError("numba", "trace", "tracing many answers") from error
    for each in called:
        _callable(register_jitable, each)
    try:
        return cast(F, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # no folder to keep it in: a disk that is read-only, a function without a file
        return cast(F, numba.njit(nogil=True)(function))


@cache
def _callable(register: Callable[..., Any], function: Callable[..., Any]) -> None:
    register(function)
