"""Several processes that train together, started by `accelerate launch` or torchrun.

The first process leads: it holds the run folder, writes, and broadcasts to the others what to do.
"""

from __future__ import annotations

import atexit
import gc
import io
import os
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunescope.runs import Outcome, Run, RunFolder


@dataclass(frozen=True, slots=True)
class Launch:
    """This process among those that train together.

    Attributes:
        process: its number, from 0.
        processes: how many there are.
        local: its number on this machine.
    """

    process: int = 0
    processes: int = 1
    local: int = 0

    @classmethod
    def from_environment(cls) -> Launch:
        """Read the launcher's variables RANK, WORLD_SIZE and LOCAL_RANK; without them there is one process."""
        names = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0}
        return cls(*(int(os.environ.get(name) or default) for name, default in names.items()))

    @property
    def leads(self) -> bool:
        """Whether it is the process that writes and prints."""
        return self.process == 0

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.processes > 1:
            import torch

            torch.distributed.barrier()

    def execute(
        self,
        begin: Callable[[Callable[[RunFolder], Outcome]], Run],
        work: Callable[[RunFolder], Outcome],
        on_cpu: bool,
    ) -> Run:
        """Return `begin(work)`; with several processes, `work` is done by all and `begin` by the first alone."""
        if self.processes == 1:
            return begin(work)
        from tunescope.models.lazy import require

        state = require("accelerate").PartialState(cpu=on_cpu)  # joins the processes
        atexit.register(_leave, state)
        return self._lead(begin, work) if self.leads else self._follow(work)

    def _lead(
        self, begin: Callable[[Callable[[RunFolder], Outcome]], Run], work: Callable[[RunFolder], Outcome]
    ) -> Run:
        started = False

        def leading(folder: RunFolder) -> Outcome:
            nonlocal started
            started = True
            _broadcast(("work", str(folder.path), folder.scratch.name.removeprefix(".work-")))
            return work(folder)

        try:
            run = begin(leading)
        except BaseException:
            if not started:
                _broadcast(("refused", "", ""))
            raise  # the launcher ends the others
        _broadcast(("done", str(run.path), ""))
        return run

    def _follow(self, work: Callable[[RunFolder], Outcome]) -> Run:
        order, path, key = _broadcast(None)
        if order == "work":
            with redirect_stderr(io.StringIO()):
                work(RunFolder(Path(path), key))
            order, path, key = _broadcast(None)
        if order == "refused":
            raise SystemExit(1)
        return Run(Path(path))


def _leave(state: Any) -> None:
    """Let go of the other processes: threads that are left at the end abort the process.

    A model that was trained by all of them is a cycle of objects; it goes first, since it has threads of their group.
    """
    gc.collect()
    state.destroy_process_group()


def _broadcast(message: tuple[str, str, str] | None) -> tuple[str, str, str]:
    """Send the first process's message to all processes (the others pass None); return it."""
    import torch

    box: list[Any] = [message]
    torch.distributed.broadcast_object_list(box, src=0)
    received: tuple[str, str, str] = box[0]
    return received
