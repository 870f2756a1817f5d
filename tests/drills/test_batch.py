"""SIGKILL while batches are written and read: every reply in the files is kept, and the rows are the same."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import time
from pathlib import Path

import pytest

pytest.importorskip("openai")

from tests import warm
from tests.drills.kills import end
from tests.oracle.server import completion
from tests.tools import ROOT, alpaca, read_rows, write_rows
from tunescope.errors import WorkError
from tunescope.verbs import in_python

SETTINGS = {
    "rows": "rows.jsonl",
    "oracle": "http://127.0.0.1:9/v1",
    "served_model": "big",
    "response_format": "json",
    "batch": "batch.jsonl",
    "out": "run",
}
CODE = f"""
import sys
from tunescope.verbs import in_python
in_python("repair reflect")(**{SETTINGS}, batch_replies=sys.argv[1:])
"""


def start(folder: Path, *replies: str) -> subprocess.Popen[bytes]:
    return warm.start(
        ["-c", CODE, *replies],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def answered(folder: Path, name: str) -> None:
    """Answer the batch that is there as a service does."""
    replies = []
    for line in read_rows(folder / "batch.jsonl"):
        names = line["body"]["response_format"]["json_schema"]["schema"]["required"]
        said = json.dumps({part: f"{part} of {line['custom_id'][:4]}" for part in names})
        body = completion(said)
        replies.append({"custom_id": line["custom_id"], "response": {"status_code": 200, "body": body}, "error": None})
    write_rows(folder / name, replies)


def go_on(folder: Path, *replies: str) -> bool:
    """Run undisturbed; tell whether it is done."""
    try:
        with contextlib.chdir(folder):
            in_python("repair reflect")(**SETTINGS, batch_replies=replies)
    except WorkError:
        return False
    return True


def whole(folder: Path, rng: random.Random | None) -> list[object]:
    """Go through both stages, killed on the way to each where there is `rng`; return batches and rows."""
    write_rows(folder / "rows.jsonl", [alpaca(f"Question {i}?", "Some words") for i in range(200)])
    found: list[object] = []
    for stage, replies in enumerate(([], ["0.jsonl"], ["1.jsonl"])):
        if rng is not None:
            process = start(folder, *replies)
            time.sleep(rng.uniform(0.5, 1.5))
            end(process)
        assert go_on(folder, *replies) == (stage == 2)
        if stage < 2:
            answered(folder, f"{stage}.jsonl")
            found.append(sorted(read_rows(folder / "batch.jsonl"), key=lambda line: line["custom_id"]))
    assert not list(folder.glob(".*.part"))
    return [*found, read_rows(folder / "run" / "rows.jsonl")]


def test_killed_between_batches(tmp_path):
    (tmp_path / "calm").mkdir()
    (tmp_path / "killed").mkdir()
    calm = whole(tmp_path / "calm", None)
    assert len(calm[2]) == 200
    assert calm[2][0]["output"].startswith("new_response of")
    assert whole(tmp_path / "killed", random.Random(0)) == calm
