"""One engine: the same work over fixed shards, in this process or in several.

Shards are decided by inputs and settings before workers are counted, so any number of workers
gives the same tables; a finished shard is never done again.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any, TypeVar

from tunescope.errors import WorkError
from tunescope.progress import progress

State = TypeVar("State")
Shard = TypeVar("Shard")

_setup: Callable[[], Any] | None = None
"""In a worker process: makes its state at the first shard, so that a refusal there is told as one."""
_state: Any = None


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0))


def map_shards(
    work: Callable[[State, Shard, Path], None],
    shards: Sequence[Shard],
    setup: Callable[[], State],
    folder: Path,
    workers: int = 1,
    label: str = "shards",
) -> list[Path]:
    """Do `work(state, shard, folder)` for every shard; return one finished folder per shard.

    Args:
        work: writes its result into the empty folder that it is given; where `workers` > 1, a
            top-level function of a module (as is `setup`).
        shards: what to work on; any objects that pickle.
        setup: makes what `work` needs (a loaded model); called once per process.
        folder: where the shards' folders go, named 00000, 00001 …
        workers: processes; one works in this process.
        label: what the progress line calls it.

    Raises:
        WorkError: a worker process died; finished shards stay.
    """
    done = [folder / f"{number:05d}" for number in range(len(shards))]
    todo = [(number, shard) for number, shard in enumerate(shards) if not done[number].is_dir()]
    folder.mkdir(parents=True, exist_ok=True)
    with progress(label, len(shards)) as update:
        finished = len(shards) - len(todo)
        if workers <= 1 or len(todo) <= 1:
            state = setup() if todo else None
            for number, shard in todo:
                _finish(work, state, shard, done[number])
                finished += 1
                update(finished)
            return done
        context = multiprocessing.get_context("spawn")
        alive, held = context.Pipe(duplex=False)
        pool = ProcessPoolExecutor(min(workers, len(todo)), context, _start, (setup, alive))
        try:
            with _without_main():
                jobs = [pool.submit(_in_worker, work, shard, done[number]) for number, shard in todo]
            for job in as_completed(jobs):
                job.result()
                finished += 1
                update(finished)
        except BrokenProcessPool as error:
            raise WorkError(
                f"a worker process died after {finished} of {len(shards)} {label} (out of memory?); "
                "type the same command with fewer --workers to go on"
            ) from error
        finally:
            if finished < len(shards):
                held.close()  # after an interrupt or a refusal the workers leave at once
            pool.shutdown(cancel_futures=True)
            held.close()
            alive.close()
    return done


@contextmanager
def _without_main() -> Iterator[None]:
    """Start workers that don't import the caller's script: it may lack a __main__ guard and would run again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _start(setup: Callable[[], Any], alive: Connection) -> None:
    global _setup
    _setup = setup
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_leave_with_parent, args=(alive,), daemon=True).start()


def _leave_with_parent(alive: Connection) -> None:
    """Wait until the other end closes, which it also does when the parent is killed; then leave."""
    alive.poll(None)
    os._exit(1)


def _in_worker(work: Callable[[Any, Any, Path], None], shard: Any, target: Path) -> None:
    global _setup, _state
    if _setup is not None:
        _state, _setup = _setup(), None
    _finish(work, _state, shard, target)


def _finish(work: Callable[[Any, Any, Path], None], state: Any, shard: Any, target: Path) -> None:
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    work(state, shard, part)
    os.replace(part, target)
