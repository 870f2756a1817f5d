"""The page of answers: every turn of every prompt has its place."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from pathlib import Path

from tests.tools import write_rows
from tests.verbs.report.xray_scene import data_of

from tunescope.microworld.model import save_random_model
from tunescope.verbs.answer import AnswerSettings, answer
from tunescope.verbs.report import ReportSettings, report


def test_later_turns_and_samples_stand_by_themselves(workplace):
    model = save_random_model(workplace / "tiny", seed=0)
    write_rows(workplace / "q.jsonl", [{"question_id": 81, "category": "x", "turns": ["Which pet?", "And why?"]}])
    run = answer(AnswerSettings(prompts="q.jsonl", model=str(model), max_new_tokens=3, temperature=1.0, n=2))
    made = report(ReportSettings(runs=(str(run.path),)))
    prompts = data_of(Path(made.result["report"]))["prompts"]
    assert [prompt["called"] for prompt in prompts] == ["81", "81 turn 2", "81 sample 2", "81 turn 2 sample 2"]
    assert sum("And why?" in prompt["prompt"] for prompt in prompts) == 2
