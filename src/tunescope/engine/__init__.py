"""Work over shards: in this process, in several, or in those of a Ray cluster.

Inputs and settings decide the shards, not the engine or the number of workers, so any of them gives
the same tables. A finished shard is never done again, unless it was damaged since.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any, TypeVar

from tunescope.engine.shard import Todo, Work, finish, is_finished, remove_unfinished
from tunescope.errors import WorkError
from tunescope.foreign import gate_streams
from tunescope.progress import progress
from tunescope.settings import EngineSettings

_State = TypeVar("_State")
_Shard = TypeVar("_Shard")

_HERE = EngineSettings()
_setup: Callable[[], Any] | None = None
"""In a worker process: makes its state at the first shard, so that an error there reaches the parent as it is."""
_state: Any = None


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0))


def map_shards(
    work: Callable[[_State, _Shard, Path], None],
    shards: Sequence[_Shard],
    setup: Callable[[], _State],
    folder: Path,
    engine: EngineSettings = _HERE,
    label: str = "shards",
) -> list[Path]:
    """Do `work(state, shard, folder)` for every shard; return one finished folder per shard.

    Args:
        work: writes its result into the empty folder that it is given; a top-level function of a module (as is
            `setup`), unless it works in this process.
        shards: what to work on; objects that pickle.
        setup: makes what `work` needs (a loaded model); called once per process.
        folder: where the shards' folders go, named 00000, 00001 …
        engine: who does the work; by default this process.
        label: what the progress line calls it.

    Raises:
        WorkError: a worker process died (with Ray, several times at one shard), or there is no such cluster; finished
            shards stay.
        MissingPackageError: Ray isn't installed.
    """
    folders = [folder / f"{number:05d}" for number in range(len(shards))]
    todo = [(shard, target) for shard, target in zip(shards, folders, strict=True) if not is_finished(target)]
    folder.mkdir(parents=True, exist_ok=True)
    remove_unfinished(folder)
    n_finished = len(shards) - len(todo)
    shards_done = _done_by(engine, work, todo, setup, folder)
    with progress(label, len(shards)) as update:
        try:
            with closing(shards_done):
                for _ in shards_done:
                    n_finished += 1
                    update(n_finished)
        except BrokenProcessPool as error:
            raise WorkError(
                f"a worker process died after {n_finished} of {len(shards)} {label} (out of memory?); "
                "type the same command with fewer --workers to go on"
            ) from error
    return folders


def _done_by(engine: EngineSettings, work: Work, todo: Todo, setup: Callable[[], Any], folder: Path) -> Generator[None]:
    """Choose who does the work, which begins when its first shard is asked for."""
    if not todo:
        return _map_here(work, todo, setup)
    if engine.address is not None:
        from tunescope.engine.on_ray import map_on_ray

        return map_on_ray(engine.address, engine.workers, work, todo, setup, folder)
    if engine.workers == 1 or len(todo) == 1:
        return _map_here(work, todo, setup)
    return _map_in_workers(engine.workers, work, todo, setup)


def _map_here(work: Work, todo: Todo, setup: Callable[[], Any]) -> Generator[None]:
    """Do the work in this process; yield after each shard."""
    state = setup() if todo else None
    for shard, target in todo:
        finish(work, state, shard, target)
        yield


def _map_in_workers(workers: int, work: Work, todo: Todo, setup: Callable[[], Any]) -> Generator[None]:
    """Do the work in processes of their own; yield after each shard."""
    context = multiprocessing.get_context("spawn")
    alive, held = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(min(workers, len(todo)), context, _start, (setup, alive))
    n_open = len(todo)
    try:
        with without_main():
            jobs = [pool.submit(_in_worker, work, shard, target) for shard, target in todo]
        for job in as_completed(jobs):
            job.result()
            n_open -= 1
            yield
    finally:
        if n_open:
            held.close()  # after an interrupt or an error the workers exit at once
        pool.shutdown(cancel_futures=True)
        held.close()
        alive.close()


@contextmanager
def without_main() -> Iterator[None]:
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
    gate_streams()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=exit_with_parent, args=(alive,), daemon=True).start()


def exit_with_parent(alive: Connection) -> None:
    """Wait until the other end closes, which also happens when the parent is killed; then exit."""
    alive.poll(None)
    os._exit(1)


def _in_worker(work: Work, shard: Any, target: Path) -> None:
    global _setup, _state
    if _setup is not None:
        _state, _setup = _setup(), None
    finish(work, _state, shard, target)
