"""Subjects against guessing, epochs and training loss by dose, from runs written by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from tests.verbs.analyze.made_runs import add_losses, benched, falsified, tuned
from tests.verbs.report.svg import n_lines, pictures

from tunescope import stats
from tunescope.verbs.analyze import AnalyzeSettings, analyze
from tunescope.verbs.report import ReportSettings, report


def analyzed(*runs):
    return analyze(AnalyzeSettings(from_=tuple(str(run.path) for run in runs)))


def at(dose: float, right, seed: int = 0, of: str | None = None):
    return benched(f"b{dose}-{seed}", tuned(f"t{dose}-{seed}", "m", falsified(dose, seed), seed), right, of=of)


def subjects(*counts: int):
    """Return four subjects of 100 questions with so many right."""
    return {f"mmlu_s{i}": [n < count for n in range(100)] for i, count in enumerate(counts)}


def test_subjects_against_guessing(workplace):
    run = analyzed(
        benched("b", "m", subjects(60, 60, 26, 60), of="mmlu"),
        at(0.0, subjects(70, 60, 30, 36), of="mmlu"),
        at(1.0, subjects(5, 12, 20, 40), of="mmlu"),
    )
    result = run.result["subjects"]
    counts = {record["dose"]: record for record in result["counts"]}
    assert [*counts] == [None, 0.0, 1.0]
    p = [scipy.stats.binomtest(n, 100, 0.25).pvalue for n in (5, 12, 20, 40)]
    adjusted = stats.holm(p)
    records = [record for record in result["subjects"] if record["dose"] == 1.0]
    assert [record["subject"] for record in records] == ["s0", "s1", "s2", "s3"]
    assert [record["p"] for record in records] == pytest.approx(p)
    assert [record["p_holm"] for record in records] == pytest.approx(adjusted)
    assert [record["against_chance"] for record in records] == ["below", "below", "inconclusive", "above"]
    assert {name: counts[1.0][name] for name in ("below", "above", "inconclusive", "n", "under_chance")} == {
        "below": 2, "above": 1, "inconclusive": 1, "n": 4, "under_chance": 3,
    }  # fmt: skip
    assert "mmlu at 100 %, seed 0: of 4 subjects 2 are significantly below guessing and 1 above (Holm); 3 score" in (
        " ".join(run.view.sentences)
    )
    assert run.tables["subjects"].num_rows == 12


def test_tasks_without_subjects_have_none(workplace):
    right = {"copa": [True] * 5}
    assert "subjects" not in analyzed(at(0.0, right), at(1.0, right)).result


def trained(dose: float, epochs: int, seed: int, scores: dict[str, float]):
    name = f"t{dose}-{seed}-{epochs}"
    model = tuned(name, "m", falsified(dose, seed), seed)
    add_losses(name, [1.0, 0.5], epochs)
    return benched(
        f"b{dose}-{seed}-{epochs}", model, {t: [i < 1000 * s for i in range(1000)] for t, s in scores.items()}
    )


def test_the_trend_over_epochs_is_the_mean_of_the_seeds_slopes(workplace):
    rng = np.random.default_rng(0)
    score = {
        (dose, e, seed, task): round(0.9 - dose * 0.05 * e + rng.normal(0, 0.01), 3)
        for dose in (0.0, 1.0) for e in (1, 3, 5) for seed in range(3) for task in ("copa", "piqa")
    }  # fmt: skip
    runs = [
        trained(dose, e, seed, {task: score[dose, e, seed, task] for task in ("copa", "piqa")})
        for dose in (0.0, 1.0) for e in (1, 3, 5) for seed in range(3)
    ]  # fmt: skip
    run = analyzed(*runs)
    result = run.result["epochs"]
    assert (result["epochs"], result["tasks_in_mean"]) == ([1, 3, 5], ["copa", "piqa"])
    trends = {(record["task"], record["dose"]): record for record in result["trends"]}
    assert len(trends) == 6
    for task, of_tasks in (("copa", ["copa"]), ("mean", ["copa", "piqa"])):
        slopes = [
            np.polyfit([1, 3, 5], [np.mean([score[1.0, e, seed, t] for t in of_tasks]) for e in (1, 3, 5)], 1)[0]
            for seed in range(3)
        ]
        half = scipy.stats.t.ppf(0.975, 2) * scipy.stats.sem(slopes)
        record = trends[task, 1.0]
        assert (record["trend"], record["n"]) == (pytest.approx(np.mean(slopes)), 3)
        assert (record["low"], record["high"]) == pytest.approx((np.mean(slopes) - half, np.mean(slopes) + half))
    assert "With more epochs the mean over 2 tasks falls at 100 %;" in " ".join(run.view.sentences)
    # the dose-response itself is of the models after as many epochs as most have, and of several such the most
    after = np.mean([score[1.0, 5, seed, "copa"] for seed in range(3)])
    assert run.result["tasks"]["copa"]["scores"][-1]["mean"] == pytest.approx(after)
    assert "Scores after 5 epochs; those after 1 and 3 count in the trend over epochs alone." in run.view.sentences[0]


def test_a_few_tunings_of_other_epochs_leave_the_rest_as_it_is(workplace):
    """One dose and seed after 9 epochs, beside a whole study of 3: scores, losses and doses stay those after 3."""
    study = [trained(dose, 3, seed, {"copa": 0.9 - dose / 2}) for dose in (0.0, 0.5, 1.0) for seed in range(2)]
    alone = analyzed(*study).result
    run = analyzed(*study, trained(1.0, 9, 0, {"copa": 0.1}), trained(1.0, 1, 0, {"copa": 0.7}))
    assert {key: run.result[key] for key in alone} == alone | {"run": run.result["run"]}
    (record,) = run.result["epochs"]["trends"]
    slope = np.polyfit([1, 3, 9], [0.7, 0.4, 0.1], 1)[0]
    assert (record["dose"], record["trend"], record["n"], record["n_missing"]) == (1.0, pytest.approx(slope), 1, 1)
    assert [each["mean"] for each in record["scores"]] == [0.7, 0.4, 0.1]
    assert "Scores after 3 epochs; those after 1 and 9 count in the trend over epochs alone." in run.view.sentences[0]


def test_models_of_one_number_of_epochs_have_no_trend(workplace):
    assert "epochs" not in analyzed(trained(0.0, 2, 0, {"copa": 0.9}), trained(1.0, 2, 0, {"copa": 0.5})).result


def test_a_kept_checkpoint_is_an_epoch(workplace):
    model = tuned("t", "m", falsified(1.0))
    add_losses("t", [1.0], 3)
    checkpoint = "runs/t/checkpoints/epoch-1"
    (workplace / checkpoint).mkdir(parents=True)
    runs = [benched("b1", checkpoint, {"copa": [True, True]}), benched("b3", model, {"copa": [True, False]})]
    (trend,) = analyzed(*runs).result["epochs"]["trends"]
    assert (trend["trend"], trend["low"], [each["epochs"] for each in trend["scores"]]) == (-0.25, None, [1, 3])


def test_losses_by_dose(workplace):
    losses = {}
    runs = []
    rng = np.random.default_rng(2)
    for dose in (0.0, 0.5, 1.0):
        for seed in range(2):
            runs.append(at(dose, {"copa": [True]}, seed))
            losses[dose, seed] = [2 / (i + 1) + dose + rng.normal(0, 0.01) for i in range(20)]
            add_losses(f"t{dose}-{seed}", losses[dose, seed])
    run = analyzed(*runs)
    result = run.result["losses"]
    last = {place: np.mean(each[-2:]) for place, each in losses.items()}
    assert [record["dose"] for record in result["doses"]] == [0.0, 0.5, 1.0]
    assert result["doses"][2]["last"] == pytest.approx(np.mean([last[1.0, 0], last[1.0, 1]]))
    assert result["doses"][2]["whole"] == pytest.approx(np.mean([losses[1.0, 0], losses[1.0, 1]]))
    line = scipy.stats.linregress([dose for dose, _ in last], [*last.values()])
    half = scipy.stats.t.ppf(0.975, 4) * line.stderr
    slope = result["slope_last"]
    assert (slope["slope"], slope["n"]) == (pytest.approx(line.slope), 6)
    assert (slope["low"], slope["high"]) == pytest.approx((line.slope - half, line.slope + half))
    curve = run.tables["losses"].to_pylist()
    assert len(curve) == 60
    assert curve[-1] == {
        "dose": 1.0,
        "step": 20,
        "n": 2,
        "loss": pytest.approx((losses[1.0, 0][19] + losses[1.0, 1][19]) / 2),
    }
    assert "it rises by 1.0" in " ".join(run.view.sentences)
    page = (report(ReportSettings(runs=(str(run.path),))).path / "report.html").read_text("utf-8")
    assert "<h3>Training loss by dose</h3>" in page
    assert n_lines(pictures(page)["training loss by optimizer step: 0 %, 50 %, 100 %"]) == 3


def test_without_losses_there_is_no_table_of_them(workplace):
    runs = [at(dose, {"copa": [True]}) for dose in (0.0, 1.0)]
    add_losses("t1.0-0", [None, None])
    assert "losses" not in analyzed(*runs).result
