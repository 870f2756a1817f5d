"""Pictures of studies: the differences stand where the result has them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from tests.verbs.report.svg import pictures

from tunescope.models.names import ModelNames
from tunescope.verbs.analyze import AnalyzeSettings, analyze
from tunescope.verbs.report.study_pictures import study_picture
from tunescope.verbs.report.tiles import tiles


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


@pytest.mark.parametrize(
    ("scores", "number", "label"),
    [
        ("a,0.547,0.312", "23.5", "points lost to falsity"),
        ("a,54.7%,31.2%", "23.5", "points lost to falsity"),
        ("a,54.7,31.2", "23.5", "of the score lost to falsity"),
    ],
)
def test_what_is_lost_is_in_the_scores_own_unit(workplace, scores, number, label):
    (workplace / "scores.csv").write_text(f"task,0%,100%\n{scores}\n", "utf-8")
    run = analyze(AnalyzeSettings(table="scores.csv"))
    (tile,) = tiles([run], ModelNames([run]), {})
    assert (tile.number, tile.label) == (number, label)
