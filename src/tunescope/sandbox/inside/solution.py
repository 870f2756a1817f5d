"""The process of the solution: runs code that isn't trusted, then does what the tests ask of its objects.

Nothing that it says is believed but for its values: the tests aren't here, and neither is anything that says passed.
"""

from __future__ import annotations

import ast
import json
import operator
import os
import resource
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

from tunescope.sandbox.inside import channel, system_calls, values

OPERATIONS: Mapping[str, Callable[..., Any]] = {
    "call": lambda function, *given, **named: function(*given, **named),
    "getattr": getattr,
    "setattr": setattr,
    "getitem": operator.getitem,
    "iter": iter,
    "next": next,
    "len": len,
    "bool": bool,
    "str": str,
    "sizeof": sys.getsizeof,
}
"""What the tests may do with an object of the solution's."""
_CHANNEL = 3
_NOBODY = 65534
_LONGEST_MESSAGE = 300


def serve(descriptor: int, filtered: bool, files: bool) -> None:
    """Serve the tests at the other end of `descriptor` until they end.

    Args:
        descriptor: a socket; all others are closed.
        filtered: whether the system-call filter is used.
        files: whether files can be opened.
    """
    _keep_only(descriptor)
    source = channel.receive(_CHANNEL).decode()
    is_root = os.geteuid() == 0
    if is_root or not files:
        _import_what_it_imports(source)
    if is_root:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        system_calls.die_with_parent()  # another user's process begins without
    if filtered:
        system_calls.install(files)
    _Objects(ModuleType("solution")).serve(source)


def _keep_only(descriptor: int) -> None:
    """Close every file but the channel; standard input, output and error become /dev/null."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(descriptor, _CHANNEL)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.closerange(_CHANNEL + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    os.setsid()


def _import_what_it_imports(source: str) -> None:
    """Import the installed modules that the source names, as later they may be out of reach."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    for name in sorted(names):
        try:
            import_module(name)
        except Exception:  # noqa: BLE001 (whatever a module does, the solution's own import says it again)
            continue


class _Objects:
    """The module of the solution, and the objects of its that the tests hold by number."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._objects: dict[int, Any] = {}

    def serve(self, source: str) -> None:
        sys.modules["solution"] = self._module
        self._answer(partial(self._load, source))
        while True:
            try:
                request = channel.receive(_CHANNEL, sys.maxsize)
            except channel.ChannelClosed:
                return
            self._answer(partial(self._operate, request))

    def _load(self, source: str) -> dict[str, Any]:
        exec(compile(source, "<solution>", "exec", dont_inherit=True), self._module.__dict__)
        return {name: value for name, value in vars(self._module).items() if callable(value)}

    def _operate(self, request: bytes) -> Any:
        operation, target, given, named = values.loads(request, self._objects.__getitem__)
        return OPERATIONS[operation](target, *given, **named)

    def _answer(self, work: Callable[[], Any]) -> None:
        """Send what the work returns, or what it raised."""
        try:
            reply = b"=" + values.dumps(work(), self._number)
        except BaseException as error:  # noqa: BLE001 (SystemExit and the like are the solution's failures too)
            reply = b"!" + json.dumps([type(error).__name__, str(error)[:_LONGEST_MESSAGE]]).encode()
        channel.send(_CHANNEL, reply)

    def _number(self, value: Any) -> int:
        self._objects[id(value)] = value
        return id(value)
