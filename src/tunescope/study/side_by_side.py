"""Cells side by side: each in a fresh process, forked from a server that has imported what verbs need.

Importing torch takes seconds, a tuning of a tiny model hardly more. So a server imports it once, and each cell is a
process that the server forks (the standard library's forkserver). It does one verb's call, says what it has to say
through a pipe, and ends. It also ends at once when this process does, however that ends.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from threading import Thread
from types import TracebackType
from typing import Any, NamedTuple, Self

from tunescope.engine import cores, exit_with_parent, without_main
from tunescope.foreign import gate_streams
from tunescope.progress import say
from tunescope.study.cells import Variant
from tunescope.study.work import CellResult, work_on

_MODULES = ("numpy", "pandas", "pyarrow.parquet", "pyarrow.json", "scipy.special", "ftfy", "rensa", "jinja2")
"""What most verbs import, beside their own packages; pyarrow asks for pandas. What is missing is passed over."""
_THREADS = "OMP_NUM_THREADS"
_SECONDS_TO_STOP = 30.0
"""How long an interrupted cell may take to end by itself, for example until a call in flight is back."""


class _Workplace(NamedTuple):
    """What a process has of the study's: the server's own folder and environment may be older."""

    folder: str
    environment: dict[str, str]
    threads: int

    def enter(self) -> None:
        """Be there, with libraries on so many threads, unless the environment says on how many."""
        os.chdir(self.folder)
        os.environ.clear()
        os.environ.update(self.environment)
        threads = int(os.environ.setdefault(_THREADS, str(self.threads)))
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)


@dataclass(slots=True)
class _CellProcess:
    """A cell at work in a process of its own."""

    cell: Variant
    process: Any
    result: Connection
    """Brings a `CellResult`, once."""
    talk: Connection
    """The read end of a plain pipe, which the process has as stdout and stderr."""
    said: bytes = b""
    """What it has said of a line that isn't complete."""

    def relay(self) -> None:
        """Say what the process has said since, each line with the cell's name before it."""
        with suppress(BlockingIOError):
            while data := os.read(self.talk.fileno(), 1 << 16):
                *lines, self.said = (self.said + data).split(b"\n")
                for line in lines:
                    self._say(line)

    def collect(self) -> CellResult:
        """Return what became of a process that has ended."""
        self.process.join()
        self.relay()
        if self.said:
            self._say(self.said)
        self.talk.close()
        with self.result, suppress(EOFError):
            if self.result.poll():
                result: CellResult = self.result.recv()
                return result
        code = self.process.exitcode
        how = f"was ended by signal {-code} (out of memory?)" if code < 0 else f"ended with code {code}"
        return CellResult(None, f"its process {how}")

    def _say(self, line: bytes) -> None:
        say(f"{self.cell.name} │ {line.decode('utf-8', 'replace')}")


class CellProcesses:
    """Up to `workers` cells at work; as a context, it leaves none behind."""

    def __init__(self, workers: int, modules: Sequence[str]) -> None:
        """Begin with none; the server imports `modules` too before its first cell."""
        self.workers = workers
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([*_MODULES, *modules])
        self._alive, self._held = self._context.Pipe(duplex=False)
        self._at_work: list[_CellProcess] = []

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """After an interrupt or an error, interrupt what is at work, and end what doesn't stop."""
        try:
            for each in self._at_work:
                with suppress(ProcessLookupError):
                    os.kill(each.process.pid, signal.SIGINT)
            for each in self._at_work:
                each.process.join(_SECONDS_TO_STOP)
                each.relay()
        finally:
            self._held.close()
            self._alive.close()

    @property
    def is_idle(self) -> bool:
        """Whether no cell is at work."""
        return not self._at_work

    @property
    def is_full(self) -> bool:
        """Whether no more cells may start."""
        return len(self._at_work) >= self.workers

    def start(self, cell: Variant, settings: dict[str, Any]) -> None:
        """Start a cell with settings in which every folder is known."""
        say(f"── {cell.name}")
        result, send = self._context.Pipe(duplex=False)
        talk, speak = self._context.Pipe(duplex=False)
        os.set_blocking(talk.fileno(), False)
        place = _Workplace(os.getcwd(), dict(os.environ), max(1, cores() // self.workers))
        process = self._context.Process(
            target=_work_in_process, args=(self._alive, speak, send, place, cell.verb, settings)
        )
        with without_main():
            process.start()
        speak.close()
        send.close()
        self._at_work.append(_CellProcess(cell, process, result, talk))

    def finished(self) -> Iterator[tuple[Variant, CellResult]]:
        """Wait until a cell ends, while what all say is passed on; yield those that have ended."""
        while True:
            ready = wait([source for each in self._at_work for source in (each.talk, each.process.sentinel)])
            for each in self._at_work:
                if each.talk in ready:
                    each.relay()
            ended = [each for each in self._at_work if each.process.sentinel in ready]
            if ended:
                self._at_work = [each for each in self._at_work if each not in ended]
                yield from ((each.cell, each.collect()) for each in ended)
                return


def _work_in_process(
    alive: Connection, speak: Connection, send: Connection, place: _Workplace, verb: str, settings: dict[str, Any]
) -> None:
    """Do one cell's work in this process, which is its own; send what became of it."""
    os.setpgid(0, 0)  # Ctrl-C reaches the study alone, which passes it on once
    gate_streams()
    for stream in (1, 2):
        os.dup2(speak.fileno(), stream)
    speak.close()
    Thread(target=exit_with_parent, args=(alive,), daemon=True).start()
    place.enter()
    try:
        send.send(work_on(verb, settings))
    except KeyboardInterrupt:
        os._exit(130)
