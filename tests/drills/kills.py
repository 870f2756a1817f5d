"""Commands that are killed: started, ended, gone on with to the end, and what they left compared."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests import warm
from tests.drills.counts import count
from tests.tools import ROOT


def start(command: list[str], folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Start a command in a folder, in a process group of its own; its runs go to `runs` there."""
    return warm.start(
        ["-m", "tunescope", *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "TUNESCOPE_RUNS": "runs", **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )


def begins(folder: Path) -> float:
    """Wait until a run has its folder; return when that was."""
    limit = time.monotonic() + 60
    while not list(folder.glob("runs/*/.work-*")):
        assert time.monotonic() < limit
        time.sleep(0.002)
    return time.monotonic()


def end(process: subprocess.Popen[str], group: bool = True) -> None:
    """Kill a process, or its whole group, and collect it."""
    if group:
        with suppress(ProcessLookupError):  # it had ended by itself
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.communicate()


def finish(command: list[str], folder: Path, **environment: str) -> float:
    """Run to the end; return the seconds it took."""
    begun = time.monotonic()
    process = start(command, folder, **environment)
    talk = process.communicate(timeout=600)[1]
    assert process.returncode == 0, talk
    return time.monotonic() - begun


def content(folder: Path) -> dict[str, object]:
    """Return every file of every run, and of run.json all that isn't time; the folder's own path is HERE."""
    found: dict[str, object] = {}
    for path in sorted((folder / "runs").rglob("*")):
        if path.is_file():
            data = path.read_bytes().replace(bytes(folder), b"HERE")  # an adapter names its base's folder
            name = str(path.relative_to(folder))
            found[name] = data
            if path.name == "run.json":
                info = json.loads(data)
                del info["wall_seconds"]
                found[name] = info
    return found


def require_same(found: dict[str, object], expected: dict[str, object]) -> None:
    """Fail with the names of the files that differ, or are on one side alone."""
    differ = {
        "too many": sorted(found.keys() - expected.keys()),
        "missing": sorted(expected.keys() - found.keys()),
        "other": [name for name in found.keys() & expected.keys() if found[name] != expected[name]],
    }
    assert not any(differ.values()), str(differ)


def drill(
    command: list[str], folder: Path, done: Callable[[Path], int], kills: int, rng: random.Random, **environment: str
) -> int:
    """Compare an undisturbed run in `folder / "calm"` with others that are killed at random moments.

    Each is killed up to four times, a moment after `done` tells of more work on disk; returns how many there were.
    """
    calm = folder / "calm"
    finish(command, calm, **environment)
    expected = content(calm)
    landed = rounds = 0
    while landed < kills:
        rounds += 1
        assert rounds <= kills
        killed = folder / f"kill{rounds}"
        shutil.copytree(calm, killed, ignore=shutil.ignore_patterns("runs"))
        for _ in range(min(4, kills - landed)):
            process, before = start(command, killed, **environment), done(killed)
            while process.poll() is None and done(killed) <= before:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.05))
            at_work = process.poll() is None and not list(killed.glob("runs/*/run.json"))
            end(process)
            if not at_work:
                break
            landed += 1
        finish(command, killed, **environment)
        require_same(content(killed), expected)
        shutil.rmtree(killed)
    return rounds


def prepare(folder: Path, name: str) -> Path:
    """Copy what the study reads into a folder of its own; return it."""
    place = folder / name
    place.mkdir()
    for item in folder.iterdir():
        if not item.name.startswith(("calm", "kill")):
            (shutil.copytree if item.is_dir() else shutil.copy)(item, place / item.name)
    return place


def drill_study(command: list[str], folder: Path, kills: int, seed: int) -> None:
    """Compare an undisturbed study with others that were killed, and killed again, on their way.

    A kill comes at a random moment within half of the undisturbed time; a study that gets to its end
    in spite of the kills is compared, and the rest of the kills meet a new one.
    """
    rng = random.Random(seed)
    calm = prepare(folder, "calm0")  # names of equal length: sizes are compared
    seconds = finish(command, calm)
    expected = content(calm)
    landed = rounds = 0
    while landed < kills:
        rounds += 1
        killed = prepare(folder, f"kill{rounds % 10}")
        while landed < kills:
            process = start(command, killed)
            try:
                process.communicate(timeout=rng.uniform(0.2, seconds / 2))
                break
            except subprocess.TimeoutExpired:
                end(process)
                landed += 1
        finish(command, killed)
        require_same(content(killed), expected)
        shutil.rmtree(killed)
    words = " ".join(command[:3])
    count(words, "SIGKILL", landed, rounds, "every file", f"{seconds:.0f} s undisturbed")


def shards(folder: Path) -> int:
    """Count the finished shards of an unfinished run."""
    return sum(path.is_dir() and path.suffix == "" for path in folder.glob("runs/*/.work-*/shards/*"))
