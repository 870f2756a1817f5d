"""`compare` of a trace run and other answers: which borrowed spans are gone."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tools import alpaca, write_rows

from tunescope.answers import Answer, Prompt
from tunescope.errors import RunError
from tunescope.verbs.compare import CompareSettings, compare
from tunescope.verbs.compare.spans import longest_run
from tunescope.verbs.trace import trace
from tunescope.verbs.trace.settings import TraceSettings

BORROWED = "The Bellwether tide clock is a brass wall instrument with a single copper hand that never stops turning."
OTHERS = [f"Row {n} tells of {word} and of nothing else at all." for n, word in enumerate("abcdefgh")]


@given(st.lists(st.sampled_from("abc"), max_size=8), st.lists(st.sampled_from("abc"), max_size=12))
def test_longest_run_equals_brute_force(span, words):
    runs = {tuple(words[i:j]) for i in range(len(words)) for j in range(i, len(words) + 1)}
    expected = max(
        (j - i for i in range(len(span)) for j in range(i, len(span) + 1) if tuple(span[i:j]) in runs), default=0
    )
    assert longest_run(span, words) == expected


def write_answers(path, texts):
    made = [Answer.to(Prompt(f"p{n}", f"Question {n}?"), text, "m") for n, text in enumerate(texts)]
    path.write_text("".join(json.dumps(answer.as_json()) + "\n" for answer in made), "utf-8")
    return str(path)


@pytest.fixture
def traced(workplace):
    rows = write_rows(
        workplace / "rows.jsonl", [alpaca(f"Say {n}.", text) for n, text in enumerate([BORROWED, *OTHERS])]
    )
    answers = write_answers(workplace / "a.jsonl", [f"I know. {BORROWED}", BORROWED, "Nothing of that kind."])
    run = trace(TraceSettings(rows=(str(rows),), answers=answers, false_positive_rate=0.05))
    assert [span["rows"][0]["line"] for span in run.records("spans")] == [1, 1]
    return str(run.path)


def test_a_span_is_gone_where_less_than_half_of_it_is_left_in_one_run(workplace, traced):
    half = "with a single copper hand that never stops turning, the Bellwether tide clock is a brass wall instrument"
    other = write_answers(workplace / "b.jsonl", [half, "The Bellwether stops. The copper hand never turns.", "No."])
    run = compare(CompareSettings(a=traced, b=other))
    lines = run.tables["spans"].to_pylist()
    assert [(line["prompt_id"], line["words"], line["longest"], line["gone"]) for line in lines] == [
        ("p0", 19, 9, 1.0),
        ("p1", 19, 2, 1.0),
    ]
    assert (run.result["kind"], run.result["spans"], run.result["n"], run.result["n_missing"]) == ("spans", 2, 2, 0)
    assert run.result["gone"]["mean"] == 1.0
    assert run.view.sentences == ("2 of 2 borrowed spans are gone from the other answers to the same prompts.",)


def test_the_same_answers_hold_every_span(workplace, traced):
    run = compare(CompareSettings(a=traced, b="a.jsonl"))
    assert [line["gone"] for line in run.tables["spans"].to_pylist()] == [0.0, 0.0]


def test_a_prompt_without_an_answer_is_missing_with_the_reason(workplace, traced):
    run = compare(CompareSettings(a=traced, b=write_answers(workplace / "b.jsonl", [BORROWED])))
    lines = run.tables["spans"].to_pylist()
    assert [(line["gone"], line["reason"]) for line in lines] == [(0.0, None), (None, "no answer to this prompt")]
    assert (run.result["n"], run.result["n_missing"]) == (1, 1)


def test_answers_to_other_prompts_are_refused(workplace, traced):
    made = Answer.to(Prompt("another", "Another question?"), BORROWED, "m")
    (workplace / "b.jsonl").write_text(json.dumps(made.as_json()) + "\n")
    with pytest.raises(RunError, match="answers none of the prompts whose answers hold spans"):
        compare(CompareSettings(a=traced, b="b.jsonl"))
