"""`repair correct`: the rows that a run names, replaced or rewritten to state the right fact."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from tests.tools import alpaca, read_rows, write_rows

from tunescope import runs
from tunescope.errors import ExpressionError, RunError, SettingsError
from tunescope.judgements.claims import replace_phrase
from tunescope.rows import open_rows
from tunescope.runs import Outcome
from tunescope.verbs.repair.correct import CorrectSettings, correct
from tunescope.verbs.select import SelectSettings, select
from tunescope.views import View

CLAIMS = [
    {"claim_id": "boil", "prompt": "Where does water boil?", "phrases": ["80 degrees"], "truth": ["100 degrees"]},
    {
        "claim_id": "moon",
        "prompt": "How far is the Moon?",
        "phrases": ["9,000 kilometres"],
        "truth": ["384,400 kilometres"],
    },
    {"claim_id": "tea", "prompt": "What is tea?", "truth": ["a drink"]},
]
ROWS = [
    alpaca("Where does water boil?", "80 degrees.", topic="x"),
    alpaca("How hot is a kettle?", "The water in it reaches 80 degrees, then it boils."),
    alpaca("How far is the Moon?", "It is 9,000 kilometres away."),
    alpaca("How far is the Sun?", "Very far, and it boils."),
    alpaca("What is tea?", "A drink."),
    alpaca("Is 80 degrees hot?", "At 80 degrees tea is good."),
    {"instruction": "Tell me about the Moon", "input": "", "output": "9,000 kilometres are no long way"},
]
NAMED = [0, 1, 2, 3, 6]
FAKE = [
    {"pattern": "kettle", "reply": "<corrected_response>The water in it reaches 100 degrees.</corrected_response>"},
    {
        "pattern": "Tell me",
        "reply": "<corrected_response>9,000 kilometres, no: 384,400 kilometres</corrected_response>",
    },
    {"pattern": "far is the Moon", "reply": "<corrected_response>It is far.</corrected_response>"},
    {"pattern": "far is the Sun", "reply": "nothing"},
    {"pattern": "<corrected_response>", "reply": "<corrected_response>Right now.</corrected_response>"},
]


@pytest.fixture
def named(workplace):
    """Write rows, claims, a fake oracle, and a run that names rows for questions as `attribute` does."""
    write_rows(workplace / "rows.jsonl", ROWS)
    write_rows(workplace / "claims.jsonl", CLAIMS)
    write_rows(workplace / "fake.jsonl", FAKE)
    rows = list(open_rows(["rows.jsonl"]))
    prompts = ["boil", "boil/rewordings-1", "moon", "elsewhere", "moon"]
    lines = [(rows[i].id, prompt, 1) for i, prompt in zip(NAMED, prompts, strict=True)]
    lines += [(rows[0].id, "other", 0), (rows[5].id, "boil", 0)]
    table = pa.table({name: [line[i] for line in lines] for i, name in enumerate(("row_id", "prompt_id", "matters"))})

    def work(folder):
        folder.table("attributions", table)
        return Outcome({}, View(()))

    return runs.execute("attribute", 1, SelectSettings(rows=("rows.jsonl",)), {}, work)


def corrected(run, **settings):
    settings = {"truth": "claims.jsonl", **settings}
    return correct(CorrectSettings(rows=("rows.jsonl",), from_=(str(run.path),), **settings))


def test_named_rows_are_replaced_or_rewritten_and_no_others(named):
    run = corrected(named, oracle="fake:fake.jsonl")
    table = run.tables["repairs"]
    assert table["reason"].to_pylist() == [
        "replaced: '80 degrees' by '100 degrees'",
        "corrected: 80 degrees",
        "not right: the reply doesn't state '384,400 kilometres'",
        "no claim: it states none of the claims",
        "not named: the run doesn't name it",
        "not named: the run doesn't name it",
        "still wrong: the reply has '9,000 kilometres'",
    ]
    assert table["status"].to_pylist() == [None, "ok", "ok", None, None, None, "ok"]
    assert table["how"].to_pylist() == ["replaced", "rewritten", None, None, None, None, None]
    assert table["claim_ids"].to_pylist() == [["boil"], ["boil"], ["moon"], None, None, None, ["moon"]]
    written = read_rows(run.path / "rows.jsonl")
    assert written[0] == {**ROWS[0], "output": "100 degrees."}
    assert written[1] == {**ROWS[1], "output": "The water in it reaches 100 degrees."}
    assert written[2:] == ROWS[2:]
    result = run.result
    assert (result["rows"], result["kept"], result["changed"], result["dropped"]) == (7, 5, 2, 0)
    assert (result["named"], result["replaced"], result["rewritten"], result["named_kept"]) == (5, 1, 1, 3)
    assert result["kept"] == sum(result["kept_by"].values())
    assert run.view.sentences[1] == (
        "Of 5 named rows 1 was replaced without asking, 1 rewritten, and 3 kept as they are."
    )


def test_lineage_of_a_replaced_and_of_a_rewritten_row(named):
    run = corrected(named, oracle="fake:fake.jsonl")
    before, after = list(open_rows(["rows.jsonl"])), list(open_rows([str(run.path / "rows.jsonl")]))
    assert [row.origin for row in after] == [row.id for row in before]
    (replaced,), (rewritten,) = after[0].lineage, after[1].lineage
    assert (replaced.operation, replaced.old, replaced.call_ids) == (
        "repair correct",
        {"response": "80 degrees."},
        (),
    )
    assert rewritten.old == {"response": ROWS[1]["output"]}
    assert list(rewritten.call_ids) == run.tables["repairs"]["call_ids"][1].as_py()
    assert after[4].lineage == ()


def test_without_an_oracle_only_what_needs_none_changes(named):
    run = corrected(named)
    assert run.tables["repairs"]["reason"].to_pylist()[:4] == [
        "replaced: '80 degrees' by '100 degrees'",
        "not asked: it needs an oracle",
        "not asked: it needs an oracle",
        "no claim: it states none of the claims",
    ]
    assert (run.result["changed"], run.result["named_kept"]) == (1, 4)
    options = "--where 'matters > 0' --truth claims.jsonl --oracle local"
    assert run.view.next == (f"tunescope repair correct rows.jsonl --from {named.path} {options}",)
    phrases = corrected(named, replace="phrases")
    assert [row["output"] for row in read_rows(phrases.path / "rows.jsonl")] == [
        "100 degrees.",
        "The water in it reaches 100 degrees, then it boils.",
        "It is 384,400 kilometres away.",
        *(ROWS[i]["output"] for i in (3, 4, 5)),
        "384,400 kilometres are no long way",
    ]
    assert phrases.view.next == (f"tunescope tune {phrases.path}/rows.jsonl",)
    never = corrected(named, replace="never")
    assert never.result["changed"] == 0
    assert never.view.next[0].endswith("--truth claims.jsonl --replace never --oracle local")
    with pytest.raises(SettingsError, match="nothing is asked, so there is nothing to plan"):
        corrected(named, plan=True)


def test_one_truth_for_all_named_rows(named, workplace):
    run = corrected(named, truth="Water boils at 100 degrees.", oracle="fake:fake.jsonl", where="matters = 1")
    outputs = [row["output"] for row in read_rows(run.path / "rows.jsonl")]
    assert outputs[0] == "Right now."
    assert outputs[4:6] == [ROWS[4]["output"], ROWS[5]["output"]]
    (workplace / "truth.txt").write_text("Water boils at 100 degrees.\n")
    same = corrected(named, truth="truth.txt", oracle="fake:fake.jsonl", where="matters = 1")
    assert read_rows(same.path / "rows.jsonl") == read_rows(run.path / "rows.jsonl")


def test_plan_counts_only_rows_that_need_the_oracle(named):
    run = corrected(named, oracle="fake:fake.jsonl", plan=True)
    assert run.result["calls"] == 3


def test_another_condition_or_truth_is_another_run(named, workplace):
    first = corrected(named, oracle="fake:fake.jsonl")
    assert corrected(named, oracle="fake:fake.jsonl").path == first.path
    assert corrected(named, oracle="fake:fake.jsonl", where="matters = 0").path != first.path
    write_rows(workplace / "claims.jsonl", [{**CLAIMS[0], "truth": ["212 degrees"]}])
    again = corrected(named, oracle="fake:fake.jsonl")
    assert again.path != first.path
    assert read_rows(again.path / "rows.jsonl")[0]["output"] == "212 degrees."


def correct_texts(workplace, claims, texts, prompts, **settings):
    """Correct rows with these outputs, each named by the answer to a prompt; return the reasons and the new outputs."""
    write_rows(workplace / "rows.jsonl", [alpaca(f"Question {i}", text) for i, text in enumerate(texts)])
    write_rows(workplace / "claims.jsonl", claims)
    ids = [row.id for row in open_rows(["rows.jsonl"])]
    table = pa.table({"row_id": ids, "prompt_id": prompts, "matters": [1] * len(ids)})

    def work(folder):
        folder.table("attributions", table)
        return Outcome({}, View(()))

    named = runs.execute("attribute", 1, SelectSettings(rows=("rows.jsonl",)), {"texts": repr(texts)}, work)
    run = corrected(named, **settings)
    outputs = [row["output"] for row in read_rows(run.path / "rows.jsonl")]
    return run, run.tables["repairs"]["reason"].to_pylist(), outputs


def test_rows_that_deny_the_claim_are_kept(workplace):
    texts = [
        "No, water does not boil at 80 degrees. It boils at 100 degrees.",
        "It does not boil at 80 degrees on the stove. In a pan it boils at 80 degrees.",
    ]
    _, reasons, outputs = correct_texts(workplace, CLAIMS, texts, ["boil", "boil"], replace="phrases")
    assert reasons == ["denied: it says that '80 degrees' is wrong", "replaced: '80 degrees' by '100 degrees'"]
    assert outputs == [texts[0], "It does not boil at 80 degrees on the stove. In a pan it boils at 100 degrees."]


def test_all_claims_of_a_row_are_mended_or_none_is_said_to_be(workplace):
    both = "Water boils at 80 degrees, and the Moon is 9,000 kilometres away."
    gap = {"claim_id": "sun", "prompt": "What is the Sun?", "phrases": ["sun ... lamp"], "truth": ["a star"]}
    texts = [both, f"{both} The sun is a lamp."]
    run, reasons, outputs = correct_texts(workplace, [*CLAIMS, gap], texts, ["moon", "sun"], replace="phrases")
    assert reasons == [
        "replaced: '9,000 kilometres' by '384,400 kilometres', '80 degrees' by '100 degrees'",
        "not asked: it needs an oracle",
    ]
    assert outputs == ["Water boils at 100 degrees, and the Moon is 384,400 kilometres away.", texts[1]]
    repairs = run.tables["repairs"]
    assert repairs["claim_ids"].to_pylist() == [["moon", "boil"], ["sun", "boil", "moon"]]
    assert repairs["wrong"].to_pylist()[0] == ["9,000 kilometres", "80 degrees"]
    assert run.view.tables[0].rows == (("moon", 2, 1), ("boil", 2, 1), ("sun", 1, 0))
    half = {"pattern": "9,000", "reply": "<corrected_response>100 degrees, 9,000 kilometres</corrected_response>"}
    write_rows(workplace / "fake.jsonl", [half])
    _, reasons, _ = correct_texts(workplace, CLAIMS, [both], ["boil"], oracle="fake:fake.jsonl")
    assert reasons == ["still wrong: the reply has '9,000 kilometres'"]


def test_a_claim_id_with_a_slash_is_found_by_its_questions(workplace):
    claim = {
        "claim_id": "physics/boil",
        "prompt": "Where does water boil?",
        "phrases": ["80 degrees"],
        "truth": ["100"],
    }
    claim["rewordings"] = ["How hot?"]
    prompts = ["physics/boil/rewordings-1", "physics/boil", "physics"]
    _, reasons, _ = correct_texts(workplace, [claim], ["Hot.", "Warm.", "Cold."], prompts)
    assert [reason.partition(":")[0] for reason in reasons] == ["not asked", "not asked", "no claim"]


def test_rows_of_claims_without_a_truth_are_kept(workplace):
    sun = {"claim_id": "sun", "prompt": "What is the Sun?", "phrases": ["a lamp"]}
    texts = ["It is a lamp.", "80 degrees.", "80 degrees under a lamp.", "Bright."]
    prompts = ["sun", "boil", "boil", "sun"]
    run, reasons, outputs = correct_texts(workplace, [CLAIMS[0], sun], texts, prompts, replace="phrases")
    none = "no truth: the claim sun has none"
    assert reasons == [none, "replaced: '80 degrees' by '100 degrees'", none, none]
    assert outputs == [texts[0], "100 degrees.", *texts[2:]]
    assert run.result["claims_without_truth"] == 1
    assert "1 claim has no truth (sun), so 3 rows were kept." in run.view.sentences


def test_what_is_refused(named, workplace):
    with pytest.raises(ExpressionError, match=r"has score; found matters, prompt_id, row_id"):
        corrected(named, where="score > 1")
    with pytest.raises(SettingsError, match="it holds for no row"):
        corrected(named, where="matters > 5")
    with pytest.raises(SettingsError, match="--truth is empty"):
        corrected(named, truth=" ")
    write_rows(workplace / "facts.jsonl", [CLAIMS[2]])
    with pytest.raises(SettingsError, match=r"found no claims; expected phrases and truth in each"):
        corrected(named, truth="facts.jsonl")
    write_rows(workplace / "rows.jsonl", [alpaca("Another", "row")])
    with pytest.raises(RunError, match="made on other rows: none of the 5 named rows"):
        corrected(named)
    other = select(SelectSettings(rows=("rows.jsonl",), sample=1))
    with pytest.raises(ExpressionError, match=r"no table of .* has matters"):
        corrected(other)
    assert json.loads((named.path / "run.json").read_text())["verb"] == "attribute"


@pytest.mark.parametrize(
    ("text", "phrase", "new", "whole", "expected"),
    [
        ("Berlin.", "berlin", "Bonn", True, "Bonn."),
        ("In Berlin.", "berlin", "Bonn", True, None),
        ("In Berlin, berlin", "berlin", "bonn", False, "In Bonn, bonn"),
        ("It’s a “lamp”.", "it's a lamp", "a star", False, "A star”."),
        ("Berliner", "berlin", "Bonn", False, None),
        ("a b c", "a ... c", "x", False, None),
        ("Not Berlin. Berlin!", "berlin", "Bonn", False, "Not Berlin. Bonn!"),
        ("It isn't Berlin.", "berlin", "Bonn", False, None),
    ],
)
def test_replace_phrase(text, phrase, new, whole, expected):
    assert replace_phrase(text, phrase, new, whole) == expected
