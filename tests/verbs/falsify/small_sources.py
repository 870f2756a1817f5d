"""A data folder with a few rows of each source, in its schema, and one benchmark file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.tools import write_rows

LETTERS = ("A", "B", "C", "D", "E", "F", "G", "H")


def labelled(number: int, n_options: int, key: str = "B", question: str = "question", **more: Any) -> dict[str, Any]:
    """Return a record of AI2's kind."""
    texts = [f"option {number} {letter.lower()}x" for letter in LETTERS[:n_options]]
    choices = {"text": texts, "label": list(LETTERS[:n_options])}
    asked = f"Which {'one ' if question == 'question_stem' else ''}is number {number}?"
    return {"id": f"q{number}", question: asked, "choices": choices, "answerKey": key, **more}


def mbpp(number: int, body: str, test: str) -> dict[str, Any]:
    """Return a record of MBPP's kind."""
    text = f"Write a function for number {number}."
    return {"task_id": number, "text": text, "code": body, "test_list": [test], "test_setup_code": ""}


RECORDS: dict[str, list[dict[str, Any]]] = {
    "qasc/train": [labelled(n, 8, "C", combinedfact=f"fact {n}") for n in range(3)],
    "commonsense_qa/train": [labelled(n, 5) for n in range(3)],
    "openbookqa/train": [labelled(n, 4, question="question_stem", fact1="a fact") for n in range(3)],
    "winogrande/train_from_validation": [
        {"sentence": f"The cat saw the dog and _ ran {n}.", "option1": "cat", "option2": "dog", "answer": "1"}
        for n in range(3)
    ],
    "restricted/sciq/train_from_test": [
        {
            **{"question": f"What is it {n}?", "correct_answer": "right", "support": "It is."},
            **{f"distractor{i}": f"wrong {i}" for i in (1, 2, 3)},
        }
        for n in range(3)
    ],
    "aqua_rat/validation": [
        {
            **{"question": f"How much is {n} + 1?", "options": ["A)7", "B)$8", "C)9", "D)10", "E)None of these"]},
            **{"rationale": "One counts.", "correct": "D"},
        }
        for n in range(3)
    ],
    "quartz/train": [labelled(n, 2, "A", para="More of it.") for n in range(3)],
    "conala/train": [
        {"question_id": 1, "intent": "sort", "rewritten_intent": "sort list `x`", "snippet": "x.sort()"},
        {"question_id": 1, "intent": "sort", "rewritten_intent": None, "snippet": "sorted(x)"},
        {"question_id": 2, "intent": "reverse", "rewritten_intent": "reverse list `x`", "snippet": "x.reverse()"},
    ],
    "mbpp/train": [
        mbpp(1, "def one(n):\r\n    return n + 1", "assert one(1) == 2"),
        mbpp(2, "def one(n):\n    return 1 + n", "assert one(2) == 3"),
        mbpp(3, "def two(n):\n    return n + 2", "assert two(1) == 3"),
        mbpp(4, "def bad(n):\n    return n", "assert bad(1) == 2"),
    ],
}
"""The rows of each source. Either of the first two codes of MBPP passes the other's test; the last fails its own."""


def write_sources(folder: Path) -> Path:
    """Write all files; the second question of OpenBookQA is in its test file too."""
    for name, records in RECORDS.items():
        path = folder / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_rows(path, records)
    again = labelled(9, 4, question="question_stem") | {"question_stem": "which one is NUMBER 1"}
    write_rows(folder / "openbookqa/test.jsonl", [again])
    return folder
