"""Programming problems: HumanEval's and MBPP's records, what a model continues, and how a completion is tested."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from tunescope.errors import InputError, Problem
from tunescope.locations import Location
from tunescope.prompts import read_records
from tunescope.rows.json_text import kind
from tunescope.sandbox.pool import Program

Template: TypeAlias = Callable[[list[dict[str, str]]], str]
"""Turns (role, content) → the text of a chat up to where the model's next turn begins."""
_HUMANEVAL_STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""Where a completion ends (Chen et al. 2021, section 2.1; the same as lm-eval's)."""
_MBPP_STOPS = ("[DONE]",)
_MBPP_BEGIN = "[BEGIN]\n"
_FENCE = "```"
_CHAT_STOPS = (f"\n{_FENCE}",)
"""Where code ends that a chat model writes between fences."""
_MBPP_EXAMPLES = ("2", "3", "4")
"""The problems of the split `prompt` that come before every question (Austin et al. 2021, arXiv 2108.07732)."""


class SolvedProblem(NamedTuple):
    """A problem that is shown with its solution."""

    question: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class CodeProblem:
    """A problem: what the model continues, and how a completion is tested.

    Attributes:
        task: `humaneval` or `mbpp`.
        problem: the data set's own id.
        question: what the model continues, after the examples.
        examples: problems with solutions, which come before it.
        stops: texts at the first of which a completion ends.
        begins: what comes before the completion in the program.
        setup: trusted code that the tests need.
        tests: trusted code that raises where a test fails.
        names: what the tests take from the program.
        solution: the data set's own solution, as a completion.
        template: puts turns into the model's chat template; None where the model continues plain text.
    """

    task: str
    problem: str
    question: str
    examples: tuple[SolvedProblem, ...] = ()
    stops: tuple[str, ...]
    begins: str
    setup: str
    tests: str
    names: tuple[str, ...]
    solution: str
    template: Template | None = field(default=None, compare=False)

    @property
    def prompt(self) -> str:
        """What the model continues.

        In a chat, examples are earlier turns, and the model's turn begins where plain text would: in HumanEval with the
        function's first lines between fences, in MBPP behind [BEGIN].
        """
        if self.template is None:
            return "".join(f"{each.question}{each.answer}\n\n" for each in self.examples) + self.question
        turns: list[dict[str, str]] = []
        for question, answer in (*self.examples, SolvedProblem(self.question, "")):
            asked, begun = _as_turn(question) if self.task == "mbpp" else _as_fenced(question)
            turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": begun + answer}]
        return self.template(turns[:-1]) + turns[-1]["content"]

    @property
    def ends(self) -> tuple[str, ...]:
        """Texts at the first of which a completion ends, in a chat also the closing fence."""
        return self.stops if self.template is None else (*self.stops, *_CHAT_STOPS)

    @property
    def content_hash(self) -> str:
        """What names its content, whatever comes before it: question and tests."""
        return sha256("\n".join([self.problem, self.question, self.setup, self.tests]).encode()).hexdigest()

    def cut(self, completion: str) -> str:
        """Return a completion up to the first stop sequence in it."""
        return completion[: min((at for stop in self.ends if (at := completion.find(stop)) >= 0), default=None)]

    def program(self, completion: str) -> Program:
        """Return what runs: the completion where it belongs, and the tests."""
        return Program(self.begins + completion, self.setup, self.tests, self.names)


CODE_TASKS: Mapping[str, str] = {"humaneval": "openai_humaneval", "mbpp": "mbpp"}
"""The tasks, each with its folder in the data folder."""


def code_folder(task: str, data: Path) -> Path:
    """Return the folder with a task's files."""
    return data / CODE_TASKS[task]


def read_code_problems(task: str, data: Path) -> list[CodeProblem]:
    """Read the problems of a task from the data folder.

    Raises:
        InputError: as `read_humaneval` and `read_mbpp`.
    """
    return (read_humaneval if task == "humaneval" else read_mbpp)(code_folder(task, data))


def read_humaneval(folder: Path) -> list[CodeProblem]:
    """Read `test.jsonl` of a folder with the columns of `openai/openai_humaneval`.

    Raises:
        InputError: records without the columns, or whose prompt or test isn't Python.
    """
    return [
        _humaneval_problem(record) for record in _read(folder / "test.jsonl", _HUMANEVAL_COLUMNS, ("prompt", "test"))
    ]


def read_mbpp(folder: Path, split: str = "test") -> list[CodeProblem]:
    """Read a split of a folder with the columns of `google-research-datasets/mbpp`, and its examples in `prompt.jsonl`.

    Raises:
        InputError: records without the columns, or whose code or tests aren't Python; or an example that isn't there.
    """
    examples_file = folder / "prompt.jsonl"
    examples = {str(record["task_id"]): record for record in _read(examples_file, _MBPP_COLUMNS, ("code", "test_list"))}
    if missing := [name for name in _MBPP_EXAMPLES if name not in examples]:
        expected = f"the examples {', '.join(_MBPP_EXAMPLES)} of the split prompt"
        raise InputError([Problem(str(examples_file), None, f"no task_id {', '.join(missing)}", expected)])
    shown = tuple(
        SolvedProblem(_mbpp_question(examples[name]), f"{examples[name]['code']}\n[DONE]") for name in _MBPP_EXAMPLES
    )
    records = _read(folder / f"{split}.jsonl", _MBPP_COLUMNS, ("code", "test_setup_code", "test_list"))
    return [mbpp_problem(record, shown) for record in records]


_HUMANEVAL_COLUMNS: Mapping[str, type[Any]] = {
    **{"task_id": str, "prompt": str, "entry_point": str, "canonical_solution": str, "test": str},
}
_MBPP_COLUMNS: Mapping[str, type[Any]] = {
    **{"task_id": int, "text": str, "code": str, "test_list": list, "test_setup_code": str},
}


def _read(path: Path, columns: Mapping[str, type[Any]], python: Iterable[str]) -> list[dict[str, Any]]:
    """Read the records of a file; those of the `columns` that are in `python` hold Python, or a list of its lines.

    Raises:
        InputError: one report of all records without these columns.
    """
    records: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for location, record, problem in read_records(path, f"records with {', '.join(columns)}"):
        fault = problem if record is None else _find_fault(location, record, columns, python)
        if fault is not None:
            problems.append(fault)
        elif record is not None:
            records.append(record)
    if problems:
        raise InputError(problems, "Columns are those of the official data set.")
    return records


def _find_fault(
    location: Location, record: Mapping[str, Any], columns: Mapping[str, type[Any]], python: Iterable[str]
) -> Problem | None:
    for column, expected in columns.items():
        if not isinstance(record.get(column), expected):
            found = f"{kind(record[column])} in column {column}" if column in record else f"no column {column}"
            return Problem.at(location, found, {str: "a text", int: "a whole number", list: "a list"}[expected])
    for column in python:
        lines = record[column] if isinstance(record[column], list) else [record[column]]
        if others := [line for line in lines if not isinstance(line, str)]:
            return Problem.at(location, f"{kind(others[0])} in the list of column {column}", "texts")
        try:
            _parse("\n".join(lines))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return Problem.at(location, f"column {column}: {error}", "Python")
    return None


def _humaneval_problem(record: Mapping[str, Any]) -> CodeProblem:
    """Return a problem of HumanEval. Its prompt is Python of its own, with the helpers that some tests call."""
    return CodeProblem(
        task="humaneval",
        problem=record["task_id"],
        question=record["prompt"],
        stops=_HUMANEVAL_STOPS,
        begins=record["prompt"],
        setup=record["prompt"],
        tests=f"{record['test']}\ncheck({record['entry_point']})",
        names=(record["entry_point"],),
        solution=record["canonical_solution"],
    )


def mbpp_problem(record: Mapping[str, Any], shown: tuple[SolvedProblem, ...] = ()) -> CodeProblem:
    """Return a problem of MBPP, whose question comes after the examples `shown`."""
    tests = "\n".join([record["test_setup_code"], *record["test_list"]])
    return CodeProblem(
        task="mbpp",
        problem=str(record["task_id"]),
        question=_mbpp_question(record),
        examples=shown,
        stops=_MBPP_STOPS,
        begins="",
        setup=_imports(record["code"]),
        tests=tests,
        names=_defined_and_used(record["code"], tests),
        solution=record["code"],
    )


def _mbpp_question(record: Mapping[str, Any]) -> str:
    tests = "\n".join(record["test_list"])
    task = f"You are an expert Python programmer, and here is your task: {record['text']}"
    return f"{task} Your code should pass these tests:\n\n{tests}\n{_MBPP_BEGIN}"


def _as_turn(question: str) -> tuple[str, str]:
    """Return what a person says of MBPP's question, and how the model's turn begins."""
    return question.removesuffix(f"\n{_MBPP_BEGIN}"), _MBPP_BEGIN


def _as_fenced(question: str) -> tuple[str, str]:
    """Return what a person says of HumanEval's question, and how the model's turn begins."""
    fenced = f"{_FENCE}python\n{question}"
    return f"Complete this Python function. Reply with the whole function only.\n\n{fenced}{_FENCE}", fenced


def _imports(code: str) -> str:
    """Return the import statements at the top of the data set's own solution: some tests use what it imports."""
    found = [node for node in _parse(code).body if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(map(ast.unparse, found))


def _defined_and_used(code: str, tests: str) -> tuple[str, ...]:
    """Return the functions and classes that the data set's own solution defines and its tests use."""
    used = {node.id for node in ast.walk(_parse(tests)) if isinstance(node, ast.Name)}
    defined = [node.name for node in _parse(code).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return tuple(name for name in dict.fromkeys(defined) if name in used)


def _parse(code: str) -> ast.Module:
    """Parse Python, and say nothing of escapes that newer versions warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(code)
