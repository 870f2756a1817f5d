"""What judges call systems: how their models were tuned, where runs say it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tools import write_rows
from tests.verbs.judge.contests import outputs

from tunescope.runs import Outcome, execute
from tunescope.verbs.answer import AnswerSettings
from tunescope.verbs.judge.judging import open_systems
from tunescope.verbs.tune.settings import TuneSettings
from tunescope.views import View

ASKED = {"prompt_id": "0", "prompt": "Why?", "text": "So."}


def answered(model: str) -> str:
    """Write a run of `answer` by a model; return its folder."""

    def write(run):
        write_rows(run.path / "answers.jsonl", [{**ASKED, "model": model}])
        return Outcome({}, View(()))

    return str(execute("answer", 1, AnswerSettings(prompts="p.jsonl", model=model), {"model": model}, write).path)


def tuned(method: str, rows: str, **more) -> str:
    """Write a run of `tune`; return its model's folder."""

    def write(run):
        (run.path / "model").mkdir()
        return Outcome({}, View(()))

    settings = TuneSettings(rows=(rows,), model="some/base-hf", method=method, **more)
    return str(execute("tune", 1, settings, {"rows": rows}, write).path / "model")


def names(*paths: str) -> list[str]:
    return [system.name for system in open_systems(paths, ())[0]]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNESCOPE_RUNS", "runs")
    return tmp_path


def test_tuned_models_go_by_what_tells_them_apart(place):
    lora = [answered(tuned("lora", rows)) for rows in ("plain.jsonl", "short.jsonl")]
    full, noisy = answered(tuned("full", "plain.jsonl")), answered(tuned("full", "plain.jsonl", neftune_alpha=5.0))
    others = outputs(place / "gpt.jsonl", "gpt-4", {"Why?": "So."})
    assert names(*lora, full, noisy, answered("some/base-hf"), others) == [
        "LoRA (rows plain.jsonl)",
        "LoRA (rows short.jsonl)",
        "full tuning",
        "full tuning with NEFTune",
        "some/base-hf",
        "gpt-4",
    ]
    assert names(f"{lora[0]}/answers.jsonl", others) == ["LoRA", "gpt-4"]
    assert [system.name for system in open_systems([full, others], ("ours", "theirs"))[0]] == ["ours", "theirs"]


def test_two_runs_of_one_model_also_go_by_their_folders(place):
    first = answered(tuned("full", "plain.jsonl"))
    again = str(place / "again")
    Path(first).rename(again)
    second = answered(str(Path(tuned("full", "plain.jsonl"))))
    assert names(again, second) == ["full tuning (again)", f"full tuning ({Path(second).name})"]
