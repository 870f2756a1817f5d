"""Memory of a command and of all that it starts, looked at while it runs."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

EVERY = 0.05
"""Seconds from one look to the next: a shorter peak isn't seen."""


class Peak(NamedTuple):
    """What a command took.

    Attributes:
        seconds: by the clock.
        cpu: processor seconds, with those of its ended children.
        pss: the largest sum of proportional set sizes of its processes, in bytes. Pages that other programs map too
            count in part.
        own: the largest sum of memory that isn't a file's, in bytes; what forked processes share counts once.
        whole: the same with the files' pages of the process that has most of them: libraries, models, indexes.
    """

    seconds: float
    cpu: float
    pss: int
    own: int
    whole: int


def tree(pid: int) -> list[int]:
    """Return a process and all it has started."""
    pids = [pid]
    for each in pids:
        try:
            for task in Path(f"/proc/{each}/task").iterdir():
                pids += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return pids


def _sizes(pid: int) -> dict[str, int]:
    """Return a process's sizes in bytes, by the kernel's names; none where it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return {}
    return {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}


def measure_command(command: list[str], environment: Mapping[str, str], folder: Path | None = None) -> Peak:
    """Run a command; return what it took. Exits with its last words where it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    done = threading.Event()
    peaks = {"pss": 0, "own": 0, "whole": 0}

    def watch() -> None:
        while not done.wait(EVERY):
            sizes = [each for each in map(_sizes, tree(process.pid)) if each]
            own = sum(each["Pss_Anon"] + each["Pss_Shmem"] for each in sizes)
            files = max((each["Rss"] - each["Anonymous"] - each["Pss_Shmem"] for each in sizes), default=0)
            now = {"pss": sum(each["Pss"] for each in sizes), "own": own, "whole": own + files}
            for name, value in now.items():
                peaks[name] = max(peaks[name], value)

    watcher = threading.Thread(target=watch)
    watcher.start()
    before = os.times()
    talk = process.communicate()[1]
    after = os.times()
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} exited with {process.returncode}\n{talk[-2000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Peak(seconds, cpu, **peaks)
