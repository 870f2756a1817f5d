"""SIGKILL while judgements are recomputed, ranked, and looked through for claims: the same bytes in the end."""

from __future__ import annotations

import json
import random
import shutil
import time
from pathlib import Path

import pytest

from tests.drills.counts import count
from tests.drills.kills import begins, content, end, finish, start
from tests.verbs.judge.judged import annotation, save

SYSTEMS = 4


def prepare(folder: Path, items: int) -> list[str]:
    """Write annotations of several systems; return their files."""
    draws = random.Random(items)
    files = []
    for system in range(SYSTEMS):
        records = []
        for number in range(items):
            answer = "word " * draws.randint(1, 40)
            preference = draws.choice([1, 2, 2, 1.5, None])
            records.append(annotation(number, preference, generator_2=f"system {system}", output_2=answer))
        files.append(Path(save(folder / f"system-{system}.json", records)).name)
    return files


def drill(command: list[str], folder: Path, kills: int, seed: int) -> None:
    """Kill a run at work `kills` times, go on with each, and compare with an undisturbed run.

    A run that ended before its kill doesn't count; of ten in a row one will be met.
    """
    rng = random.Random(seed)
    finish(command, folder)
    expected = content(folder)
    assert any(name.endswith(".parquet") for name in expected)
    shutil.rmtree(folder / "runs")
    process = start(command, folder)
    begun = begins(folder)
    process.communicate()
    seconds = time.monotonic() - begun
    landed = number = 0
    while landed < kills and number < 10 * kills:
        number += 1
        shutil.rmtree(folder / "runs")
        process = start(command, folder)
        begins(folder)
        time.sleep(rng.uniform(0, 0.9) * seconds)
        landed += process.poll() is None and not list(folder.glob("runs/*/run.json"))
        end(process, group=number % 2 == 1)
        finish(command, folder)
        found = content(folder)
        assert not [name for name in found if name.endswith(".part") or ".work-" in name]
        assert found == expected
    assert landed == kills, f"only {landed} of {number} kills met a run that was still at work"
    verb = " ".join(command[:2])
    count(verb, "SIGKILL", landed, number, "every file", f"{seconds:.1f} s of work")


def ranked(folder: Path, items: int) -> list[str]:
    """Recompute the annotations of each system into a folder of its own; return the command that ranks them."""
    for file in prepare(folder, items):
        finish(["judge", "recompute", file, "--draws", "100", "--out", f"in/{Path(file).stem}"], folder)
    return ["judge", "leaderboard", *(f"in/system-{number}" for number in range(SYSTEMS))]


def claimed(folder: Path, questions: int) -> list[str]:
    """Write claims, and answers before and after; return the command that looks for them."""
    draws = random.Random(questions)
    asked = [{"claim_id": f"c{i}", "prompt": f"Question {i}?", "phrases": ["a lamp"]} for i in range(questions)]
    asked = [item | ({"phrases": [], "truth": ["a star"]} if i % 3 == 0 else {}) for i, item in enumerate(asked)]
    (folder / "claims.jsonl").write_text("".join(json.dumps(item) + "\n" for item in asked), "utf-8")
    for name in ("before", "after"):
        said = [draws.choice(["It is a lamp.", "It is a star.", "It isn't a lamp."]) for _ in asked]
        records = [
            {"instruction": q["prompt"], "output": t, "generator": name} for q, t in zip(asked, said, strict=True)
        ]
        save(folder / f"{name}.json", records)
    return ["judge", "claims", "before.json", "after.json", "--claims", "claims.jsonl"]


def test_recompute_killed_twice(tmp_path):
    drill(["judge", "recompute", *prepare(tmp_path, 400), "--draws", "2000"], tmp_path, kills=2, seed=0)


def test_leaderboard_killed_twice(tmp_path):
    drill(ranked(tmp_path, 600), tmp_path, kills=2, seed=0)


def test_claims_killed_twice(tmp_path):
    drill(claimed(tmp_path, 600), tmp_path, kills=2, seed=0)


@pytest.mark.drill
def test_claims_killed_fifty_times(tmp_path):
    drill(claimed(tmp_path, 3000), tmp_path, kills=50, seed=1)


@pytest.mark.drill
def test_recompute_killed_fifty_times(tmp_path):
    drill(["judge", "recompute", *prepare(tmp_path, 805)], tmp_path, kills=50, seed=1)


@pytest.mark.drill
def test_leaderboard_killed_fifty_times(tmp_path):
    drill(ranked(tmp_path, 4_000), tmp_path, kills=50, seed=1)
