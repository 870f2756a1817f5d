"""A warm process beside that of the tests: forks a solution for every program, and ends it with all that it left.

It never reads a program, so that the solution, a copy of it, holds nothing of the tests. Where it is the first process
of its own process namespace, it ends whatever a program left in one step.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

from tunescope.sandbox.inside import channel, checking, solution, system_calls
from tunescope.sandbox.inside.descendants import kill_descendants

_WARM = (
    "bisect collections copy dataclasses functools heapq itertools math operator random re string typing _strptime "
    "encodings.ascii encodings.idna encodings.latin_1 encodings.utf_16"
)
"""Modules that many programs use, and those that the library imports only when it is called."""
_PROGRAM = "program"
_LIMITS = {
    "processor_seconds": resource.RLIMIT_CPU,
    "memory_bytes": resource.RLIMIT_AS,
    "file_bytes": resource.RLIMIT_FSIZE,
    "processes": resource.RLIMIT_NPROC,
    "open_files": resource.RLIMIT_NOFILE,
    "core_bytes": resource.RLIMIT_CORE,
}
_SMALL_LIMITS = {"open_files": 64, "core_bytes": 0}
_SECONDS_TO_END = 0.1
_BROKEN = 70
"""Exit status of a forked process that couldn't do its work."""


def main(settings: Mapping[str, Any]) -> None:
    """Serve until standard input ends: programs come in there, verdicts go out on standard output.

    A verdict is a status, a reason, and whether the server is fit for another program: its folder is empty again.

    Args:
        settings: `seconds` (of wall time a program), `limits` (see `_limit`), `folder` (where each program's own is
            made), `filtered` and `files` (as `solution.run` takes them), `path` (folders of installed packages).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    system_calls.hide_memory()
    system_calls.adopt_orphans()
    system_calls.forbid_privileges()
    sys.path += settings["path"]
    for name in _WARM.split():
        import_module(name)
    hello = {"first_process": os.getpid() == 1, "filter": settings["filtered"] and system_calls.can_be_filtered()}
    os.chdir(settings["folder"])
    gc.freeze()
    channel.send(1, json.dumps(hello).encode())
    server = _Server(settings)
    while True:
        try:
            verdict = server.serve()
        except channel.ChannelClosed:
            return
        is_fit = _empty(settings["folder"])
        channel.send(1, json.dumps([*verdict, is_fit]).encode())


class _Server:
    """The server with its process of the tests, which lasts until a program runs out of time."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        self._start_checking()

    def serve(self) -> tuple[str, str]:
        """Run the next program; return its status, and the reason where it didn't pass.

        Raises:
            ChannelClosed: there is no next one.
        """
        channel.receive(self._control.fileno())
        until = time.monotonic() + self._settings["seconds"]
        solves = self._start_solution()
        status, reason = self._verdict(until)
        ending = _ending(solves) if status == checking.ENDED_EARLY else ""
        self._end(solves, keep_checking=status not in (checking.TIMED_OUT, checking.BROKEN))
        if ending == "SIGXCPU":
            return checking.TIMED_OUT, "it reached the processor time limit"
        return status, f"{reason}: {ending}" if ending else reason

    def _verdict(self, until: float) -> tuple[str, str]:
        waiting = select.poll()
        waiting.register(self._control, select.POLLIN)
        if not waiting.poll(max(0.0, until - time.monotonic()) * 1000):
            return checking.TIMED_OUT, f"it took more than {self._settings['seconds']:g} seconds"
        try:
            status, reason = json.loads(channel.receive(self._control.fileno()))
        except channel.ChannelClosed:
            return checking.BROKEN, f"the process of its tests ended: {_ending(self._checks)}"
        return status, reason

    def _start_checking(self) -> None:
        self._control, theirs = socket.socketpair()
        limits = {"memory_bytes": self._settings["limits"]["memory_bytes"]}
        self._checks = _fork(lambda: checking.serve(0, theirs), limits, self._settings["folder"])
        theirs.close()

    def _start_solution(self) -> int:
        """Start the next solution in a new folder, and hand the tests its channel; return its process."""
        os.mkdir(_PROGRAM)
        os.chmod(_PROGRAM, 0o777)
        ours, theirs = socket.socketpair()
        filtered, files = self._settings["filtered"], self._settings["files"]
        solves = _fork(
            lambda: solution.serve(theirs.fileno(), filtered, files),
            self._settings["limits"],
            f"{os.getcwd()}/{_PROGRAM}",
        )
        with ours, theirs, suppress(OSError):  # the process of the tests has ended: there will be no verdict
            socket.send_fds(self._control, [b"."], [ours.fileno()])
        return solves

    def _end(self, solves: int, keep_checking: bool) -> None:
        """End a program's processes; behind the filter it has no others than its own."""
        filtered = self._settings["filtered"]
        if not filtered:
            kill_descendants(os.getpid())
            _reap_all()
        elif keep_checking:
            _kill([solves])
        else:
            _kill([solves, self._checks])
        if not (keep_checking and filtered):
            self._control.close()
            self._start_checking()


def _fork(work: Callable[[], None], limits: Mapping[str, int], folder: str) -> int:
    """Do the work in a forked process under the limits, in a folder; return its id."""
    child = os.fork()
    if child:
        return child
    try:
        system_calls.die_with_parent()
        os.chdir(folder)
        _limit(limits)
        work()
    except BaseException:  # noqa: BLE001 (a forked child must end here, whatever happens)
        os._exit(_BROKEN)
    os._exit(0)


def _limit(limits: Mapping[str, int]) -> None:
    """Set limits for good; `limits` has keys of `_LIMITS` and maybe `processor_seconds`."""
    for name, value in {**limits, **_SMALL_LIMITS}.items():
        hard = resource.getrlimit(_LIMITS[name])[1]
        lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
        above = int(name == "processor_seconds")  # SIGXCPU comes first and says what happened
        resource.setrlimit(_LIMITS[name], (lowest, lowest + above))


def _ending(child: int) -> str:
    """Say how a child ended, or that it didn't."""
    until = time.monotonic() + _SECONDS_TO_END
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return f"exit status {code}" if code >= 0 else signal.Signals(-code).name
        time.sleep(0.001)
    return "it closed its channel"


def _kill(processes: Iterable[int]) -> None:
    """Kill and reap children; one may have ended and been reaped."""
    for process in processes:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)


def _reap_all() -> None:
    """Wait for all children, and for theirs, which become ours."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, 0):  # raises where there are no more
            continue


def _empty(folder: str) -> bool:
    """Remove what is in a folder; return whether that worked."""
    try:
        for entry in list(os.scandir(folder)):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
    except (OSError, RecursionError):
        return False
    return True
