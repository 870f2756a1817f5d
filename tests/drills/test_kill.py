"""SIGKILL at random moments of verbs without a model: the same command then gives the same bytes."""

from __future__ import annotations

import json
import random
import shutil
import sys
import time
from itertools import product
from pathlib import Path

import pytest

from tests.drills.counts import count
from tests.drills.kills import begins, content, end, finish, start
from tests.race_runs import write_pool, write_scored, write_selected
from tests.tools import ROOT

_RULES, _SEEDS = 6, 8
COMMANDS = {
    "check": ["check", "a.jsonl", "--against", "bench.txt"],
    "select": ["select", "a.jsonl", "--where", "line != 7 and length > 20", "--top", "5000", "--by", "length"],
    "compare": ["compare", "a.jsonl", "b.jsonl"],
    "falsify dose": ["falsify", "dose", "a.jsonl", "--dose", "0.25", "--false-column", "wrong"],
    "study analyze": ["study", "analyze", "scores.csv", "--against", "others.csv", "--in-source", "0"],
    "study race": ["study", "race", *(f"race/bench-{rule}-{seed}" for rule in range(_RULES) for seed in range(_SEEDS))],
}


def prepare(folder: Path, count: int) -> None:
    """Write `count` made-up rows, the same with every tenth gone and every third changed, a benchmark and scores."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from synthetic_rows import write
    finally:
        sys.path.pop(0)
    write(folder / "plain.jsonl", count, seed=1)
    with (
        (folder / "plain.jsonl").open() as rows,
        (folder / "a.jsonl").open("w") as a,
        (folder / "b.jsonl").open("w") as b,
    ):
        for number, line in enumerate(rows):
            row = json.loads(line)
            row |= {"length": len(row["output"]), "wrong": f"Not {row['output']}", "source": "xyz"[number % 3]}
            a.write(json.dumps(row) + "\n")
            if number == 5:
                (folder / "bench.txt").write_text(row["output"])
            if number % 3 == 0:
                row["output"] += " And more."
            if number % 10:
                b.write(json.dumps(row) + "\n")
    (folder / "plain.jsonl").unlink()
    draws = random.Random(count)
    for name in ("scores", "others"):
        with (folder / f"{name}.csv").open("w") as scores:
            scores.write("task,category,seed,0,0.2,0.4,0.6,0.8,1\n")
            for task, seed in product(range(count // 40), range(3)):
                scores.write(f"{task},{task % 6},{seed}," + ",".join(f"{draws.random():.4f}" for _ in range(6)) + "\n")
    write_race(folder / "race", draws, count // 100)


def write_race(folder: Path, draws: random.Random, n_tasks: int) -> None:
    """Write the runs of a race: rows that several rules chose from rows of which half are false, and many scores."""
    ids = [f"{number:016x}" for number in range(100)]
    pool = write_pool(folder / "dose", ids, ids[:50])
    for rule, seed in product(range(_RULES), range(_SEEDS)):
        chosen = draws.sample(ids, 20)
        options = {"by": f"column{rule}" if rule else None}
        name = write_selected(folder / f"select-{rule}-{seed}", pool, ids, chosen, **options)
        scores = {f"task{task}": draws.random() for task in range(n_tasks)}
        write_scored(folder / f"bench-{rule}-{seed}", f"{name}/rows.jsonl", seed, scores)


def drill(verb: str, folder: Path, rows: int, kills: int, seed: int) -> None:
    """Kill at least `kills` times, each in an empty place and gone on with to the end, against an undisturbed run.

    Kills go on, up to ten times as many, until a quarter of `kills` has met a run that was still at work.
    """
    rng = random.Random(seed)
    prepare(folder, rows)
    finish(COMMANDS[verb], folder)
    expected = content(folder)
    assert any(name.endswith(".parquet") for name in expected)
    shutil.rmtree(folder / "runs")
    process = start(COMMANDS[verb], folder)
    begun = begins(folder)
    process.communicate()
    seconds = time.monotonic() - begun
    landed = 0
    for number in range(10 * kills):
        if number >= kills and landed >= kills / 4:
            break
        shutil.rmtree(folder / "runs")
        process = start(COMMANDS[verb], folder)
        begins(folder)
        time.sleep(rng.uniform(0, 0.8) * seconds)
        landed += process.poll() is None and not list(folder.glob("runs/*/run.json"))
        end(process, group=number % 2 == 1)  # the whole group, and the main process alone, by turns
        finish(COMMANDS[verb], folder)
        found = content(folder)
        assert found.keys() == expected.keys()
        assert not [name for name in found if name.endswith(".part") or ".work-" in name]
        assert found == expected
    count(verb, "SIGKILL", number, number, "every file", f"{landed} met it at work")
    assert landed >= kills / 4, f"only {landed} of {10 * kills} kills met a run that was still at work"


@pytest.mark.parametrize("verb", COMMANDS)
def test_killed_twice(tmp_path, verb):
    drill(verb, tmp_path, rows=1_000 if verb in ("compare", "study analyze") else 4_000, kills=2, seed=0)


@pytest.mark.drill
@pytest.mark.parametrize("verb", COMMANDS)
def test_killed_fifty_times(tmp_path, verb):
    """40,000 rows are two chunks, so `check` has two workers."""
    drill(verb, tmp_path, rows=8_000, kills=50, seed=1)
