"""Run programs that aren't trusted, several at a time, each in processes and a folder of its own."""

from __future__ import annotations

import json
import math
import select
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, Literal, TypeAlias

from tunescope.errors import WorkError
from tunescope.foreign import show_line
from tunescope.progress import progress
from tunescope.sandbox.inside import channel
from tunescope.sandbox.inside.descendants import kill_descendants
from tunescope.sandbox.protection import PROTECTIONS, Protection

Status: TypeAlias = Literal["passed", "failed", "timed out", "out of memory", "ended early", "broken"]
"""How a program ended; `broken`: the sandbox itself died with it."""
_VARIABLES = {
    **{"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"},
    **{"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
}
"""All the variables that a program sees; sets of texts have the same order in every run."""
_SECONDS_TO_START = 60.0
_SECONDS_OF_GRACE = 60.0
"""How long a server may take beyond a program's own time before it is killed."""


@dataclass(frozen=True)
class Program:
    """Code that isn't trusted, and the trusted code that tests it.

    Attributes:
        source: the code that isn't trusted.
        setup: what the tests need, such as imports; what it defines is the tests' own.
        tests: raises where a test fails.
        names: the functions and classes that the tests take from the source; all else they see is the setup's or
            Python's own.
    """

    source: str
    setup: str
    tests: str
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a program may use.

    Attributes:
        seconds: wall time, the tests' included.
        memory_bytes: address space of each of its two processes.
        file_bytes: size of a file.
        processes: processes and threads, where no filter forbids processes.
    """

    seconds: float = 3.0
    memory_bytes: int = 1 << 30
    file_bytes: int = 1 << 24
    processes: int = 32


@dataclass(frozen=True)
class Ran:
    """What became of a program; `reason` is one short line, empty where it passed."""

    status: Status
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Whether its tests ran to their end and none failed."""
        return self.status == "passed"


def run_programs(
    programs: Sequence[Program], limits: Limits, workers: int, protection: Protection | None = None
) -> list[Ran]:
    """Run every program; return what became of each, in their order.

    Args:
        programs: what to run.
        limits: what each may use.
        workers: how many run at a time.
        protection: how; the strongest that this machine allows by default.

    Raises:
        WorkError: no server starts under this protection.
    """
    chosen = protection or strongest_protection()
    idle: SimpleQueue[_ServerProcess] = SimpleQueue()

    def run(program: Program) -> Ran:
        server = idle.get()
        try:
            return server.run(program)
        finally:
            idle.put(server)

    with ExitStack() as stack:
        folder = tempfile.mkdtemp(prefix="tunescope-sandbox-")
        stack.callback(_remove, folder)
        for number in range(min(workers, len(programs))):
            idle.put(stack.enter_context(closing(_ServerProcess(chosen, limits, f"{folder}/{number}"))))
        threads = stack.enter_context(ThreadPoolExecutor(workers))
        stack.callback(threads.shutdown, cancel_futures=True)
        update = stack.enter_context(progress("programs", len(programs)))
        ran: list[Ran] = []
        for each in threads.map(run, programs):
            ran.append(each)
            update(len(ran))
        return ran


@cache
def strongest_protection(among: tuple[Protection, ...] = PROTECTIONS) -> Protection:
    """Return the first protection that this machine allows, found once by trying; its sentence says why no other.

    Raises:
        WorkError: not even a plain server starts.
    """
    reasons: list[str] = []
    for protection in among:
        try:
            with tempfile.TemporaryDirectory() as folder:
                _ServerProcess(protection, Limits(), f"{folder}/0").close()
        except WorkError as error:
            reasons.append(str(error))
        else:
            return replace(protection, sentence=" ".join([protection.sentence, *reasons]))
    raise WorkError(" ".join(reasons))


class _ServerProcess:
    """A process of `inside.server`; another takes its place where a program broke it."""

    def __init__(self, protection: Protection, limits: Limits, folder: str) -> None:
        self._protection, self._limits = protection, limits
        self._folders = (f"{folder}-{number}" for number in count())  # a program may have made its own undeletable
        self._process = self._start()

    def run(self, program: Program) -> Ran:
        """Run one program."""
        try:
            channel.send(_descriptor(self._process.stdin), json.dumps(asdict(program)).encode())
            status, reason, is_fit = _receive(self._process, self._limits.seconds + _SECONDS_OF_GRACE)
        except channel.ChannelClosed:
            status, reason, is_fit = "broken", "the sandbox ended with it", False
        if not is_fit:
            self.close()
            self._process = self._start()
        return Ran(status, show_line(reason))  # it may quote the program's own text

    def close(self) -> None:
        """Kill the server with all that it started, and remove its folder as far as that is allowed."""
        if not self._protection.has_namespaces:
            kill_descendants(self._process.pid)
        self._process.kill()
        self._process.communicate()
        _remove(self._folder)

    def _start(self) -> subprocess.Popen[bytes]:
        self._folder = next(self._folders)
        Path(self._folder).mkdir()
        limits = asdict(self._limits) | {"processor_seconds": math.ceil(self._limits.seconds) + 1}
        settings = {"seconds": limits.pop("seconds"), "limits": limits}
        command = self._protection.server_command(settings, self._folder)
        pipe = subprocess.PIPE
        try:
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, env=_VARIABLES)
        except OSError as error:
            raise WorkError(f"{self._protection.name}: {command[0]} doesn't start ({error.strerror}).") from error
        try:
            hello = _receive(process, _SECONDS_TO_START)
        except channel.ChannelClosed as error:
            with suppress(subprocess.TimeoutExpired):
                process.wait(1.0)
            process.kill()
            said = process.communicate()[1].decode(errors="replace").strip().rpartition("\n")[2]
            said = said or f"exit status {process.returncode}"
            raise WorkError(f"{self._protection.name}: {command[0]} doesn't start a server ({said}).") from error
        if hello != self._protection.as_server_sees_it():
            process.kill()
            process.communicate()
            raise WorkError(f"{self._protection.name}: this machine takes no filter of system calls.")
        return process


def _remove(folder: str) -> None:
    """Remove a folder as far as that is allowed: rmtree stops at a thousand levels, and where it isn't."""
    for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
        subprocess.run([*command, "--", folder], check=False, stderr=subprocess.DEVNULL)


def _receive(process: subprocess.Popen[bytes], seconds: float) -> Any:
    """Return the next message of a server.

    Raises:
        ChannelClosed: the server ended, or nothing came in time.
    """
    waiting = select.poll()
    waiting.register(_descriptor(process.stdout), select.POLLIN)
    if not waiting.poll(seconds * 1000):
        raise channel.ChannelClosed
    return json.loads(channel.receive(_descriptor(process.stdout)))


def _descriptor(stream: IO[bytes] | None) -> int:
    assert stream is not None
    return stream.fileno()
