"""A warm process that forks two others for every program: the solution's and the tests'.

Programs come in on standard input and verdicts go out on standard output, as messages of `channel`. This process never
reads a program, so that the solution, a copy of it, holds nothing of the tests. Where it is the first process of its
own process namespace, it ends whatever a program left in one step.
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
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from tunescope.sandbox.inside import channel, checking, solution, system_calls

_WARM = (
    "array ast base64 binascii bisect calendar cmath collections copy csv dataclasses datetime decimal difflib enum "
    "fractions functools hashlib heapq html inspect io itertools json keyword math numbers operator pprint queue random "
    "re secrets statistics string struct sys textwrap threading time timeit traceback types typing unicodedata uuid "
    "warnings zlib _strptime encodings.ascii encodings.idna encodings.latin_1 encodings.utf_16"
)
"""Modules that programs use, and those that these import when they are first called."""
_PROGRAM = "program"
_SECONDS_TO_END = 0.1
_BROKEN = 70


def main(settings: Mapping[str, Any]) -> None:
    """Serve until standard input ends.

    Args:
        settings: `seconds` (of wall time a program), `limits` (see `_limit`), `folder` (where each program's own is
            made), `filtered` and `files` (as `solution.run` takes them), `path` (folders of installed packages).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    system_calls.hide_memory()
    system_calls.adopt_orphans()
    sys.path += settings["path"]
    for name in _WARM.split():
        import_module(name)
    hello = {"first_process": os.getpid() == 1, "filter": settings["filtered"] and system_calls.can_be_filtered()}
    os.chdir(settings["folder"])
    gc.freeze()
    channel.send(1, json.dumps(hello).encode())
    while True:
        try:
            header = channel.read_exactly(0, channel.HEADER_SIZE)
        except channel.ChannelClosed:
            return
        verdict = _run(settings, channel.length(header))
        if not _clean(settings["folder"]):
            os._exit(_BROKEN)
        channel.send(1, json.dumps(verdict).encode())


def _run(settings: Mapping[str, Any], size: int) -> tuple[str, str]:
    """Run the next program, of `size` bytes; return its status and the reason where it didn't pass."""
    until = time.monotonic() + settings["seconds"]
    os.mkdir(_PROGRAM)
    os.chmod(_PROGRAM, 0o777)
    ours, theirs = socket.socketpair()
    read_end, write_end = os.pipe()
    solves = _fork(
        settings["limits"], lambda: solution.run(theirs.fileno(), settings["filtered"], settings["files"]), _PROGRAM
    )
    checks = _fork(settings["limits"], lambda: checking.run(0, size, ours.fileno(), write_end), settings["folder"])
    ours.close()
    theirs.close()
    os.close(write_end)
    try:
        said = _read_until(read_end, until)
        if said is None:
            return "timed out", f"it took more than {settings['seconds']:g} seconds"
        if not said:
            return checking.FAILED, f"the process of the tests died: {_ending(checks)}"
        status, reason = json.loads(said)
        return (status, reason) if status != checking.ENDED_EARLY else _explain(solves, reason)
    finally:
        os.close(read_end)
        _end_all()


def _fork(limits: Mapping[str, int], work: Callable[[], None], folder: str) -> int:
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
    """Set limits for good: `cpu_seconds`, `memory_bytes`, `file_bytes`, `processes`, and a few fixed ones."""
    seconds = limits["cpu_seconds"]
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))  # SIGXCPU first, which says what happened
    for kind, value in (
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_NPROC, limits["processes"]),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (lowest, lowest))


def _read_until(descriptor: int, until: float) -> bytes | None:
    """Read to the end; None where that isn't reached in time."""
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    parts: list[bytes] = []
    while waiting.poll(max(0.0, until - time.monotonic()) * 1000):
        part = os.read(descriptor, 1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)
    return None


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


def _explain(solves: int, reason: str) -> tuple[str, str]:
    """Return the status and reason of a solution that ended before its tests."""
    ending = _ending(solves)
    if ending == "SIGXCPU":
        return "timed out", "it reached the limit of processor time"
    return checking.ENDED_EARLY, f"{reason}: {ending}"


def _end_all() -> None:
    """Kill and reap every process that the program left."""
    while True:
        try:
            if os.getpid() == 1:
                os.kill(-1, signal.SIGKILL)
            else:
                for child in _children():
                    os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            pass
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children() -> list[int]:
    """Return the processes whose parent is this one."""
    own, found = str(os.getpid()), []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if fields[1] == own:
            found.append(int(name))
    return found


def _clean(folder: str) -> bool:
    """Empty the folder; return whether that worked."""
    try:
        for entry in list(os.scandir(folder)):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
    except (OSError, RecursionError):
        return False
    return True
