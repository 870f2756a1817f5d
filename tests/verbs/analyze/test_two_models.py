"""Two models compared by ABS over tasks: the FACO paper's two, against scipy; what is left out and refused."""

from __future__ import annotations

import csv
import itertools

import numpy as np
import pytest
import scipy.stats
from tests.tools import ROOT

from tunescope.errors import SettingsError
from tunescope.verbs.analyze import AnalyzeSettings, analyze

TABLES = {name: ROOT / "docs" / f"faco-table1-{name}.csv" for name in ("llama1", "llama2")}
COUNTED_OUT = ("Average", "HumanEval@10")


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    tables = {"table": str(TABLES["llama2"]), "against": (str(TABLES["llama1"]),)}
    return analyze(AnalyzeSettings(**tables, out=str(tmp_path_factory.mktemp("compared") / "run")))


def drops(name: str) -> dict[str, float]:
    rows = csv.DictReader(TABLES[name].read_text("utf-8").splitlines())
    score = {row["task"]: [float(row[f"CR {dose}%"].rstrip("%")) for dose in (0, 100)] for row in rows}
    return {task: ends[0] - ends[1] for task, ends in score.items() if task not in COUNTED_OUT}


def test_the_papers_two_models(compared):
    """Over the 16 tasks that both have: scipy's t, every sign vector, the binomial of the signs."""
    first, second = drops("llama2"), drops("llama1")
    gaps = np.array([first[task] - second[task] for task in first])
    result = compared.result["models"]
    assert list(result["tasks"]) == list(first)
    assert (result["n"], result["left_out"]) == (16, ["Average", "HumanEval@10"])
    assert result["difference"] == pytest.approx(gaps.mean())
    half = scipy.stats.t.ppf(0.975, 15) * scipy.stats.sem(gaps)
    assert result["low"] <= gaps.mean() - half + 1e-9  # stretched on one side, for skewness, never narrower
    assert result["high"] >= gaps.mean() + half - 1e-9
    signs = np.array([*itertools.product((1, -1), repeat=16)])
    assert result["p"] == pytest.approx(np.mean(np.abs(signs @ gaps) >= abs(gaps.sum()) - 1e-9))
    assert result["p_method"].endswith("exact")
    assert (result["larger"], result["smaller"]) == ((gaps > 0).sum(), (gaps < 0).sum())
    assert result["p_sign"] == pytest.approx(scipy.stats.binomtest(int((gaps > 0).sum()), 16).pvalue)
    assert result["means"] == pytest.approx([np.mean([*first.values()]), np.mean([*second.values()])])


def test_what_is_said(compared):
    sentence = compared.view.sentences[-1]
    assert sentence.startswith("From 0 to 100 % faco-table1-llama2 loses ")
    assert compared.view.tables[-1].title == "Two models by ABS"
    assert "Left out: Average and HumanEval@10." in compared.view.tables[-1].note


def test_few_tasks_have_no_interval_and_missing_ones_count(workplace):
    (workplace / "a.csv").write_text("task,0,1\nx,9,4\ny,8,4\nz,8,\n")
    (workplace / "b.csv").write_text("task,0,1\nx,9,5\ny,8,6\nz,8,3\n")
    result = analyze(AnalyzeSettings(table="a.csv", against=("b.csv",))).result["models"]
    assert (result["difference"], result["low"], result["n"], result["n_missing"]) == (1.5, None, 2, 1)
    assert result["reason"] == "n = 2: the interval of a mean needs 12"
    assert (result["p"], result["p_sign"]) == (0.5, 0.5)
    assert result["tasks"]["z"] == {"abs": [None, 5.0], "difference": None}
    run = analyze(AnalyzeSettings(table="b.csv", against=("a.csv",)))
    assert run.view.sentences[-1].startswith("From 0 to 100 % b loses 1.500 less than a, on average over 2 tasks")


def test_one_table_against_one(workplace):
    (workplace / "a.csv").write_text("task,0,1\nx,9,4\n")
    with pytest.raises(SettingsError, match="found 2 tables with --against; expected one"):
        analyze(AnalyzeSettings(table="a.csv", against=("a.csv", "a.csv")))
    with pytest.raises(SettingsError, match="both models are called a; expected another one with --against"):
        analyze(AnalyzeSettings(table="a.csv", against=("a.csv",)))


def write_seeds(path, seeds: list[str], rng) -> dict[str, np.ndarray]:
    """Write scores of two tasks at 0 and 100 %, a row per task and seed; return ABS by task."""
    losses, lines = {}, ["task,seed,0,1"]
    for task in ("x", "y"):
        scores = rng.uniform(0.5, 0.9, (len(seeds), 2)).round(3)
        losses[task] = scores[:, 0] - scores[:, 1]
        lines += [f"{task},{seed},{a},{b}" for seed, (a, b) in zip(seeds, scores, strict=True)]
    path.write_text("\n".join(lines) + "\n")
    return losses


def test_with_the_same_seeds_the_difference_is_paired_over_seeds(workplace):
    """Of the mean over tasks and of each task: scipy's t interval over seeds, and every sign vector."""
    rng = np.random.default_rng(4)
    first, second = (write_seeds(workplace / f"{name}.csv", list("abcdef"), rng) for name in ("big", "small"))
    run = analyze(AnalyzeSettings(table="big.csv", against=("small.csv",)))
    result = run.result["models"]
    records = {task: result["tasks"][task]["over_seeds"] for task in ("x", "y")} | {"mean": result["over_seeds"]}
    signs = np.array([*itertools.product((1, -1), repeat=6)])
    for task, record in records.items():
        gaps = sum(first[t] - second[t] for t in "xy") / 2 if task == "mean" else first[task] - second[task]
        half = scipy.stats.t.ppf(0.975, 5) * scipy.stats.sem(gaps)
        assert (record["difference"], record["n"], record["n_missing"]) == (pytest.approx(gaps.mean()), 6, 0)
        assert (record["low"], record["high"]) == pytest.approx((gaps.mean() - half, gaps.mean() + half))
        assert record["p"] == pytest.approx(np.mean(np.abs(signs @ gaps) >= abs(gaps.sum()) - 1e-9))
        assert record["p_method"].endswith("exact")
    assert "the mean over 2 tasks, paired over 6 seeds; exact permutation p" in " ".join(run.view.sentences)
    assert run.view.tables[-1].columns == ("task", "big", "small", "difference", "95 %", "n", "p")


def test_other_seeds_cannot_be_paired(workplace):
    rng = np.random.default_rng(5)
    for name, seeds in (("a", ["1", "2"]), ("b", ["1", "3"])):
        write_seeds(workplace / f"{name}.csv", seeds, rng)
    result = analyze(AnalyzeSettings(table="a.csv", against=("b.csv",))).result["models"]
    assert "over_seeds" not in result
    assert result["n"] == 2
