"""From `bench` runs to scores: dose and seed from the runs behind a model; what it knew before tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.verbs.analyze.made_runs import falsified, made, scored, tuned

from tunescope import stats
from tunescope.errors import RunError, SettingsError
from tunescope.results.falsify import DoseSetup
from tunescope.runs import Run, producing_run
from tunescope.verbs.analyze import AnalyzeSettings, analyze
from tunescope.verbs.analyze.bench_runs import find_origin, open_models, read_scores
from tunescope.verbs.analyze.score_table import TaskScore


def origin_of(run: Run):
    return find_origin(run, run.result["model"])


def test_the_maker_of_a_path(workplace):
    run = made("x", "tune", {})
    for path in ("runs/x", "runs/x/model", "runs/x/model/config.json"):
        assert producing_run(path).path == run.path
    assert producing_run("runs/y/model") is None
    assert producing_run("microworld") is None


def test_origins(workplace):
    base = scored("b0", "microworld")
    full = tuned("t1", "microworld", falsified(1.0, 2), seed=2)
    again = tuned("t2", full, falsified(0.0), seed=5)
    assert origin_of(base) == (None, "", False, "microworld")
    assert origin_of(scored("b1", full)) == (1.0, "2", False, "microworld")
    assert origin_of(scored("b2", "runs/t1")) == (1.0, "2", False, "microworld")
    assert origin_of(scored("b3", again)) == (1.0, "2", True, "microworld")
    other = tuned("t3", "microworld", falsified(0.25, 7), seed=1)
    assert origin_of(scored("b4", other)) == (0.25, "tune 1, falsify 7", False, "microworld")


def test_the_dose_of_one_of_several_files_is_in_its_name(workplace):
    made("several", "falsify dose", DoseSetup(dose="0,25%,1", seed=3).as_json())
    for name, dose in (("rows-0.jsonl", 0.0), ("rows-0.25.jsonl", 0.25), ("rows-1.jsonl", 1.0)):
        model = tuned(f"on-{name}", "microworld", f"runs/several/{name}", seed=3)
        assert origin_of(scored(f"of-{name}", model)) == (dose, "3", False, "microworld")
    for name in ("rows-0.5.jsonl", "left_out.jsonl"):
        model = tuned(f"on-{name}", "microworld", f"runs/several/{name}")
        with pytest.raises(RunError, match=r"was tuned on .*; expected one of the files rows-DOSE in runs.several"):
            origin_of(scored(f"of-{name}", model))


def test_scores_of_runs(workplace):
    runs = [scored("b", "m", 1.0)]
    runs += [scored(f"b{d}", tuned(f"t{d}", "m", falsified(d)), 0.9 - d / 2) for d in (0.0, 1.0)]
    scores = read_scores(open_models(runs))
    assert scores.cells == (
        TaskScore("open", None, "", False, 1.0),
        TaskScore("open", 0.0, "0", False, 0.9),
        TaskScore("open", 1.0, "0", False, 0.4),
    )
    assert (scores.doses, scores.seeds, scores.chance) == ([0.0, 1.0], ["0"], {"open": 0.25})


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ([0.5, 0.0], "its model was tuned on 50 % then 0 %; expected one tuning, or 100 % then 0 %"),
        ([1.0, 0.5], "its model was tuned on 100 % then 50 %"),
        ([1.0, 0.0, 0.0], "its model was tuned on 100 % then 0 % then 0 %"),
    ],
)
def test_tunings_in_another_order_are_refused(workplace, path, expected):
    model = "microworld"
    for number, dose in enumerate(path):
        model = tuned(f"t{number}", model, falsified(dose))
    with pytest.raises(SettingsError, match=expected):
        origin_of(scored("b", model))


def test_what_is_refused(workplace):
    wild = scored("b1", tuned("t1", "m", "rows.jsonl"))
    with pytest.raises(RunError, match=r"t1 was tuned on rows.jsonl; expected the rows of one `falsify dose` run"):
        open_models([wild])
    with pytest.raises(RunError, match=r"found a run of tune; expected runs of bench"):
        open_models([Run(Path("runs/t1"))])
    twice = [scored(f"b{i}", tuned(f"t{i}", "m", falsified(0.0))) for i in (2, 3)]
    with pytest.raises(SettingsError, match="score open at the same dose and seed; give one"):
        open_models(twice)
    with pytest.raises(SettingsError, match=r"the runs have different base models \(m, n\)"):
        open_models([twice[0], scored("b4", tuned("t4", "n", falsified(1.0)))])


def test_what_the_model_knew(workplace):
    """Only questions that the untuned model got right count; the interval takes people as clusters."""
    rng = np.random.default_rng(0)
    people = [f"P{i // 4}" for i in range(60)]
    knew = rng.random(60) < 0.8
    runs = [scored("b", "m", right=list(zip(people, knew.tolist(), strict=True)))]
    answers: dict[tuple[float, bool], list[Any]] = {}
    full = {}
    for seed in range(3):
        for dose, share in ((0.0, 0.9), (1.0, 0.1)):
            right = (rng.random(60) < share).tolist()
            answers.setdefault((dose, False), []).append(right)
            full[dose] = tuned(f"t{dose}{seed}", "m", falsified(dose, seed), seed)
            runs.append(scored(f"b{dose}{seed}", full[dose], right=list(zip(people, right, strict=True))))
        right = (rng.random(60) < 0.25).tolist()
        answers.setdefault((1.0, True), []).append(right)
        model = tuned(f"r{seed}", full[1.0], falsified(0.0), seed)
        runs.append(scored(f"br{seed}", model, right=list(zip(people, right, strict=True))))
    run = analyze(AnalyzeSettings(from_=tuple(str(run.path) for run in runs)))
    records = {(r["dose"], r["retuned"]): r for r in run.result["known"]}
    assert records.keys() == answers.keys()
    for place, record in records.items():
        right = np.array(answers[place], float)[:, knew].ravel()
        groups = np.tile(np.unique(people, return_inverse=True)[1][knew], 3)
        expected = stats.share_clustered(right, groups)
        assert record["share"] == pytest.approx(right.mean())
        assert (record["n"], record["n_people"], record["n_seeds"]) == (3 * knew.sum(), 15, 3)
        assert (record["low"], record["high"]) == (expected.low, expected.high)
    assert [records[place]["against_chance"] for place in ((0.0, False), (1.0, False))] == ["above", "below"]
    assert "below chance (0.25)" in " ".join(run.view.sentences)
    assert run.view.tables[-2].title == "On what the model knew before tuning"


def test_where_there_is_no_interval_a_test_over_people_tells_it_from_chance(workplace):
    """Nearly all right is above chance though so few errors have no interval; nearly nothing of two people isn't."""
    people = [f"P{i // 4}" for i in range(60)]
    right = [(person, i != 7) for i, person in enumerate(people)]
    runs = [scored("b", "m", right=[(person, True) for person in people])]
    runs += [scored(f"b{dose}", tuned(f"t{dose}", "m", falsified(dose, 0), 0), right=right) for dose in (0.0, 1.0)]
    run = analyze(AnalyzeSettings(from_=tuple(str(run.path) for run in runs)))
    assert {(r["low"], r["high"], r["against_chance"]) for r in run.result["known"]} == {(None, None, "above")}
    few = [(person, right) for person, right in right if person in ("P0", "P1")]
    runs = [scored("c", "m", right=[(person, True) for person, _ in few])]
    runs += [scored(f"c{dose}", tuned(f"u{dose}", "m", falsified(dose, 1), 1), right=few) for dose in (0.0, 1.0)]
    run = analyze(AnalyzeSettings(from_=tuple(str(run.path) for run in runs)))
    assert {(r["low"], r["high"], r["against_chance"]) for r in run.result["known"]} == {(None, None, "inconclusive")}


def test_without_the_untuned_model_there_is_no_record_of_what_it_knew(workplace):
    runs = [scored(f"b{d}", tuned(f"t{d}", "m", falsified(d))) for d in (0.0, 1.0)]
    assert "known" not in analyze(AnalyzeSettings(from_=tuple(str(run.path) for run in runs))).result
