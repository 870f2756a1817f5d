"""HumanEval and MBPP: problems whose answers are code, which runs against their tests in the sandbox."""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from tunescope import stats
from tunescope.engine import cores
from tunescope.errors import InputError, Problem, TunescopeError
from tunescope.locations import Location
from tunescope.prompts import read_records
from tunescope.results.code import CodeProblemResult, CodeSample, CodeScore
from tunescope.results.estimates import MeanEstimate
from tunescope.rows.json_text import kind
from tunescope.sandbox.pool import Limits, Program, Ran, run_programs, strongest_protection

Complete: TypeAlias = Callable[[Sequence[str], int, int], Sequence[Sequence[str]]]
"""Prompts, samples a prompt and a seed → each prompt's samples, without the prompt."""
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


class Example(NamedTuple):
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
    examples: tuple[Example, ...] = ()
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
        for question, answer in (*self.examples, Example(self.question, "")):
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


@dataclass(frozen=True, kw_only=True)
class CodeSampling:
    """How completions are drawn from the model, which decides pass@k as much as the model does.

    Attributes:
        n: samples a problem.
        temperature: 0 is greedy.
        top_p: the share of probability from which tokens are drawn.
        seed: of the draws.
    """

    n: int = 10
    temperature: float = 0.8
    top_p: float = 0.95
    seed: int = 0


class FittedProblems(NamedTuple):
    """Problems that fit into a context, how many of them by fewer examples, and those that don't, each with a reason.

    Attributes:
        problems: those that fit, in their order.
        n_cut: how many of them have fewer examples than wanted.
        missing: the others' names, each with the reason.
    """

    problems: list[CodeProblem]
    n_cut: int
    missing: dict[str, str]


class CodeResults(NamedTuple):
    """A task's score, its problems and its samples."""

    score: CodeScore
    problems: list[CodeProblemResult]
    samples: list[CodeSample]


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
        Example(_mbpp_question(examples[name]), f"{examples[name]['code']}\n[DONE]") for name in _MBPP_EXAMPLES
    )
    records = _read(folder / f"{split}.jsonl", _MBPP_COLUMNS, ("code", "test_setup_code", "test_list"))
    return [_mbpp_problem(record, shown) for record in records]


def fit_problems(
    problems: Sequence[CodeProblem], count_tokens: Callable[[str], int], context: int, longest: int
) -> FittedProblems:
    """Leave out examples, the last ones first, until a prompt and its `longest` completion fit into a context.

    A prompt without examples stays where one token can follow it: its completions end with the context.
    """
    fitted: list[CodeProblem] = []
    missing: dict[str, str] = {}
    n_cut = 0
    for problem in problems:
        for n in range(len(problem.examples), -1, -1):
            chosen = replace(problem, examples=problem.examples[:n])
            length = count_tokens(chosen.prompt)
            if length + longest <= context:
                break
        if length >= context:
            missing[problem.problem] = f"its prompt has {length:,} tokens; the model's context holds {context:,}"
            continue
        fitted.append(chosen)
        n_cut += n < len(problem.examples)
    return FittedProblems(fitted, n_cut, missing)


def score_completions(
    problems: FittedProblems,
    complete: Complete,
    sampling: CodeSampling,
    limits: Limits | None = None,
    workers: int | None = None,
) -> CodeResults:
    """Draw samples of one task's problems, run them and score them.

    Args:
        problems: of one task, as they fit into the context.
        complete: draws the samples; called once, with all prompts.
        sampling: how, as the score says it; `complete` has to draw so.
        limits: what each sample may use; 3 seconds and 1 GiB by default.
        workers: samples that run at a time; by default as many as there are cores.

    Raises:
        TunescopeError: `complete` returns another number of samples than was asked for.
        WorkError: no sandbox starts.
    """
    limits = limits or Limits()
    asked = problems.problems
    drawn = complete([each.prompt for each in asked], sampling.n, sampling.seed)
    counts = [len(completions) for completions in drawn]
    if counts != [sampling.n] * len(asked):
        raise TunescopeError(f"found {counts} samples of {len(asked)} problems; expected {sampling.n} of each")
    completions = [(each, each.cut(text)) for each, texts in zip(asked, drawn, strict=True) for text in texts]
    ran = run_programs([each.program(text) for each, text in completions], limits, workers or cores())
    samples = [
        _sample(number % sampling.n, each, text, how)
        for number, ((each, text), how) in enumerate(zip(completions, ran, strict=True))
    ]
    results = _by_problem(samples)
    return CodeResults(_score(problems, results, samples, sampling, limits), results, samples)


def _sample(number: int, problem: CodeProblem, completion: str, ran: Ran) -> CodeSample:
    return CodeSample(
        task=problem.task,
        problem=problem.problem,
        sample=number,
        status=ran.status,
        reason=ran.reason,
        completion=completion,
    )


def _by_problem(samples: Iterable[CodeSample]) -> list[CodeProblemResult]:
    """Count each problem's samples; problems are in the order of their first ones."""
    counts: dict[tuple[str, str], list[bool]] = {}
    for each in samples:
        counts.setdefault((each.task, each.problem), []).append(each.status == "passed")
    return [
        CodeProblemResult(
            task=task,
            problem=problem,
            n=len(passed),
            passed=sum(passed),
            pass_at_1=_pass_at(1, passed),
            pass_at_10=_pass_at(10, passed),
        )
        for (task, problem), passed in counts.items()
    ]


def _pass_at(k: int, passed: Sequence[bool]) -> float | None:
    return stats.pass_at_k(len(passed), sum(passed), k) if k <= len(passed) else None


def _score(
    problems: FittedProblems,
    results: Sequence[CodeProblemResult],
    samples: Sequence[CodeSample],
    sampling: CodeSampling,
    limits: Limits,
) -> CodeScore:
    counts = [*((each.n, each.passed) for each in results), *((0, 0) for _ in problems.missing)]
    return CodeScore(
        pass_at_1=MeanEstimate.of(stats.mean_pass_at_k(counts, 1)),
        pass_at_10=MeanEstimate.of(stats.mean_pass_at_k(counts, 10)),
        samples=sampling.n,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed,
        seconds=limits.seconds,
        statuses=dict(Counter(each.status for each in samples).most_common()),
        n_cut=problems.n_cut,
        missing=problems.missing,
        protection=strongest_protection().sentence,
    )


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


def _mbpp_problem(record: Mapping[str, Any], shown: tuple[Example, ...]) -> CodeProblem:
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
