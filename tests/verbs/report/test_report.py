"""The page of answers: every turn of every prompt has its place."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from tests.tools import write_rows

from tunescope.microworld.model import save_random_model
from tunescope.verbs.answer import AnswerSettings, answer
from tunescope.verbs.report import ReportSettings, report


def test_later_turns_and_samples_stand_by_themselves(workplace):
    model = save_random_model(workplace / "tiny", seed=0)
    write_rows(workplace / "q.jsonl", [{"question_id": 81, "category": "x", "turns": ["Which pet?", "And why?"]}])
    run = answer(AnswerSettings(prompts="q.jsonl", model=str(model), max_new_tokens=3, temperature=1.0, n=2))
    page = (report(ReportSettings(runs=(str(run.path),))).path / "report.html").read_text("utf-8")
    for name in ("81", "81 sample 2", "81 turn 2", "81 turn 2 sample 2"):
        assert page.count(f'<article id="answer-{name.replace(" ", "%20")}">') == 1
    assert page.count("And why?") == 2
