"""SIGKILL while agreement is computed and marks are exported: the same bytes in the end."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.annotations.studies import item, mark, write_items, write_marks
from tests.drills.test_judgement_runs import drill


def of_spans(folder: Path, items: int) -> list[str]:
    """Write a study of spans in long answers; return its files as arguments."""
    rng = random.Random(items)
    texts = [" ".join(rng.choice(("moon", "cheese", "round")) for _ in range(120)) for _ in range(items)]
    marks = []
    for number, text in enumerate(texts):
        for person in ("ann", "bob", "cy"):
            start = rng.randrange(len(text) - 60)
            value = {"answer_id": f"a{number}-tuned", "start": start, "end": start + rng.randint(5, 50)}
            marks.append(mark(f"item{number}", person, "spans", {**value, "category": rng.choice("XY")}))
    return save(folder, [item(number, "spans", [text]) for number, text in enumerate(texts)], marks)


def save(folder, items, marks) -> list[str]:
    """Write a study's files into a folder; return their names as arguments."""
    files = write_marks(folder / "marks.jsonl", marks), write_items(folder / "items.jsonl", items)
    return [Path(files[0]).name, "--items", Path(files[1]).name]


def test_agreement_killed_twice(tmp_path):
    drill(["annotate", "agreement", *of_spans(tmp_path, 400)], tmp_path, kills=2, seed=0)


def test_export_killed_twice(tmp_path):
    command = ["annotate", "export", *of_spans(tmp_path, 400), "--format", "label-studio"]
    drill(command, tmp_path, kills=2, seed=0)


@pytest.mark.drill
def test_agreement_killed_fifty_times(tmp_path):
    drill(["annotate", "agreement", *of_spans(tmp_path, 2_000)], tmp_path, kills=50, seed=1)


@pytest.mark.drill
def test_export_killed_fifty_times(tmp_path):
    command = ["annotate", "export", *of_spans(tmp_path, 2_000), "--format", "potato"]
    drill(command, tmp_path, kills=50, seed=1)
