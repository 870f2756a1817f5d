"""One engine: the same work over fixed shards, in this process or in several.

Shards are decided by inputs and settings before workers are counted, so any number of workers
gives the same tables; a finished shard is never done again.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeVar

from tunescope.errors import WorkError
from tunescope.progress import progress

State = TypeVar("State")
Shard = TypeVar("Shard")

_state: Any = None
"""What `setup` returned, once per worker process."""


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
        work: writes its result into the empty folder that it is given; a top-level function
            where `workers` > 1.
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
        pool = ProcessPoolExecutor(min(workers, len(todo)), context, _start, (setup,))
        try:
            with pool:
                jobs = {pool.submit(_in_worker, work, shard, done[number]): number for number, shard in todo}
                for job in as_completed(jobs):
                    job.result()
                    finished += 1
                    update(finished)
        except BrokenProcessPool as error:
            raise WorkError(
                f"a worker process died after {finished} of {len(shards)} {label} (out of memory?); "
                "type the same command with fewer --workers to go on"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return done


def _start(setup: Callable[[], Any]) -> None:
    global _state
    _state = setup()


def _in_worker(work: Callable[[Any, Any, Path], None], shard: Any, target: Path) -> None:
    _finish(work, _state, shard, target)


def _finish(work: Callable[[Any, Any, Path], None], state: Any, shard: Any, target: Path) -> None:
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    work(state, shard, part)
    os.replace(part, target)
