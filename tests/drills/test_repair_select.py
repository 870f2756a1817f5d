"""SIGKILL while a student decides: the same rows and scores in the end, and neither replies nor scores are lost."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import time

import pytest

pytest.importorskip("openai")
pytest.importorskip("torch")

from tests import warm
from tests.drills.counts import count
from tests.drills.kills import end
from tests.oracle.server import Said, completion, serving
from tests.tools import ROOT, alpaca, write_rows
from tunescope.microworld.model import save_random_model

CALLS = 4
WORDS = ["cat", "dog", "red", "blue", "baker", "the", "a", "works", "as", "in", "which", "pet", "why", "yes"]
CODE = """
import sys
from tunescope.verbs import in_python
url, model = sys.argv[1:]
whom = {"oracle": url, "response_format": "tags", "concurrency": 4}
in_python("repair reflect")(rows="rows.jsonl", select=True, model=model, out="runs/repair", **whom)
"""


def behave(body, call):
    """Rewrite in words that differ from row to row, so that some scores rise and some fall; always alike."""
    prompt = body["messages"][-1]["content"]
    number = int(prompt.partition("Question ")[2].partition("?")[0])
    rng = random.Random(f"{number} {'new_instruction' in prompt}")
    instruction, response = (" ".join(rng.choices(WORDS, k=rng.randint(1, most))) for most in (9, 60))
    pair = (
        f"<new_instruction>\n{instruction} Question {number}?\n</new_instruction>\n"
        if "new_instruction" in prompt
        else ""
    )
    return Said(completion(f"{pair}<new_response>\n{response}\n</new_response>"), after=0.03)


def start(folder, server, model):
    return warm.start(
        ["-c", CODE, server.url, model],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "TUNESCOPE_RUNS": "runs"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )


def finish(folder, server, model):
    process = start(folder, server, model)
    talk = process.communicate(timeout=600)[1]
    assert process.returncode == 0, talk


def content(folder):
    """Return the rows, their lineage and tables as bytes, and the result."""
    run = folder / "runs/repair"
    files = {path.name: path.read_bytes() for path in run.iterdir() if path.suffix in (".parquet", ".jsonl")}
    return files | {"result": json.loads((run / "run.json").read_bytes())["result"]}


def decisions(folder):
    """Return how many decisions an unfinished run has kept."""
    files = (folder / "runs/repair").glob(".work-*/decisions.jsonl")
    return sum(path.read_bytes().count(b"\n") for path in files)


def drill(folder, n, kills, seed):
    rng = random.Random(seed)
    model = str(save_random_model(folder / "tiny", seed=0))
    calm = folder / "calm"
    calm.mkdir()
    write_rows(calm / "rows.jsonl", [alpaca(f"Question {i}?", "A red cat, " * (1 + i % 4)) for i in range(n)])
    with serving(behave) as server:
        finish(calm, server, model)
        expected = content(calm)
        due, landed, again = sum(server.calls.values()), 0, 0
        assert due == 2 * n
        for stage in ("instruction", "response"):
            counts = expected["result"][f"{stage}_selection"]
            assert counts["kept"] + counts["rejected"] == counts["proposed"] == n
            assert min(counts["kept"], counts["rejected"]) > 0
        while landed < kills:
            killed = folder / "killed"
            shutil.copytree(calm, killed, ignore=shutil.ignore_patterns("runs"))
            server.calls.clear()
            here = 0
            while landed + here < kills and not (killed / "runs/repair/run.json").exists():
                more = decisions(killed) + rng.randint(1, n // 2)
                process = start(killed, server, model)
                while process.poll() is None and decisions(killed) < more:
                    time.sleep(0.002)
                time.sleep(rng.uniform(0, 0.04))
                here += process.poll() is None
                end(process)
            finish(killed, server, model)
            assert content(killed) == expected
            more = sum(server.calls.values()) - due
            assert 0 <= more <= CALLS * here, f"{more} calls were made again after {here} kills"
            again += more
            landed += here
            shutil.rmtree(killed)
    note = f"{again} calls made twice"
    count("repair reflect --select", "SIGKILL", landed, landed, "rows, scores and decisions", note)


def test_killed_while_the_student_decides(tmp_path):
    drill(tmp_path, n=24, kills=1, seed=0)


@pytest.mark.drill
def test_killed_many_times_while_the_student_decides(tmp_path):
    drill(tmp_path, n=120, kills=50, seed=1)
