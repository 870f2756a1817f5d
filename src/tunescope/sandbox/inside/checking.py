"""The process of the tests: runs trusted code, which calls the solution in its own process.

Every comparison and assertion is made here, on plain values, out of the solution's reach.
"""

from __future__ import annotations

import builtins
import json
import os
import socket
import sys
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType
from typing import Any

from tunescope.sandbox.inside import channel, values

PASSED, FAILED, TIMED_OUT, OUT_OF_MEMORY = "passed", "failed", "timed out", "out of memory"
ENDED_EARLY, BROKEN = "ended early", "broken"
_LONGEST_REASON = 200


class SolutionError(Exception):
    """The solution raised an error that isn't one of Python's own, or replied what no reply can be."""


def serve(jobs: int, control: socket.socket) -> None:
    """Test one solution after the other, until there are no more programs.

    Args:
        jobs: where the programs come from, as JSON.
        control: says that there is a program, takes the socket of its solution, and gives the verdict as JSON.
    """
    jobs = os.dup(jobs)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    while True:
        program = json.loads(channel.receive(jobs, sys.maxsize))
        channel.send(control.fileno(), b"")
        (descriptor,) = socket.recv_fds(control, 1, 1)[1]
        status, reason = check(_Solution(descriptor), **program)
        os.close(descriptor)
        channel.send(control.fileno(), json.dumps([status, reason[:_LONGEST_REASON]]).encode())


def check(solution: _Solution, source: str, setup: str, tests: str, names: list[str]) -> tuple[str, str]:
    """Return the status of a program and the reason where it didn't pass.

    Args:
        solution: the process that runs `source`.
        source: code that isn't trusted.
        setup: trusted code that the tests need.
        tests: trusted code that raises where a test fails.
        names: what the tests take from the source.
    """
    namespace: dict[str, Any] = {"__name__": "tests"}
    try:
        offered = solution.load(source)
        exec(_compile(setup), namespace)
        for name in names:
            namespace.pop(name, None)
        namespace |= {name: offered[name] for name in names if name in offered}
        exec(_compile(tests), namespace)
    except MemoryError:
        status, reason = OUT_OF_MEMORY, "it reached the memory limit"
    except BaseException as error:  # noqa: BLE001 (whatever the tests raise is the program's failure)
        status, reason = FAILED, f"{type(error).__name__}: {error}".removesuffix(": ")
    else:
        status, reason = PASSED, ""
    return (ENDED_EARLY, "it ended before its tests did") if solution.has_ended else (status, reason)


@lru_cache(maxsize=64)
def _compile(code: str) -> CodeType:
    """Compile trusted code, once for the samples of a problem."""
    return compile(code, "<tests>", "exec", dont_inherit=True)


class _Solution:
    """The other process, as the tests call it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.has_ended = False

    def load(self, source: str) -> dict[str, Any]:
        """Run the source; return the callables that it defines."""
        offered = self._exchange(source.encode())
        if not isinstance(offered, dict):
            raise SolutionError("it replied what no reply can be")
        return offered

    def ask(self, operation: str, target: _Remote, *given: Any, **named: Any) -> Any:
        """Do an operation of `solution.OPERATIONS` there; return the value or raise what it raised."""
        return self._exchange(values.dumps([operation, target, given, named], _number_of))

    def _exchange(self, request: bytes) -> Any:
        try:
            channel.send(self._descriptor, request)
            reply = channel.receive(self._descriptor)
        except channel.ChannelClosed:
            self.has_ended = True
            raise
        content = values.loads(reply[1:], lambda number: _Remote(self, number))
        if reply[:1] == b"=":
            return content
        name, message = map(str, content)
        kind = getattr(builtins, name, None)
        if isinstance(kind, type) and issubclass(kind, Exception) and kind is not UnicodeError:
            raise _make(kind, message)
        raise SolutionError(f"{name}: {message}")


def _make(kind: type[Exception], message: str) -> Exception:
    """Return an error of Python's own with its message."""
    try:
        return kind(message)
    except TypeError:  # UnicodeDecodeError and its like take more
        return SolutionError(f"{kind.__name__}: {message}")


class _Remote:
    """An object of the solution's, which stays in its process. It equals only itself."""

    __slots__ = ("_number", "_solution")
    _number: int
    _solution: _Solution

    def __init__(self, solution: _Solution, number: int) -> None:
        object.__setattr__(self, "_solution", solution)
        object.__setattr__(self, "_number", int(number))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Remote) and self._number == other._number

    def __hash__(self) -> int:
        return self._number

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Call it there."""
        return self._solution.ask("call", self, *given, **named)

    def __getattr__(self, name: str) -> Any:
        return self._solution.ask("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._solution.ask("setattr", self, name, value)

    def __getitem__(self, key: Any) -> Any:
        return self._solution.ask("getitem", self, key)

    def __iter__(self) -> Iterator[Any]:
        iterator = self._solution.ask("iter", self)
        while True:
            try:
                item = iterator._solution.ask("next", iterator)
            except StopIteration:
                return
            yield item

    def __next__(self) -> Any:
        return self._solution.ask("next", self)

    def __len__(self) -> int:
        return int(self._solution.ask("len", self))

    def __bool__(self) -> bool:
        return self._solution.ask("bool", self) is True

    def __str__(self) -> str:
        return str(self._solution.ask("str", self))

    def __sizeof__(self) -> int:
        return int(self._solution.ask("sizeof", self))


def _number_of(value: Any) -> int:
    if isinstance(value, _Remote):
        return value._number
    raise TypeError(f"the tests pass a {type(value).__name__}, which can't be sent to another process")
