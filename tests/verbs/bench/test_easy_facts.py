"""The package's own easy questions: their form, and that `bench` finds them without a data folder."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from tunescope.questions import bench_task
from tunescope.verbs.bench.tasks import catalogue

FILE = Path(bench_task.__file__).with_name("tasks") / "easy_facts.jsonl"
QUESTIONS = [json.loads(line) for line in FILE.read_text("utf-8").splitlines()]


def words(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


def test_at_least_two_hundred_with_four_choices_each():
    assert len(QUESTIONS) == 253
    for question in QUESTIONS:
        assert set(question) == {"question", "choices", "answer", "subject"}
        assert question["question"].endswith("?")
        assert len({choice.strip().lower() for choice in question["choices"]}) == 4
        assert question["choices"].count(question["answer"]) == 1


def test_no_question_twice():
    assert max(Counter(words(question["question"]) for question in QUESTIONS).values()) == 1


def test_letters_are_spread_evenly():
    letters = Counter("ABCD"[question["choices"].index(question["answer"])] for question in QUESTIONS)
    assert sorted(letters.values()) == [63, 63, 63, 64]


def test_no_subject_is_one_of_the_tuning_sources():
    subjects = Counter(question["subject"] for question in QUESTIONS)
    assert len(subjects) == 9
    assert max(subjects.values()) <= 40
    assert not re.search("science|physics|biology|chemistry|common sense", " ".join(subjects))


def test_the_first_questions_are_a_mixture():
    """`--limit` takes the first ones."""
    assert len({question["subject"] for question in QUESTIONS[:40]}) >= 8


def test_it_is_a_task_without_a_data_folder():
    pytest.importorskip("lm_eval")
    from tunescope.verbs.bench.tasks.build import build

    (use,) = catalogue.find_suite(["easy_facts"]).uses
    built = build(use, None)
    (task,) = built.tasks
    docs = list(task.eval_docs)
    assert (built.reason, len(docs), task.chance()) == (None, 253, 0.25)
    assert [task.doc_to_choice(doc)[task.doc_to_target(doc)] for doc in docs] == [q["answer"] for q in QUESTIONS]
    assert task.doc_to_text(docs[0]) == f"Question: {QUESTIONS[0]['question']}\nAnswer:"
