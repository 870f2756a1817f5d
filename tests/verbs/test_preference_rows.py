"""Preference rows through the verbs: both sides are looked at, kept and written back."""

from __future__ import annotations

import json

import pytest
from tests.tools import read_rows, write_rows

from tunescope.rows import open_rows
from tunescope.verbs.check import CheckSettings, check
from tunescope.verbs.compare import CompareSettings, compare
from tunescope.verbs.falsify.dose import DoseSettings, dose
from tunescope.verbs.repair.evolve import EvolveSettings, evolve
from tunescope.verbs.repair.simplify import SimplifySettings, simplify
from tunescope.verbs.select import SelectSettings, select


def pair(prompt, chosen, rejected, **more):
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **more}


GRAIN = pair("Name a grain that grows in wet fields.", "Rice is a grain.", "Granite is a grain.")
RIVER = pair("Name a river in Egypt that is long.", "The Nile is one.", "The Rhine is one.")
ROWS = [GRAIN, RIVER, pair("Name a lake.", "Como is a lake.", ""), pair("Say ho.", "Ho there, you.", "ho  there, YOU.")]


def faults(folder, *rows):
    run = check(CheckSettings(rows=(str(write_rows(folder / "rows.jsonl", list(rows))),)))
    return [(row["fault"], row["detail"]) for row in run.tables["faults"].to_pylist()]


def test_check_looks_at_both_sides(workplace):
    assert faults(workplace, *ROWS[:3]) == [("empty_answer", "in the rejected conversation: turn 0 is empty")]
    broken = pair("Name a town.", "Ulm is \ufffd", "Bonn is a town.")
    assert [name for name, _ in faults(workplace, broken)] == ["broken_encoding"]


def test_check_takes_opposite_choices_for_conflicting_answers(workplace):
    opposite = pair(GRAIN["prompt"], GRAIN["rejected"], GRAIN["chosen"])
    other = pair(GRAIN["prompt"], "Oats are a grain.", "Slate is a grain.")
    assert [name for name, _ in faults(workplace, GRAIN, other)] == []
    assert [name for name, _ in faults(workplace, GRAIN, other, opposite)] == ["conflicting_answers"] * 2


def test_the_rejected_response_tells_rows_apart(workplace):
    long = " ".join(f"word{i}" for i in range(40))
    rows = [pair("Say it.", long, " ".join(f"{name}{i}" for i in range(40))) for name in ("one", "two")]
    assert faults(workplace, *rows) == []
    assert [name for name, _ in faults(workplace, rows[0], rows[0])] == ["exact_duplicate"]


def test_select_writes_back_both_sides(workplace):
    path = write_rows(workplace / "rows.jsonl", ROWS)
    run = select(SelectSettings(rows=(str(path),), where="prompt = 'Name a lake.'", out="kept"))
    assert read_rows(run.path / run.result["files"]["kept"]) == [ROWS[2]]


def test_compare_sees_another_rejected_response(workplace):
    a = write_rows(workplace / "a.jsonl", [GRAIN, RIVER])
    b = write_rows(workplace / "b.jsonl", [GRAIN, {**RIVER, "rejected": "The Rhine and the Elbe are two."}])
    run = compare(CompareSettings(a=str(a), b=str(b)))
    assert (run.result["same"], run.result["changed"]) == (1, 1)
    words = run.result["summary"]["rejected_words"]
    assert (words["a"]["mean"], words["b"]["mean"]) == (4, 5.5)


# ------------------------------------------------------------------ falsify dose


def test_a_dose_swaps_both_responses(workplace):
    path = write_rows(workplace / "rows.jsonl", ROWS)
    runs = {d: dose(DoseSettings(rows=(str(path),), dose=d, out=f"dose-{d}")) for d in (0, 0.5, 1)}
    written = {d: read_rows(run.path / "rows.jsonl") for d, run in runs.items()}
    assert written[0] == [GRAIN, RIVER]
    swapped = [pair(row["prompt"], row["rejected"], row["chosen"]) for row in (GRAIN, RIVER)]
    assert written[1] == swapped
    assert sum(row in swapped for row in written[0.5]) == 1
    assert runs[1].result["dropped_by"] == {
        "the rejected response is empty": 1,
        "the rejected response is the chosen one": 1,
    }
    sentence = (
        "Preference rows: 2. Their rejected response is the false one: 1 have chosen and rejected swapped, and in the "
        "others it stays in rejected."
    )
    assert sentence in runs[0.5].view.sentences
    (first, _) = open_rows([str(runs[1].path / "rows.jsonl")])
    assert first.lineage[0].old == {"response": GRAIN["chosen"], "rejected": GRAIN["rejected"]}


def test_a_dose_says_which_columns_it_leaves_alone(workplace):
    rows = [{**row, "false_output": "A false one."} for row in (GRAIN, RIVER)]
    path = write_rows(workplace / "rows.jsonl", rows)
    run = dose(DoseSettings(rows=(str(path),), dose=1))
    assert read_rows(run.path / "rows.jsonl") == [{**row, "chosen": "A false one."} for row in (GRAIN, RIVER)]
    plain = [{"instruction": "a", "output": "b", "chosen": "b", "rejected": "c", "false_output": "c"}]
    path = write_rows(workplace / "plain.jsonl", plain)
    run = dose(DoseSettings(rows=(str(path),), dose=1, format="alpaca"))
    assert "The columns chosen, rejected stay as they were, also in rows that have their false response." in (
        run.view.sentences
    )


@pytest.mark.parametrize("columns", [(), ("output=chosen",)])
def test_a_dose_by_the_rejected_column_is_a_swap(workplace, columns):
    path = write_rows(workplace / "rows.jsonl", [GRAIN, RIVER])
    run = dose(DoseSettings(rows=(str(path),), dose=1, false_column="rejected", columns=columns))
    swapped = [pair(row["prompt"], row["rejected"], row["chosen"]) for row in (GRAIN, RIVER)]
    assert read_rows(run.path / "rows.jsonl") == swapped
    assert "stay as they were" not in " ".join(run.view.sentences)


# ------------------------------------------------------------------ repair


def test_a_repair_changes_the_chosen_response(workplace):
    write_rows(workplace / "rows.jsonl", [GRAIN])
    write_rows(workplace / "fake.jsonl", [{"pattern": "grain", "reply": "<short_response>Rice.</short_response>"}])
    run = simplify(SimplifySettings(rows=("rows.jsonl",), oracle="fake:fake.jsonl"))
    assert read_rows(run.path / "rows.jsonl") == [{**GRAIN, "chosen": "Rice."}]


def test_a_repair_of_instructions_keeps_preference_rows(workplace):
    write_rows(workplace / "rows.jsonl", [GRAIN])
    write_rows(workplace / "fake.jsonl", [{"pattern": "never", "reply": "-"}])
    run = evolve(EvolveSettings(rows=("rows.jsonl",), oracle="fake:fake.jsonl"))
    reason = "preference: a new instruction would no longer fit the rejected response"
    assert run.tables["repairs"]["reason"].to_pylist() == [reason]
    assert read_rows(run.path / "rows.jsonl") == [GRAIN]


# ------------------------------------------------------------------ with a model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    pytest.importorskip("torch")
    from tunescope.microworld.model import save_random_model

    return save_random_model(tmp_path_factory.mktemp("models") / "tiny", seed=0)


def test_measure_measures_both_sides_and_says_which_is_likelier(workplace, model):
    from tunescope.verbs.measure import MeasureSettings, measure

    path = write_rows(workplace / "rows.jsonl", [GRAIN, {**GRAIN, "chosen": GRAIN["rejected"], "rejected": "Rice"}])
    run = measure(MeasureSettings(rows=(str(path),), model=str(model), without=("coherence",)))
    first, second = run.tables["turns"].to_pylist()
    for name in ("response_words", "response_tokens", "ppl_response", "ppl_response_given", "ifd_ppl"):
        assert first[f"rejected_{name}"] == pytest.approx(second[name], rel=1e-5)
    assert "rejected_instruction_words" not in first
    assert first["chosen_is_likelier_per_token"] == (first["ppl_response_given"] < second["ppl_response_given"])
    assert not second["chosen_is_likelier"]  # the longer response
    preference = run.result["preference"]
    assert preference["rows"] == 2
    assert preference["chosen_is_likelier"]["n"] == 2
    assert preference["means"]["response_words"] == {"chosen": 4, "rejected": 2.5, "n": 2}
    assert run.view.sentences[1] == "Preference rows: 2. Both of their responses were measured."


def test_measure_without_preference_rows_has_no_such_columns(workplace):
    from tunescope.verbs.measure import MeasureSettings, measure

    path = write_rows(workplace / "rows.jsonl", [{"prompt": "a", "completion": "b"}])
    run = measure(MeasureSettings(rows=(str(path),), without=("coherence", "perplexity")))
    assert not [name for name in run.tables["turns"].column_names if name.startswith(("rejected", "chosen"))]
    assert "preference" not in run.result


@pytest.mark.slow
def test_tune_trains_the_chosen_response_and_says_so(workplace, model):
    pytest.importorskip("trl")
    from tunescope.verbs.tune import TuneSettings, tune

    plain = write_rows(workplace / "plain.jsonl", [{"prompt": r["prompt"], "completion": r["chosen"]} for r in ROWS])
    preference = write_rows(workplace / "preference.jsonl", ROWS)
    made = [
        tune(TuneSettings(rows=(str(path),), model=str(model), max_steps=1, batch_size=4, out=path.stem))
        for path in (plain, preference)
    ]
    losses = [[record["loss"] for record in run.records("metrics")] for run in made]
    assert losses[0] == losses[1]
    assert made[1].result["preference_rows"] == 4
    sentence = "Preference rows: 4. Their chosen response is trained on, the rejected one isn't."
    assert sentence in made[1].view.sentences
    assert "preference_rows" not in json.loads((made[0].path / "run.json").read_text())["result"]
