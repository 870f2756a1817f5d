"""`study analyze`: the FACO paper's Table 1, the run folder, the family of tests, the command line."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from tests.tools import ROOT, tunescope
from tests.verbs.report.svg import n_lines, n_marks, pictures

from tunescope import runs
from tunescope.errors import SettingsError
from tunescope.verbs.analyze import AnalyzeSettings, analyze
from tunescope.verbs.report import ReportSettings, report

TABLES = {name: ROOT / "docs" / f"faco-table1-{name}.csv" for name in ("llama1", "llama2")}
ROWS = [
    pytest.param(name, row, id=f"{name}-{row['task']}")
    for name, path in TABLES.items()
    for row in csv.DictReader(path.read_text("utf-8").splitlines())
]


def share(text: str) -> float:
    return float(text.rstrip("%"))


@pytest.fixture(scope="module")
def analysed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("analysed")
    return {
        name: analyze(AnalyzeSettings(table=str(path), out=str(folder / name))).result for name, path in TABLES.items()
    }


@pytest.mark.parametrize(("name", "row"), ROWS)
def test_table_1_of_the_faco_paper(analysed, name, row):
    """The printed ABS within its rounding, the printed Pearson within 0.3 points, and numpy's exactly."""
    record = analysed[name]["tasks"][row["task"]]
    assert record["abs"] == pytest.approx(share(row["ABS"]), abs=0.011)
    scores = [share(row[f"CR {dose}%"]) for dose in (0, 25, 50, 75, 100)]
    assert record["pearson"] == pytest.approx(np.corrcoef([0, 25, 50, 75, 100], scores)[0, 1], abs=1e-12)
    if (name, row["task"]) == ("llama2", "LAMBADA"):  # the printed -25.88 doesn't follow from the printed scores
        assert 100 * record["pearson"] == pytest.approx(-24.90, abs=0.01)
    else:
        assert 100 * record["pearson"] == pytest.approx(share(row["Pearson"]), abs=0.3)


@pytest.mark.parametrize("name", TABLES)
def test_table_1_with_a_row_per_dose_gives_the_same_numbers(analysed, name, tmp_path):
    """The same file with its rows and columns swapped: what were unused columns are unused rows."""
    lines = [*csv.reader(TABLES[name].read_text("utf-8").splitlines())]
    swapped = [*zip(*lines, strict=True)]
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("model", *swapped[0][1:]), *swapped[1:]])
    result = analyze(AnalyzeSettings(table=str(tmp_path / "t.csv"), out=str(tmp_path / "run"))).result
    assert result["tasks"] == analysed[name]["tasks"]
    assert (result["unused_columns"], result["unused_rows"]) == ([], analysed[name]["unused_columns"])


def test_the_tables_are_whole():
    assert len(ROWS) == 18 + 17
    for path in TABLES.values():
        average, *tasks = csv.DictReader(path.read_text("utf-8").splitlines())
        for column in ("CR 0%", "CR 100%"):
            assert np.mean([share(row[column]) for row in tasks]) == pytest.approx(share(average[column]), abs=2.5)


def test_the_family(analysed):
    """With five doses no exact p is below 2/5!, so nothing among 17 tasks can be significant after Holm."""
    result = analysed["llama2"]
    assert result["family"] == {
        "method": "Holm", "tests": 17, "smallest_p": pytest.approx(2 / 120), "doses_needed": 6,
    }  # fmt: skip
    assert min(record["p_exact"] for record in result["tasks"].values()) == pytest.approx(2 / 120)
    assert min(record["p_holm"] for record in result["tasks"].values()) == pytest.approx(34 / 120)
    assert result["unused_columns"] == ["LLaMA 2", "ABS", "Pearson"]
    assert result["unit"] == "%"
    assert result["read_as"]["CR 25%"] == {"dose": 0.25, "as": "percent"}


SEEDED = "task,seed,0,0.5,1,retuned\na,0,9,7,4,8\na,1,8,6,5,8\na,2,9,5,4,7\nb,0,1,2,3,\nb,1,1,,3,\nb,2,2,2,3,\n"


@pytest.fixture
def seeded(workplace):
    (workplace / "t.csv").write_text(SEEDED)
    return analyze(AnalyzeSettings(table="t.csv"))


def test_the_run_folder(seeded):
    assert seeded.path.name == f"study-analyze-{seeded.key}"
    scores = seeded.tables["scores"].to_pylist()
    assert len(scores) == 24
    assert scores[3] == {"task": "a", "dose": 1.0, "seed": "0", "retuned": True, "score": 8.0}
    tasks = {row["task"]: row for row in seeded.tables["tasks"].to_pylist()}
    assert tasks["a"]["abs"] == pytest.approx(13 / 3)
    assert tasks["b"]["n_missing"] == 1
    assert tasks["b"]["recovered_share"] is None
    assert [table.title for table in seeded.view.tables] == [
        "Scores", "Dose–response", "Over seeds", "Clean re-tuning of the 100 % model", "Means over tasks",
    ]  # fmt: skip
    assert runs.open(seeded.path).result == seeded.result


def test_the_key_is_the_content(seeded, workplace):
    (workplace / "t.csv").rename(workplace / "other.csv")
    assert analyze(AnalyzeSettings(table="other.csv")).path == seeded.path
    (workplace / "other.csv").write_text(SEEDED.replace("9,7", "9,6"))
    assert analyze(AnalyzeSettings(table="other.csv")).path != seeded.path


def test_the_report_draws_it(seeded):
    page = (report(ReportSettings(runs=(str(seeded.path),))).path / "report.html").read_text("utf-8")
    drawn = [pictures(page)[f"{task} by dose of falsity, %: mean over seeds"] for task in ("a", "b")]
    assert [n_lines(each) for each in drawn] == [1, 1]
    assert sum(map(n_marks, drawn)) == 17 + 3  # 18 cells, one of them missing, and the re-tuned models
    assert "a: the score falls with the dose" in page


def test_the_report_opens_with_findings_not_with_columns(workplace):
    shutil.copy(TABLES["llama1"], "t.csv")
    run = analyze(AnalyzeSettings(table="t.csv"))
    opening = report(ReportSettings(runs=(str(run.path),))).result["opening"]
    assert opening == list(run.view.sentences[1:])
    assert run.view.sentences[0].endswith("Columns not used: LLaMA 1, ABS, Pearson.")
    assert not any("Columns" in sentence for sentence in opening)


def test_the_report_draws_a_fitted_threshold(workplace):
    (workplace / "t.csv").write_text("task,0,0.25,0.5,0.75,1\na,0.9,0.9,0.9,0.7,0.5\n")
    run = analyze(AnalyzeSettings(table="t.csv"))
    page = (report(ReportSettings(runs=(str(run.path),))).path / "report.html").read_text("utf-8")
    assert n_lines(pictures(page)["a by dose of falsity, %: score, fitted: flat, then a line"]) == 2


@pytest.mark.parametrize("settings", [{}, {"table": "t.csv", "from_": ("runs/x",)}])
def test_a_table_or_runs(workplace, settings):
    with pytest.raises(SettingsError, match="expected a table of scores, or run folders of bench with --from"):
        analyze(AnalyzeSettings(**settings))


@pytest.mark.slow
def test_the_command_line(tmp_path):
    shutil.copy(TABLES["llama1"], tmp_path / "t.csv")
    done = tunescope("study", "analyze", "t.csv", "--json", "--fail-on", "tasks.ARC.abs > 3", folder=tmp_path)
    assert done.returncode == 3, done.stderr
    record = json.loads(done.stdout)["tasks"]["ARC"]
    assert (record["n"], record["p_exact"]) == (5, pytest.approx(2 / 120))
    text = tunescope("study", "analyze", "t.csv", folder=tmp_path)
    assert "Columns not used: LLaMA 1, ABS, Pearson." in text.stdout
    assert "holds this run already" in text.stderr
    bad = tunescope("study", "analyze", "no.csv", folder=tmp_path)
    assert (bad.returncode, bad.stdout) == (1, "")
    assert bad.stderr == "tunescope: no.csv: found no such file; expected a table of scores\n"
    assert tunescope("study", "analyze", "--form", folder=tmp_path).returncode == 2
