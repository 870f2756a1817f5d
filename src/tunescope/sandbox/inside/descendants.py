"""Ending a process' descendants, as far as they are still such, where no namespace does it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress

_CAN_MAKE_NONE = "TtZX"
"""States of processes that are stopped or have ended; one that was sent SIGSTOP may still end a fork before it stops.
"""


def kill_descendants(process: int) -> None:
    """Kill all that descends from a process: first they are stopped, all of them, so that none makes more."""
    before: set[int] | None = None
    while True:
        states = _descendants(process)
        active = [each for each, state in states.items() if state not in _CAN_MAKE_NONE]
        if not active and states.keys() == before:
            break
        before = set(states) if not active else None  # one may have been made while the list was read: look once more
        _signal(active, signal.SIGSTOP)
    _signal(states, signal.SIGKILL)


def _signal(processes: Iterable[int], number: signal.Signals) -> None:
    for each in processes:
        with suppress(ProcessLookupError):
            os.kill(each, number)


def _descendants(process: int) -> dict[int, str]:
    """Return the processes that descend from one, with their states as `/proc` has them."""
    states: dict[int, str] = {}
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError), open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
            state, parent = file.read().rpartition(")")[2].split()[:2]
            states[int(name)] = state
            children.setdefault(int(parent), []).append(int(name))
    found, todo = dict[int, str](), [process]
    while todo:
        below = children.get(todo.pop(), [])
        found |= {each: states[each] for each in below}
        todo += below
    return found
