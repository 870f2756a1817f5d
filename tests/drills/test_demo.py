"""SIGKILL at random moments of a whole study: the same result in the end."""

from __future__ import annotations

import json

import pytest

from tests.drills.kills import drill_study
from tests.test_thread import ROOT, write_recipe


def test_thread_killed_twice(tmp_path):
    write_recipe(tmp_path)
    recipe = (tmp_path / "thread.yaml").read_text("utf-8").replace(f"{tmp_path}/", "")
    (tmp_path / "thread.yaml").write_text(recipe, "utf-8")
    drill_study(["study", "run", "thread.yaml"], tmp_path, kills=2, seed=0)


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
    drill_study(
        ["study", "run", "demo", "--set", "rows=rows.json", "--set", "claims=claims.jsonl"], tmp_path, 20, seed=0
    )
