"""SIGKILL at random moments of a whole study: the same result in the end."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.test_thread import write_recipe
from tunescope.models import DEFAULT, cached


def start(command: list[str], runs: Path) -> subprocess.Popen:
    """Start a study in a process group of its own."""
    environment = {**os.environ, "TUNESCOPE_RUNS": runs.name}
    return subprocess.Popen(
        [sys.executable, "-m", "tunescope", *command],
        cwd=runs.parent,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )


def finish(command: list[str], runs: Path) -> float:
    """Run to the end; return the seconds it took."""
    begun = time.monotonic()
    process = start(command, runs)
    _, talk = process.communicate()
    assert process.returncode == 0, talk
    return time.monotonic() - begun


def content(runs: Path) -> dict[str, object]:
    """Return every file of every run, and of run.json what isn't time: key, result, view, outputs."""
    found: dict[str, object] = {}
    for path in sorted(runs.rglob("*")):
        name = str(path.relative_to(runs))
        if path.name == "run.json":
            info = json.loads(path.read_text("utf-8"))
            found[name] = {key: info[key] for key in ("key", "inputs", "outputs", "result", "view")}
        elif path.is_file() and path.name != ".lock":
            found[name] = path.read_bytes().replace(bytes(runs.parent), b"HERE")  # an adapter names its base's folder
    return found


def drill(command: list[str], folder: Path, kills: int, seed: int) -> None:
    """Compare an undisturbed study with one that was killed again and again on its way."""
    rng = random.Random(seed)
    calm, killed = folder / "calm" / "runs", folder / "kill" / "runs"  # of equal length: sizes are compared
    for runs in (calm, killed):
        runs.parent.mkdir()
        for item in folder.iterdir():
            if item.name not in ("calm", "kill"):
                (shutil.copytree if item.is_dir() else shutil.copy)(item, runs.parent / item.name)
    seconds = finish(command, calm)
    landed = 0
    for _ in range(kills):
        process = start(command, killed)
        time.sleep(rng.uniform(0.2, seconds / 2))
        landed += process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    finish(command, killed)
    assert content(killed) == content(calm)
    assert landed >= kills / 4, f"only {landed} of {kills} kills met a study that was still running"


def test_thread_killed_twice(tmp_path):
    write_recipe(tmp_path)
    recipe = (tmp_path / "thread.yaml").read_text("utf-8").replace(f"{tmp_path}/", "")
    (tmp_path / "thread.yaml").write_text(recipe, "utf-8")
    drill(["study", "run", "thread.yaml"], tmp_path, kills=2, seed=0)


@pytest.mark.drill
@pytest.mark.model
def test_demo_killed_twenty_times(tmp_path):
    if cached(DEFAULT) is None:
        pytest.skip("the embedded model isn't cached; type: tunescope models --fetch smollm2-135m")
    drill(["demo"], tmp_path, kills=20, seed=0)
