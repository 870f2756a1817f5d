"""Means over tasks: which tasks count, per category, and without those whose source was also tuned on."""

from __future__ import annotations

import csv

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.stats
from tests.tools import ROOT
from tests.verbs.analyze.made_runs import benched, falsified, tuned
from tests.verbs.report.svg import n_lines, pictures

from tunescope.errors import SettingsError
from tunescope.verbs.analyze import AnalyzeSettings, analyze
from tunescope.verbs.report import ReportSettings, report

TABLE = ROOT / "docs" / "faco-table1-llama1.csv"
DOSES = (0, 25, 50, 75, 100)


def test_the_papers_average_and_without_the_tasks_in_source(tmp_path):
    """The printed average is the mean of the sixteen printed scores, which were printed whole at 0 %."""
    rows = {row["task"]: row for row in csv.DictReader(TABLE.read_text("utf-8").splitlines())}
    score = {task: [float(row[f"CR {dose}%"].rstrip("%")) for dose in DOSES] for task, row in rows.items()}
    sourced = ("OpenbookQA", "WinoGrande")
    settings = {"table": str(TABLE), "in_source": sourced, "leave_out": ("HumanEval@10",), "out": str(tmp_path / "run")}
    run = analyze(AnalyzeSettings(**settings))
    result = run.result["means"]
    sixteen = [task for task in score if task not in ("Average", "HumanEval@10")]
    assert result["groups"]["all"]["tasks"] == sixteen
    assert (result["in_source"], result["left_out"]) == ([*sourced], ["Average", "HumanEval@10"])
    for name, tasks in (
        ("all", sixteen),
        ("not in source", [task for task in sixteen if task not in sourced]),
        ("in source", [*sourced]),
    ):
        means = np.mean([score[task] for task in tasks], axis=0)
        record = result["groups"][name]
        assert [cell["mean"] for cell in record["scores"]] == pytest.approx(means)
        assert record["abs"] == pytest.approx(means[0] - means[-1])
        assert record["slope"] == pytest.approx(scipy.stats.linregress([d / 100 for d in DOSES], means).slope)
    assert [cell["mean"] for cell in result["groups"]["all"]["scores"]] == pytest.approx(score["Average"], abs=0.05)
    assert "without OpenbookQA and WinoGrande, whose sources were also tuned on, it loses" in " ".join(
        run.view.sentences
    )


def test_categories_and_a_missing_score(workplace):
    text = "task,category,0,50,100\na,words,9,8,4\nb,words,7,,5\nc,facts,3,2,1\n"
    (workplace / "t.csv").write_text(text)
    run = analyze(AnalyzeSettings(table="t.csv"))
    groups = run.result["means"]["groups"]
    assert {name: record["tasks"] for name, record in groups.items()} == {
        "all": ["a", "b", "c"], "words": ["a", "b"], "facts": ["c"],
    }  # fmt: skip
    page = (report(ReportSettings(runs=(str(run.path),))).path / "report.html").read_text("utf-8")
    assert "<h3>Means over tasks</h3>" in page
    assert n_lines(pictures(page)["mean over tasks, score by dose of falsity, %: all, words, facts"]) == 3
    assert [cell["mean"] for cell in groups["words"]["scores"]] == [8.0, None, 4.5]
    assert (groups["words"]["n_missing"], groups["words"]["abs"]) == (1, 3.5)


def test_of_runs_the_categories_are_benchs_and_the_sources_those_of_the_rows(workplace):
    runs = []
    for dose in (0.0, 1.0):
        rows = falsified(dose)
        pq.write_table(pa.table({"source": ["OpenBookQA", "qasc"]}), f"runs/falsify-{dose}-0/dosed.parquet")
        right = {"openbookqa": [True, dose == 0], "copa": [True, True]}
        runs.append(benched(f"b{dose}", tuned(f"t{dose}", "m", rows), right, category="commonsense reasoning"))
    result = analyze(AnalyzeSettings(from_=tuple(str(run.path) for run in runs))).result["means"]
    assert [*result["groups"]] == ["all", "not in source", "in source", "commonsense reasoning"]
    assert (result["in_source"], result["groups"]["in source"]["abs"]) == (["openbookqa"], 0.5)


@pytest.mark.parametrize("option", ["leave_out", "in_source"])
def test_a_task_that_is_not_there(workplace, option):
    (workplace / "t.csv").write_text("task,0,1\nOpenbookQA,9,8\nb,7,5\n")
    with pytest.raises(SettingsError, match=r"OpenBookQA: no task of that name is scored; name one of OpenbookQA"):
        analyze(AnalyzeSettings(table="t.csv", **{option: ("OpenBookQA",)}))
    assert not list(workplace.glob("runs/*"))


def test_one_task_has_no_mean(workplace):
    (workplace / "t.csv").write_text("task,0,1\na,9,8\nAverage,7,5\n")
    assert "means" not in analyze(AnalyzeSettings(table="t.csv")).result


def test_a_mean_that_rises_is_a_gain_and_one_that_stays_is_zero(tmp_path):
    table = tmp_path / "scores.csv"
    table.write_text("task,0,0.5,1\na,0.3,0.3,0.34\nb,0.6,0.6,0.56\n")  # 0.9 / 2 twice, which floats miss by 1e-16
    run = analyze(AnalyzeSettings(table=str(table), out=str(tmp_path / "run")))
    assert run.result["means"]["groups"]["all"]["abs"] == 0
    assert "The mean over 2 tasks loses 0.000 from 0 to 100 %." in run.view.sentences
    table.write_text("task,0,0.5,1\na,0.3,0.3,0.34\nb,0.6,0.6,0.58\n")
    run = analyze(AnalyzeSettings(table=str(table), out=str(tmp_path / "other")))
    assert "The mean over 2 tasks gains 0.010 from 0 to 100 %." in run.view.sentences
