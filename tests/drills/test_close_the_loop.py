"""SIGKILL at random moments of the recipe close-the-loop on the microworld: the same rows and verdicts in the end."""

from __future__ import annotations

import shutil

import pytest

pytest.importorskip("torch")
from tests.drills.kills import drill_study
from tests.test_close_the_loop import DATA, MICROWORLD


@pytest.mark.drill
def test_the_loop_killed(tmp_path):
    shutil.copy(DATA / "microworld-rows.jsonl", tmp_path / "rows.jsonl")
    shutil.copy(DATA / "microworld-claims.jsonl", tmp_path / "claims.jsonl")
    replaced = ["rows=rows.jsonl", "claims=claims.jsonl", *MICROWORLD[2:]]
    command = ["study", "run", "close-the-loop", *(word for each in replaced for word in ("--set", each))]
    drill_study(command, tmp_path, kills=4, seed=0)
