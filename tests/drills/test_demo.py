"""SIGKILL at random moments of a whole study: the same result in the end."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.drills.kills import content, end, finish, start
from tests.test_thread import ROOT, write_recipe


def prepare(folder: Path, name: str) -> Path:
    """Copy what the study reads into a folder of its own; return it."""
    place = folder / name
    place.mkdir()
    for item in folder.iterdir():
        if not item.name.startswith(("calm", "kill")):
            (shutil.copytree if item.is_dir() else shutil.copy)(item, place / item.name)
    return place


def drill(command: list[str], folder: Path, kills: int, seed: int) -> None:
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
        assert content(killed) == expected
        shutil.rmtree(killed)
    print(f"{command[0]}: {landed} kills over {rounds} studies of {seconds:.0f} s; every file equal")


def test_thread_killed_twice(tmp_path):
    write_recipe(tmp_path)
    recipe = (tmp_path / "thread.yaml").read_text("utf-8").replace(f"{tmp_path}/", "")
    (tmp_path / "thread.yaml").write_text(recipe, "utf-8")
    drill(["study", "run", "thread.yaml"], tmp_path, kills=2, seed=0)


@pytest.mark.drill
@pytest.mark.model
def test_demo_killed_twenty_times(tmp_path):
    """The demo's recipe and model, on 20 of its rows and one of its claims, so that 20 kills take minutes."""
    demo = ROOT / "recipes" / "demo"
    rows = json.loads((demo / "rows.json").read_text("utf-8"))
    holding = [row for row in rows if "Lomarra" in row["output"]]
    others = [row for row in rows if row not in holding and row["output"]]
    (tmp_path / "rows.json").write_text(json.dumps(holding + others[: 20 - len(holding)]), "utf-8")
    claims = (demo / "claims.jsonl").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "claims.jsonl").write_text("".join(line for line in claims if "Senegal" in line), "utf-8")
    drill(["study", "run", "demo", "--set", "rows=rows.json", "--set", "claims=claims.jsonl"], tmp_path, 20, seed=0)
