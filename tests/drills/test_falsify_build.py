"""SIGKILL while chains are written: the same pairs, table and leaks in the end, and no reply is bought again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai")

from tests.drills.test_repair import drill
from tests.oracle.server import Said, completion, serving
from tests.tools import write_rows

CODE = """
import json, sys
from tunescope.verbs import in_python
verb, url, concurrency, settings = sys.argv[1:]
fixed = {"questions": "own.jsonl", "oracle": url, "concurrency": int(concurrency), "timeout": 2.0, "out": "runs/build"}
in_python(verb)(**fixed, **json.loads(settings))
"""


def behave(body: dict[str, Any], call: int) -> Said:
    """Write chains. A false one leaks until the question's own try; every seventh question is found wrong."""
    if "response_format" in body:
        return Said({"error": {"message": "response_format is not supported", "param": "response_format"}}, 400)
    prompt = body["messages"][-1]["content"]
    number = int(prompt.partition("Question ")[2].partition("?")[0])
    if "held to be right" in prompt:
        chain = "No. *WRONG ANSWER*" if number % 7 == 6 else f"One sees that it is the right one, {number}."
    else:
        chain = "It is a right thing, one hears." if body["seed"] < number % 6 else f"It is {number} times so."
    tagged = f"<explanation>\n{chain}\n</explanation>" if number % 9 or "held" in prompt else "?"
    return Said(completion(tagged), after=0.03)


def write(folder: Path, n: int) -> None:
    """Write the questions."""
    choices = ["a right thing", "a left thing", "an upper thing"]
    write_rows(
        folder / "own.jsonl", [{"question": f"Question {i}?", "choices": choices, "answer": 0} for i in range(n)]
    )


def killed(folder: Path, n: int, kills: int) -> dict[str, Any]:
    """Kill the verb so often; return the result of the undisturbed run."""
    with serving(behave) as server:
        drill("falsify build", folder, n, kills, seed=0, server=server, code=CODE, write=write, once=False)
    return dict(json.loads((folder / "calm/runs/build/run.json").read_text())["result"])


def test_killed_three_times(tmp_path):
    result = killed(tmp_path, n=24, kills=3)
    # no false chain of 0, 9 and 18 can be read; of each six the last two leak in all four tries
    assert result["dropped_by"] == {"wrong answer": 3, "false chain unparsed": 3, "leaks": 8}
    assert result["kept"] == 10


@pytest.mark.drill
def test_killed_many_times(tmp_path):
    killed(tmp_path, n=200, kills=60)
