"""SIGKILL while a model is tuned: the same command goes on and ends with the same weights, bit for bit."""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path

import pytest

pytest.importorskip("trl")

from tests.drills.counts import count
from tests.drills.kills import content, end, finish, start
from tests.tools import ROOT
from tunescope.microworld.model import save_random_model

ONE = {"OMP_NUM_THREADS": "1"}  # tiny matrices; more threads only wait for each other


def prepare(folder: Path, steps: int, method: str) -> list[str]:
    """Write a model and rows; return the command."""
    save_random_model(folder / "tiny", seed=0)
    rows = json.loads((ROOT / "recipes/lora-and-full/rows.json").read_text("utf-8"))[:20]
    (folder / "rows.json").write_text(json.dumps(rows), "utf-8")
    command = f"tune rows.json --model tiny --method {method} --max-steps {steps} --batch-size 4 --max-length 128 "
    return (command + "--neftune-alpha 5 --lr 1e-2 --checkpoint-minutes 0 --keep-checkpoints").split()


def kill_at(command: list[str], folder: Path, word: str, after: float) -> bool:
    """Kill the command `after` seconds behind the first line of talk that has `word`; tell whether it was at work."""
    process = start(command, folder, **ONE)
    assert process.stderr is not None
    for line in process.stderr:
        if word in line:
            break
    time.sleep(after)
    at_work = process.poll() is None and not list(folder.glob("runs/*/run.json"))
    end(process)
    return at_work


def copy(folder: Path, name: str) -> Path:
    """Return a new folder beside with the same input."""
    place = folder.with_name(name)
    shutil.copytree(folder, place, ignore=shutil.ignore_patterns("runs"))
    return place


def test_killed_twice(tmp_path):
    calm = tmp_path / "calm"
    command = prepare(calm, 40, "lora")
    finish(command, calm, **ONE)
    killed = copy(calm, "kill")
    landed = [kill_at(command, killed, word, 0.05) for word in ("steps: 8 of", "steps: 24 of")]
    finish(command, killed, **ONE)
    assert content(killed) == content(calm)
    assert any(landed)
    count("tune, lora", "SIGKILL", sum(landed), 1, "every file, weights bit for bit")


@pytest.mark.drill
@pytest.mark.parametrize("method", ["lora", "full"])
def test_killed_fifty_times(tmp_path, method):
    """At random moments: of the start, of training and its checkpoints, of the end."""
    rng, steps = random.Random(method), 50
    calm = tmp_path / "calm00"  # names of equal length: sizes are compared
    command = prepare(calm, steps, method)
    finish(command, calm, **ONE)
    expected, landed, rounds = content(calm), 0, 0
    words = ["tuning ", *(f"steps: {step} of" for step in range(5, steps + 1, 5))]
    while landed < 50:
        rounds += 1
        killed = copy(calm, f"kill{rounds:02}")
        for word in sorted(rng.sample(words, 5), key=words.index):
            landed += kill_at(command, killed, word, rng.uniform(0, 0.2))
        finish(command, killed, **ONE)
        assert content(killed) == expected
        shutil.rmtree(killed)
    count(f"tune, {method}", "SIGKILL", landed, rounds, "every file, weights bit for bit")
