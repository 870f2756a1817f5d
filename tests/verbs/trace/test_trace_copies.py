"""Copies: whole responses and sentences of rows, word for word, whatever chance explains."""

from __future__ import annotations

import pytest
from tests.tools import alpaca, write_rows
from tests.verbs.trace.planted import Writer, answer

from tunescope.verbs.trace import trace
from tunescope.verbs.trace.settings import TraceSettings

pytestmark = pytest.mark.usefixtures("workplace")

SENTENCES = ("The old harbour has exactly nine wooden cranes.", "Its keeper can’t count beyond eight, they say.")
OWN = " ".join(SENTENCES)
HINDI = "सूर्य की गर्मी से समुद्र का पानी भाप बनकर ऊपर उठता है।"
THAI = "ท้องฟ้าสีฟ้าในตอนเช้าและนกร้องเพลงบนต้นไม้สูง"
PARAPHRASES = [alpaca(f"Tell me {i}", OWN.replace("exactly", f"about {i}")) for i in range(30)]
ROWS = [
    *(alpaca(Writer(i).text(8), Writer(100 + i).text(40)) for i in range(30)),
    *PARAPHRASES,
    alpaca("Harbour?", OWN),
    alpaca("जल चक्र?", HINDI),
    alpaca("Sky?", THAI),
    alpaca("Copy me: the answer to this line is never yes.", "Yes."),
]


def rows_path(folder):
    return str(write_rows(folder / "rows.jsonl", ROWS))


def traced(folder, *answers, **settings):
    path = str(write_rows(folder / "a.jsonl", list(answers)))
    return trace(TraceSettings(rows=(rows_path(folder),), answers=path, **settings))


def test_a_whole_response_is_named_where_its_paraphrases_are_the_null(workplace):
    run = trace(TraceSettings(rows=(rows_path(workplace),), text=f'"{OWN.upper()}"'))
    (copy,) = run.result["copies"]
    assert (copy["kind"], copy["words"], copy["n_rows"]) == ("response", 16, 1)
    (row,) = copy["rows"]
    assert (row["line"], row["field"], row["char_start"], row["char_end"]) == (61, "response", 0, len(OWN) - 1)
    assert run.view.sentences[0] == (
        f"This text is the whole response of row {row['row_id']} (rows.jsonl:61, response), word for word."
    ).replace("rows.jsonl", str(workplace / "rows.jsonl"))
    assert next(iter(run.records("copies")))["text"] == OWN.upper()[:-1]


def test_sentences_of_answers(workplace):
    decomposed = "Well. " + SENTENCES[1].replace("’", "'") + " So it goes!"
    answers = (
        answer(0, OWN),
        answer(1, decomposed),
        answer(2, f"{HINDI} ठीक है।"),
        answer(3, f"{THAI} ครับ"),
        answer(4, "Yes."),
        answer(5, "The old harbour has exactly ten wooden cranes."),
        answer(6, SENTENCES[0], prompt=f"Repeat: {SENTENCES[0]}"),
        answer(7, "As I said, the answer to this line is never yes.\nThe answer to this line is never yes"),
    )
    run = traced(workplace, *answers)
    copies = list(run.records("copies"))
    assert run.result["copies"] == copies
    ids = {line["prompt_id"]: line["answer_id"] for line in run.tables["answers"].to_pylist()}
    places = {
        name: [(c["kind"], c["words"], c["n_rows"]) for c in copies if c["answer_id"] == ids[name]] for name in ids
    }
    assert places == {
        "p0": [("response", 16, 1)],
        "p1": [("sentence", 8, 31)],
        "p2": [("sentence", 12, 1)],
        "p3": [],
        "p4": [],
        "p5": [],
        "p6": [("sentence", 8, 1)],
        "p7": [("sentence", 8, 1)],
    }
    assert [c["in_prompt"] for c in copies] == [False, False, False, True, False]
    assert run.tables["answers"]["copied"].to_pylist() == [16, 8, 12, 0, 0, 0, 8, 8]
    assert (run.result["copied_words"], run.result["answers_with_copies"]) == (52, 5)
    copied = {row["line"]: row["copied"] for row in run.tables["rows"].to_pylist() if row["copied"]}
    assert copied == {**dict.fromkeys(range(31, 61), 1), 61: 3, 62: 1, 64: 1}
    assert run.view.sentences[0] == (
        "5 of 8 answers copy 33 rows word for word: 1 whole response and 4 sentences of 6 words or more."
    )
    assert "Chance alone flags" in run.view.sentences[1]


def test_answers_that_equal_templated_rows(workplace):
    run = traced(workplace, *(answer(i, row["output"]) for i, row in enumerate(PARAPHRASES[:20])))
    assert [(copy["kind"], copy["n_rows"]) for copy in run.records("copies")] == [("response", 1)] * 20
    assert run.view.sentences[0] == (
        "20 of 20 answers copy 20 rows word for word: 20 whole responses and 0 sentences of 6 words or more."
    )


def test_a_thai_copy_and_no_copy(workplace):
    run = traced(workplace, answer(0, THAI))
    assert [(c["kind"], c["words"]) for c in run.result["copies"]] == [("response", 36)]
    run = traced(workplace, answer(0, "Nothing of this stands in any of those rows."))
    assert run.result["copies"] == []
    nothing = "No answer contains a sentence of 6 words or more that appears word for word in a row."
    assert run.view.sentences[0] == nothing


def test_a_stream_has_the_same_copies(workplace):
    looked_up, streamed = (traced(workplace, answer(0, OWN), answer(1, SENTENCES[1]), stream=s) for s in (False, True))
    assert looked_up.result["copies"] == streamed.result["copies"]
