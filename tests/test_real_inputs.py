"""Small inputs of the kinds that people have, through the verbs that fit them, each with its right answer.

The files lie beside the real data and aren't committed; what each of them shows is a test of its room too.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.tools import ROOT, read_rows, tunescope, write_rows

Answer = dict[str, Any]


def cases() -> Path | None:
    """Return the folder of the inputs, if it is at hand."""
    data = Path(os.environ.get("TUNESCOPE_TEST_DATA") or ROOT.parent / "shared/data")
    folder = data.parent / "cases"
    return folder if folder.is_dir() else None


def said(folder: Path, *command: str) -> Answer:
    """Run a command on the inputs; return its result."""
    done = tunescope(*command, "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    result: Answer = json.loads(done.stdout)
    return result


def faults(folder: Path, name: str) -> Answer:
    """Check a file; return its number of rows and the faults that it has."""
    result = said(folder, "check", name)
    return {"rows": result["rows"]} | {fault: count for fault, count in result["faults"].items() if count}


CHECKED: dict[str, Answer] = {
    "same-question-other-call.jsonl": {"rows": 3, "conflicting_answers": 3},
    "tool-arguments.jsonl": {"rows": 2},
    "tool-arguments-arrow.parquet": {"rows": 2},
    "excel.csv": {"rows": 2},
    "rows.tsv": {"rows": 2, "one_word_answer": 1},
    "under-a-key.json": {"rows": 2, "one_word_answer": 1},
    "one-object.json": {"rows": 1, "empty_answer": 1},
    "text-under-value.jsonl": {"rows": 1},
    "nfc-nfd.json": {"rows": 2, "near_duplicate": 1},
    "hindi-words.json": {"rows": 1},
    "preference-bare.jsonl": {"rows": 1},
    "preference-conversations.json": {"rows": 2},
    "images-in-a-column.jsonl": {"rows": 3},
    "thai.json": {"rows": 4, "near_duplicate": 1, "conflicting_answers": 4},
    "other-role-names.jsonl": {"rows": 5, "wrong_roles": 1, "conflicting_answers": 4},
}
"""By file: its rows, and the rows that have each fault."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a copy of every input."""
    folder = cases()
    if folder is None:
        pytest.skip("the inputs aren't here: a folder `cases` beside the real data")
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.parametrize("name", CHECKED)
def test_check(place: Path, name: str) -> None:
    assert faults(place, name) == CHECKED[name]


def test_parquet_gives_the_rows_of_json_lines(place: Path) -> None:
    result = said(place, "compare", "tool-arguments.jsonl", "tool-arguments-arrow.parquet")
    assert (result["same"], result["changed"], result["added"], result["removed"]) == (2, 0, 0, 0)


@pytest.mark.model
@pytest.mark.parametrize("name", ["loss-mask.jsonl", "loss-trainable.jsonl"])
def test_a_turn_that_is_flagged_is_not_trained(place: Path, name: str) -> None:
    records = read_rows(place / name)
    for message in records[0]["messages"]:
        message.pop("loss_mask", None), message.pop("trainable", None)
    write_rows(place / "whole.jsonl", records)
    options = ("--model", "microworld", "--max-steps", "1", "--epochs", "1")
    first, both = (
        said(place, "tune", file, *options, "--out", f"tuned-{Path(file).stem}") for file in (name, "whole.jsonl")
    )
    assert 0 < first["tokens"] < both["tokens"]


@pytest.mark.parametrize("fault", ["refusal", "leaked_preamble"])
def test_what_a_model_said_before_it_answered(place: Path, fault: str) -> None:
    name = {"refusal": "refusals.jsonl", "leaked_preamble": "rewriting-markers.jsonl"}[fault]
    said(place, "check", name, "--out", "checked")
    records = read_rows(place / name)
    expected = [record.get("expected", fault) == fault for record in records]
    table = pq.read_table(place / "checked" / "rows.parquet")
    assert table[fault].to_pylist() == expected


def test_records_on_one_line_are_records(place: Path) -> None:
    records = json.loads((place / "dup-one-line.json").read_text("utf-8"))
    (place / "indented.json").write_text(json.dumps(records, indent=1), "utf-8")
    results = [said(place, "judge", "recompute", name) for name in ("dup-one-line.json", "indented.json")]
    assert results[0]["items"] == results[1]["items"]


@pytest.mark.model
@pytest.mark.parametrize("name", ["prompts.txt", "prompts-without-id.jsonl"])
def test_prompts_without_ids(place: Path, name: str) -> None:
    result = said(place, "answer", name, "--model", "microworld", "--max-new-tokens", "2")
    assert result["n"] == {"prompts.txt": 2, "prompts-without-id.jsonl": 1}[name]


def test_answers_without_a_generator_are_answers(place: Path) -> None:
    shutil.copy(ROOT / "recipes/lora-and-full/rows.json", place / "demo.json")
    result = said(place, "trace", "demo.json", "--answers", "answers-without-generator.json")
    assert (result["n"], result["n_missing"]) == (2, 0)
