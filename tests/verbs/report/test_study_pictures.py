"""Pictures of studies: the differences stand where the result has them."""

from __future__ import annotations

from types import SimpleNamespace

from tests.verbs.report.svg import pictures

from tunescope.verbs.report.study_pictures import study_picture


def estimate(mean, low=None, high=None):
    return {"mean": mean, "low": low, "high": high}


def test_a_race_is_drawn_by_its_mean_over_tasks_or_its_only_task():
    rules = [
        {"rule": "by length", "differences": {"mean": estimate(0.1, 0.05, 0.15), "open": estimate(0.3)}},
        {"rule": "by IFD", "differences": {"open": estimate(-0.2, -0.3, -0.1)}},
        {"rule": "random", "differences": {}},
    ]
    page = study_picture(SimpleNamespace(verb="study race", result={"rules": rules}))
    (said,) = pictures(page)
    assert said == "score less that of random rows: by length, by IFD"


def test_a_match_is_drawn_task_by_task():
    tasks = {"open": {"difference": estimate(-0.01, -0.02, 0.01)}, "shown": {"difference": estimate(None)}}
    page = study_picture(SimpleNamespace(verb="study match", result={"tasks": tasks}))
    (said,) = pictures(page)
    assert said == "score of full tuning less that of LoRA, at equal loss: open"
    assert study_picture(SimpleNamespace(verb="select", result={})) == ""
