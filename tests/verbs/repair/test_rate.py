"""`repair rate`: rows graded, and chosen by their grades."""

import json

from tests.tools import alpaca, read_rows, write_rows

from tunescope.study import StudySettings, run
from tunescope.verbs.repair.rate import RateSettings, rate
from tunescope.verbs.select import SelectSettings, select

ROWS = [
    alpaca("Name a colour", "Red"),
    alpaca("Name a town", "Ulm"),
    alpaca("Name a river", "Rhine"),
    alpaca("Name a lake", "Como"),
    alpaca("Name a sea", "Aral"),
    alpaca("Name a bay", "Hudson"),
]
FAKE = [
    {"pattern": "Name a colour", "reply": "Score: 4.5\nRight."},
    {"pattern": "Name a town", "reply": "It is very good."},
    {"pattern": "Name a river", "reply": "4/5"},
    {"pattern": "Name a lake", "reply": "I think that it is Score", "finish_reason": "length"},
    {"pattern": "Name a sea", "reply": "I'm sorry, but I can't judge that."},
    {"pattern": "Name a bay", "reply": "", "finish_reason": "content_filter"},
]


def rated(folder, rows=ROWS, fake=FAKE, **settings):
    write_rows(folder / "rows.jsonl", rows)
    write_rows(folder / "fake.jsonl", fake)
    return rate(RateSettings(rows=("rows.jsonl",), oracle="fake:fake.jsonl", **settings))


def test_ratings_and_the_rows_that_they_choose(workplace):
    run = rated(workplace)
    table = run.tables["repairs"]
    assert table["rating"].to_pylist() == [4.5, None, 4.0, None, None, None]
    assert table["status"].to_pylist() == ["ok", "unparsed", "ok", "truncated", "refused", "refused"]
    assert table["reason"].to_pylist() == [
        "rated: 4.5 of 5 for accuracy",
        "unparsed: no one score from 0 to 5 in 'It is very good.'",
        "rated: 4 of 5 for accuracy",
        "truncated: no one score from 0 to 5 in 'I think that it is Score'",
        "refused: \"I'm sorry, but I can't judge that.\"",
        "refused: the server's content filter",
    ]
    assert (run.result["kept"], run.result["changed"], run.result["dropped"]) == (6, 0, 0)
    assert run.result["kept_by"] == {"rated": 2, "unparsed": 1, "truncated": 1, "refused": 2}
    assert run.result["rating"]["mean"] == 4.25
    assert (run.result["rating"]["n"], run.result["rating"]["n_missing"], run.result["n_unparsed"]) == (2, 4, 1)
    assert read_rows(run.path / "rows.jsonl") == ROWS

    chosen = select(SelectSettings(rows=("rows.jsonl",), from_=(str(run.path),), where="rating >= 4.5"))
    assert read_rows(chosen.path / "rows.jsonl") == ROWS[:1]
    reasons = chosen.tables["decisions"]["reason"].to_pylist()
    assert reasons[1:3] == ["missing: rating = null", "where: rating = 4"]


def test_the_interval_of_ratings_ends_at_the_scale(workplace):
    rows = [alpaca(f"Name a colour {i}", "Red") for i in range(20)]
    fake = [{"pattern": "colour 0", "reply": "Score: 1"}, {"pattern": "colour", "reply": "Score: 5"}]
    rating = rated(workplace, rows, fake).result["rating"]
    assert (rating["mean"], rating["n"], rating["high"]) == (4.8, 20, 5)
    assert rating["low"] < 4.8


def test_the_reply_is_in_the_lineage(workplace):
    run = rated(workplace)
    lines = [json.loads(line) for line in (run.path / "rows.lineage.jsonl").read_text().splitlines()]
    assert len(lines) == 6
    (step,) = lines[0]["lineage"]
    assert (step["operation"], step["reason"], step["old"]) == ("repair rate", "rated: 4.5 of 5 for accuracy", {})
    assert step["notes"] == {"reply": "Score: 4.5\nRight."}
    assert len(step["call_ids"][0]) == len(step["prompt_hash"]) == 16
    assert step["parents"] == [run.tables["repairs"]["row_id"][0].as_py()]


def test_in_a_recipe(workplace):
    write_rows(workplace / "rows.jsonl", ROWS)
    write_rows(workplace / "fake.jsonl", FAKE)
    (workplace / "recipe.yaml").write_text(
        "about: Choose rows by their rating.\n"
        "steps:\n"
        "  rated: {verb: repair rate, rows: rows.jsonl, oracle: 'fake:fake.jsonl'}\n"
        "  best: {verb: select, rows: rows.jsonl, from: '{rated}', where: 'rating >= 4'}\n"
    )
    run(StudySettings(recipe="recipe.yaml"))
    (best,) = workplace.glob("runs/select-*/rows.jsonl")
    assert read_rows(best) == [ROWS[0], ROWS[2]]


def test_a_cut_grade_is_none(workplace):
    run = rated(workplace, ROWS[:2], [{"pattern": "", "reply": "Score: 4", "finish_reason": "length"}])
    assert run.tables["repairs"]["rating"].to_pylist() == [None, None]
    assert run.result["statuses"]["truncated"] == 2
    assert run.result["rating"]["mean"] is None


def test_another_aspect_on_another_scale(workplace):
    run = rated(workplace, ROWS[:1], [{"pattern": "the clarity of.*to 10 ", "reply": "Clarity: 9.5/10"}], **CLARITY)
    assert run.tables["repairs"].select(["rating", "aspect"]).to_pylist() == [{"rating": 9.5, "aspect": "clarity"}]


CLARITY = {"aspect": "clarity", "scale": 10}
