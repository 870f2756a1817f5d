"""SIGKILL while answers are judged: the same verdicts in the end, and no reply that was kept is bought again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai")

from tests.drills.test_repair import MISBEHAVIOUR, content, drill, finish
from tests.oracle.server import Said, completion, serving
from tests.tools import read_rows, write_rows

CODE = """
import sys
from tunescope.verbs import in_python
verb, url, concurrency, settings = sys.argv[1:]
more = {
    "judge pairwise": {"control": True},
    "judge winrate": {"orders": "seeded", "response_format": "tags"},
    "judge aspects": {"aspects": ["depth", "clarity"]},
}
files = ["one.jsonl", "two.jsonl"] if verb == "judge winrate" else ["one.jsonl", "two.jsonl", "base.jsonl"]
known = {"reference": "base.jsonl"} if verb == "judge winrate" else {}
in_python(verb)(
    answers=files, oracle=url, concurrency=int(concurrency), draws=200, out="runs/judge", **more[verb], **known
)
"""
MARK = re.compile(r"(\w{8})(?=: CHOICE)")


def write(folder: Path, n: int) -> None:
    """Write the answers of three systems; some are equal, one is empty."""
    for name in ("one", "two", "base"):
        texts = [f"{name} says {i}, " * (1 + (i + len(name)) % 3) for i in range(n)]
        texts[1] = "The same in all."
        texts[2] = texts[2] if name == "base" else ""
        records = [{"instruction": f"Question {i}?", "output": t, "generator": name} for i, t in enumerate(texts)]
        write_rows(folder / f"{name}.jsonl", records)


def behave(body: dict[str, Any], call: int) -> Said:
    """Judge by what the prompt asks for, or say something that can't be read; the same for the same prompt."""
    prompt = body["messages"][-1]["content"]
    if "ripe tomato" in prompt:
        return Said(completion('{"name": "red", "letters": 3}'))
    number = int(prompt.partition("Question ")[2].partition("?")[0])
    first = prompt.partition("answer 1")[2].partition("===\n")[2][:3]
    if number % 9 == 8:
        return Said(completion(("I'm sorry, I can't do that.", "8 or 9", "")[number % 3]), after=0.03)
    if "score_1" in prompt:
        said = json.dumps({"score_1": 3 + number % 7, "score_2": 4 + number % 5 + (first == "one"), "reason": "So."})
    elif "depth_score" in prompt:
        said = json.dumps({"depth_score": str(1 + number % 5), "depth_reason": "Well.", "clarity_score": "N/A"})
    else:
        said = f"As I see it:\n{MARK.findall(prompt)[-1]}: {(1, 2, 'tie')[number % 3]}"
    return Said(completion(said), after=0.03)


def faulty(body: dict[str, Any], call: int) -> Said:
    """Go wrong in a third of the first calls, differently each time."""
    number = int(body["messages"][-1]["content"].partition("Question ")[2].partition("?")[0] or 1)
    if call == 1 and number % 3 == 0:
        return MISBEHAVIOUR[number // 3 % len(MISBEHAVIOUR)]
    return behave(body, call)


@pytest.mark.parametrize(("verb", "n"), [("judge pairwise", 12), ("judge winrate", 24), ("judge aspects", 16)])
def test_killed_three_times(tmp_path, verb, n):
    with serving(behave) as server:
        drill(verb, tmp_path, n, 3, 0, server, CODE, write)
    info = json.loads((tmp_path / "calm/runs/judge/run.json").read_text("utf-8"))["result"]
    assert info["replies"]["ok"] > 2 * info["replies"]["no_verdict"] > 0
    assert info["replies"]["failed"] == 0


def test_faults_change_nothing(tmp_path):
    """A server that misbehaves gives the same judgements and tables as one that doesn't."""
    found = []
    for how in (behave, faulty):
        folder = tmp_path / how.__name__
        folder.mkdir()
        write(folder, 20)
        with serving(how) as server:
            finish("judge pairwise", folder, server, CODE)
        files = content(folder)
        del files["run.json"]  # it names the server's port
        found.append({Path(name).name: data for name, data in files.items()})
        lines = read_rows(folder / "runs/judge/judgements.jsonl")
        assert len(lines) == 3 * 20
    assert set(found[0]) == {".lock", "comparisons.parquet", "items.parquet", "judgements.jsonl"}
    assert found[0] == found[1]


@pytest.mark.drill
@pytest.mark.parametrize(
    ("verb", "n", "kills"), [("judge pairwise", 80, 60), ("judge winrate", 150, 50), ("judge aspects", 100, 50)]
)
def test_killed_many_times(tmp_path, verb, n, kills):
    with serving(behave) as server:
        drill(verb, tmp_path, n, kills, 1, server, CODE, write)
