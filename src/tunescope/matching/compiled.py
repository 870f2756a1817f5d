"""Compile loops over arrays with numba, where a loop is long enough.

Python runs the same functions uncompiled. Loading numba takes longer than tracing one sentence without it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

from tunescope.errors import MissingPackageError

F = TypeVar("F", bound=Callable[..., Any])


@cache
def compile_loop(function: F, *called: Callable[..., Any]) -> F:
    """Compile a function of arrays and numbers, and the functions that it calls.

    The machine code is cached on disk for later processes.

    Raises:
        MissingPackageError: numba isn't installed.
    """
    try:
        import numba
        from numba.extending import register_jitable
    except ModuleNotFoundError as error:
        raise MissingPackageError("numba", "trace", "tracing many answers") from error
    for each in called:
        _make_callable(register_jitable, each)
    try:
        return cast(F, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # nowhere to cache it: a read-only disk, a function without a file
        return cast(F, numba.njit(nogil=True)(function))


@cache
def _make_callable(register: Callable[..., Any], function: Callable[..., Any]) -> None:
    """Let compiled code call a function; numba accepts each function once."""
    register(function)
