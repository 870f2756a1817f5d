"""A person's own questions as a task: records with `question`, `choices` (or columns A, B, …) and `answer`."""

from __future__ import annotations

import json
from itertools import takewhile
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from tunescope.questions.bench_task import BenchTask
from tunescope.questions.documents import Doc

_COLUMNS = ("question", "choices", "answer")
QUESTIONS = BenchTask(
    name="questions",
    lm_eval=None,
    about="A person's own questions.",
    category=None,
    metric="acc",
    shots=0,
    source="a person's own file",
    files={},
    columns=_COLUMNS,
    config={
        "output_type": "multiple_choice",
        "test_split": "test",
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "doc_to_choice": "choices",
        "doc_to_target": "gold",
        "metric_list": [
            {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
            {"metric": "acc_norm", "aggregation": "mean", "higher_is_better": True},
        ],
    },
)
"""ARC's prompt, for any question with choices. A question's optional `subject` and `category` stay in its document."""


def read_question(record: Doc, path: Path) -> Doc:
    """Return the document of a record.

    `choices` is a list of texts, or ARC's `{"text": […], "label": […]}`, either also as JSON in a text, as a table
    has it. Without it the columns A, B, … are the choices, as MMLU's tables have them. `answer` is a choice's text,
    its label (A, B, … where the record names none), or its index, a number from 0; in this order where it could be two
    of them. A text of digits is no index: whether it counts from 0 or from 1 can't be told.

    Raises:
        ValueError: no such question; it says what was found and what was expected.
    """
    choices, labels = _choices(_said_choices(record))
    if not isinstance(record["question"], str) or not record["question"].strip():
        raise ValueError(f"the question {record['question']!r} isn't a text")
    optional = {name: str(record.get(name) or "") for name in ("subject", "category")}
    gold = _gold(record["answer"], choices, labels)
    return {"question": record["question"], "choices": choices, "gold": gold, **optional}


def _said_choices(record: Doc) -> Any:
    said = record.get("choices")
    if said is None:
        lettered = [record.get(letter) for letter in ascii_uppercase]
        said = [*takewhile(lambda text: text is not None and text != "", lettered)]
        if not said:
            columns = ", ".join(name for name, value in record.items() if value is not None)
            raise ValueError(f"the columns {columns} have no choices: expected choices, or A, B and so on")
    if isinstance(said, str) and said.lstrip().startswith(("[", "{")):
        return json.loads(said)
    return said


def _choices(said: Any) -> tuple[list[str], list[str]]:
    texts = said.get("text") if isinstance(said, dict) else said
    if not isinstance(texts, list) or len(texts) < 2 or not all(isinstance(text, str) and text for text in texts):
        raise ValueError(f"the choices {said!r} aren't a list of two or more texts")
    if len(set(texts)) < len(texts):
        raise ValueError(f"the choices {said!r} have one text twice")
    labels = said.get("label") if isinstance(said, dict) else list(ascii_uppercase[: len(texts)])
    if not isinstance(labels, list) or len(labels) != len(texts):
        raise ValueError(f"the choices have {len(texts)} texts and the labels {labels!r}")
    return texts, [str(label) for label in labels]


def _gold(answer: Any, choices: list[str], labels: list[str]) -> int:
    is_number = isinstance(answer, int) and not isinstance(answer, bool)
    for named in (choices, labels):
        if (said := str(answer) if is_number else answer) in named:
            return named.index(said)
    if is_number and 0 <= answer < len(choices):
        return int(answer)
    what = f"the answer {answer!r} is neither a choice's text, nor one of the labels {', '.join(labels)}"
    if isinstance(answer, str) and answer.strip().isdigit():
        raise ValueError(f"{what}, and an index is a number, not a text (as every cell is of CSV): give text or label")
    raise ValueError(f"{what}, nor an index from 0 to {len(choices) - 1}")
