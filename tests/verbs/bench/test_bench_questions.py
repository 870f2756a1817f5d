"""A person's own questions: what an answer may be, and what is said of a file that doesn't fit."""

from __future__ import annotations

import json

import pytest
from tests.tools import write_rows

from tunescope.errors import InputError, TunescopeError
from tunescope.verbs.bench.tasks.build import build
from tunescope.verbs.bench.tasks.catalogue import find_suite

pytest.importorskip("torch")
pytest.importorskip("lm_eval")

CHOICES = ["red", "green", "blue"]


def ask(path, **how):
    (use,) = find_suite([str(path)], **how).uses
    (task,) = build(use, None).tasks
    return task


@pytest.mark.parametrize(
    ("answer", "choices", "gold"),
    [
        ("green", CHOICES, 1),
        (2, CHOICES, 2),
        ("C", CHOICES, 2),
        ("A", ["B", "A"], 1),  # a text comes before a label
        ("2", ["1", "2"], 1),
        ("2", {"text": CHOICES, "label": ["1", "2", "3"]}, 1),
        ("green", {"text": CHOICES, "label": ["x", "y", "z"]}, 1),
        (1, {"text": CHOICES, "label": ["1", "2", "3"]}, 0),  # both come before an index
        (2, ["1", "2", "3"], 1),
        (0, ["1", "2", "3"], 0),
    ],
)
def test_answers_are_texts_labels_or_indices(answer, choices, gold, tmp_path):
    path = write_rows(tmp_path / "mine.jsonl", [{"question": "Which?", "choices": choices, "answer": answer}])
    task = ask(path)
    doc = task.eval_docs[0]
    assert (task.task_name, task.doc_to_text(doc), task.doc_to_target(doc)) == (
        "mine",
        "Question: Which?\nAnswer:",
        gold,
    )
    assert task.chance() == pytest.approx(1 / len(task.doc_to_choice(doc)))


def test_subject_and_category_stay_with_the_question(tmp_path):
    question = {"question": "Which?", "choices": CHOICES, "answer": 0, "subject": "paint"}
    task = ask(write_rows(tmp_path / "mine.jsonl", [question, question | {"question": "And?", "category": "art"}]))
    assert [(doc["subject"], doc["category"]) for doc in task.eval_docs] == [("paint", ""), ("paint", "art")]


def test_exemplars_are_the_other_questions(tmp_path):
    questions = [{"question": f"Which {n}?", "choices": CHOICES, "answer": n} for n in range(3)]
    task = ask(write_rows(tmp_path / "mine.jsonl", questions), shots=2)
    task.set_fewshot_seed(0)
    for doc in task.eval_docs:
        context = task.fewshot_context(doc, num_fewshot=2)
        assert sorted(context.split("\n\n")[:2]) == sorted(
            f"Question: Which {n}?\nAnswer: {CHOICES[n]}" for n in range(3) if f"Which {n}?" != doc["question"]
        )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("q.csv", 'question,choices,answer\nWhich?,"[""red"", ""green""]",green\n'),
        ("q.csv", "question,A,B,C,answer\nWhich?,red,green,,B\n"),
        ("q.tsv", "question\tA\tB\tanswer\nWhich?\tred\tgreen\tB\n"),
        ("q.json", '[{"question": "Which?", "choices": ["red", "green"], "answer": 1}]'),
        ("my questions", '{"question": "Which?", "A": "red", "B": "green", "answer": "green"}\n'),
    ],
)
def test_questions_come_in_every_container(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    (doc,) = ask(tmp_path / name).eval_docs
    assert (doc["question"], doc["choices"], doc["gold"]) == ("Which?", ["red", "green"], 1)


def test_questions_without_choices_are_named(tmp_path):
    (tmp_path / "q.csv").write_text("question,one,two,answer\nWhich?,red,green,red\n")
    with pytest.raises(
        InputError,
        match=r"q\.csv:2: .*the columns question, one, two, answer have no choices: expected choices, or ",
    ):
        ask(tmp_path / "q.csv")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"answer": "purple"},
            "the answer 'purple' is neither a choice's text, nor one of the labels A, B, C, nor an ",
        ),
        ({"answer": 3}, "nor an index from 0 to 2"),
        ({"answer": True}, "the answer True is neither"),
        ({"answer": "1"}, "the answer '1' is neither"),  # from 0 or from 1?
        ({"answer": "1"}, "an index is a number, not a text (as every cell is of CSV): give text or label"),
        ({"choices": ["red"]}, "aren't a list of two or more texts"),
        ({"choices": "red, green"}, "aren't a list of two or more texts"),
        ({"choices": ["red", "red"]}, "have one text twice"),
        ({"choices": {"text": CHOICES, "label": ["A"]}}, "have 3 texts and the labels ['A']"),
        ({"question": " "}, "the question ' ' isn't a text"),
    ],
)
def test_what_doesnt_fit_is_named_with_its_line(change, said, tmp_path):
    good = {"question": "Which?", "choices": CHOICES, "answer": 0}
    path = write_rows(tmp_path / "mine.jsonl", [good, good | change])
    with pytest.raises(InputError) as refusal:
        ask(path)
    assert str(refusal.value).startswith(f"{path}:2: found ")
    assert said in str(refusal.value)


def test_missing_columns_broken_lines_and_no_file(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"question": "Which?", "choices": CHOICES}) + "\n{")
    with pytest.raises(InputError) as refusal:
        ask(path)
    first, second = refusal.value.problems
    assert str(first) == (
        f"{path}:1: found the columns question, choices; expected question, answer (without answer it is no question)"
    )
    assert second.line == 2
    path.write_text("")
    with pytest.raises(InputError, match="found an empty file; expected at least one row"):
        ask(path)
    path.write_text("[]")
    with pytest.raises(InputError, match="found no record; expected at least one question"):
        ask(path)
    with pytest.raises(
        TunescopeError, match=r"there is no file .*; expected JSON lines with question, choices and answer"
    ):
        ask(tmp_path / "none.jsonl")
