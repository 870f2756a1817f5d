"""Several processes on one training: started by `accelerate launch` or torchrun, one of them leads.

The first process holds the run folder and writes; the others are told by it what to do.
"""

from __future__ import annotations

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
    def here(cls) -> Launch:
        """Read what a launcher said: RANK, WORLD_SIZE and LOCAL_RANK."""
        names = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0}
        return cls(*(int(os.environ.get(name) or default) for name, default in names.items()))

    @property
    def leads(self) -> bool:
        """Whether it writes and talks."""
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

        require("accelerate").PartialState(cpu=on_cpu)  # joins the processes
        return self._lead(begin, work) if self.leads else self._follow(work)

    def _lead(
        self, begin: Callable[[Callable[[RunFolder], Outcome]], Run], work: Callable[[RunFolder], Outcome]
    ) -> Run:
        started = False

        def leading(folder: RunFolder) -> Outcome:
            nonlocal started
            started = True
            _told(("work", str(folder.path), folder.scratch.name.removeprefix(".work-")))
            return work(folder)

        try:
            run = begin(leading)
        except BaseException:
            if not started:
                _told(("refused", "", ""))
            raise  # the launcher ends the others
        _told(("done", str(run.path), ""))
        return run

    def _follow(self, work: Callable[[RunFolder], Outcome]) -> Run:
        word, path, key = _told(None)
        if word == "work":
            with redirect_stderr(io.StringIO()):
                work(RunFolder(Path(path), key))
            word, path, key = _told(None)
        if word == "refused":
            raise SystemExit(1)
        return Run(Path(path))


def _told(message: tuple[str, str, str] | None) -> tuple[str, str, str]:
    """Tell all processes, or hear from the first."""
    import torch

    box: list[Any] = [message]
    torch.distributed.broadcast_object_list(box, src=0)
    heard: tuple[str, str, str] = box[0]
    return heard
