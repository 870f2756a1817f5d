"""HumanEval and MBPP: prompts, where completions end, what runs, scores."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.tools import real, write_rows

from tunescope.errors import InputError, TunescopeError
from tunescope.questions.code_problems import read_humaneval, read_mbpp
from tunescope.sandbox.pool import Limits, Program, run_programs
from tunescope.verbs.bench.code_tasks import (
    CodeSampling,
    fit_problems,
    score_completions,
)

LONG = Limits(seconds=30.0)
ADD = {
    "task_id": "HumanEval/0",
    "prompt": 'from typing import List\n\n\ndef total(numbers: List[int]) -> int:\n    """Return the sum."""\n',
    "entry_point": "total",
    "canonical_solution": "    return sum(numbers)\n",
    "test": "\nMETADATA = {}\ndef check(f):\n    assert f([1, 2]) == 3\n    assert f([]) == 0\n",
}
SQUARE = {**ADD, "task_id": "HumanEval/1", "entry_point": "square", "canonical_solution": "    return n * n\n"}
SQUARE |= {"prompt": "def square(n):\n", "test": "def check(f):\n    assert f(3) == 9\n"}
SQUARE["prompt"] += '    """Square it."""\n'


def mbpp(number: int, code: str, tests: list[str], setup: str = "") -> dict[str, object]:
    return {
        **{"task_id": number, "text": f"Task {number}.", "code": code, "test_list": tests},
        **{"test_setup_code": setup, "challenge_test_list": []},
    }


def whole(problems):
    return fit_problems(problems, len, 10_000, 0)


@pytest.fixture
def humaneval(tmp_path: Path) -> Path:
    write_rows(tmp_path / "test.jsonl", [ADD, SQUARE])
    return tmp_path


@pytest.fixture
def mbpp_folder(tmp_path: Path) -> Path:
    shown = [mbpp(n, f"def f{n}(x):\r\n  return x", [f"assert f{n}({n}) == {n}"] * 3) for n in range(1, 6)]
    write_rows(tmp_path / "prompt.jsonl", shown)
    code = "import math\r\nclass Pair:\r\n  def __init__(self, a): self.a = a\r\n"
    code += "def help(x): return x\r\ndef sum(p): return p.a"
    setup = "pairs = [Pair(n) for n in range(3)]"
    tests = ["assert sum(pairs[1]) == 1", "assert sum(Pair(math.floor(2.5))) == 2", "assert len(pairs) == 3"]
    write_rows(tmp_path / "test.jsonl", [mbpp(11, code, tests, setup)])
    return tmp_path


def test_a_problem_of_humaneval(humaneval):
    first, second = read_humaneval(humaneval)
    assert (first.task, first.problem, first.prompt) == ("humaneval", "HumanEval/0", ADD["prompt"])
    source = ADD["prompt"] + "    return 3\n"
    assert first.program("    return 3\n") == Program(source, ADD["prompt"], ADD["test"] + "\ncheck(total)", ("total",))
    ran = run_programs([first.program(first.solution), second.program("    return n + n\n")], LONG, 2)
    assert [(each.status, each.reason) for each in ran] == [("passed", ""), ("failed", "AssertionError")]


@pytest.mark.parametrize("stop", ["\nclass X:", "\ndef g():", "\n# so", "\nif __name__", "\nprint(1)"])
def test_where_a_completion_of_humaneval_ends(stop, humaneval):
    problem = read_humaneval(humaneval)[0]
    body = "    # a comment\n    if numbers:\n        print(numbers)\n    return 1\n"
    assert problem.cut(body + stop + "\ndef h(): pass") == body
    assert problem.cut(body) == body


def test_a_problem_of_mbpp(mbpp_folder):
    (problem,) = read_mbpp(mbpp_folder)
    blocks = problem.prompt.split("You are an expert Python programmer, and here is your task: ")
    assert blocks[1] == (
        "Task 2. Your code should pass these tests:\n\n"
        + "assert f2(2) == 2\n" * 3
        + "[BEGIN]\ndef f2(x):\r\n  return x\n[DONE]\n\n"
    )
    assert [block[:7] for block in blocks[1:]] == ["Task 2.", "Task 3.", "Task 4.", "Task 11"]
    assert problem.prompt.endswith("assert len(pairs) == 3\n[BEGIN]\n")
    assert problem.cut("def sum(p): pass\n[DONE]\n\nYou are") == "def sum(p): pass\n"
    assert problem.setup == "import math"
    assert problem.names == ("Pair", "sum")
    forged = "class Pair:\n  def __init__(self, a): self.a = 0\ndef sum(p): return 1\nlen = lambda x: 3\n"
    ran = run_programs([problem.program(problem.solution), problem.program(forged)], LONG, 1)
    assert [each.status for each in ran] == ["passed", "failed"]


def as_chat(turns):
    return "".join(f"<{turn['role']}>{turn['content']}" for turn in turns) + "<assistant>"


def test_humaneval_in_a_chat(humaneval):
    plain = read_humaneval(humaneval)[1]
    chat = replace(plain, template=as_chat)
    asked = "Complete this Python function. Reply with the whole function only."
    fenced = f"```python\n{SQUARE['prompt']}"
    assert chat.prompt == f"<user>{asked}\n\n{fenced}```<assistant>{fenced}"
    written = "    return n * n\n```\nIt squares n."
    assert (chat.cut(written), plain.cut(written)) == ("    return n * n", written)
    (ran,) = run_programs([chat.program(chat.cut(written))], LONG, 1)
    assert ran.status == "passed"


def test_mbpp_in_a_chat_has_its_examples_as_turns(mbpp_folder):
    plain = read_mbpp(mbpp_folder)[0]
    chat = replace(plain, template=as_chat)
    blocks = re.split("<(user|assistant)>", chat.prompt)[1:]
    assert blocks[::2] == ["user", "assistant"] * 4
    assert blocks[1].endswith("tests:\n\nassert f2(2) == 2\nassert f2(2) == 2\nassert f2(2) == 2")
    assert blocks[3] == "[BEGIN]\ndef f2(x):\r\n  return x\n[DONE]"
    assert blocks[13].endswith("assert len(pairs) == 3")
    assert blocks[15] == "[BEGIN]\n"
    ((cut,), n_cut, _) = fit_problems([chat], len, len(chat.prompt) - 1, 0)
    assert (len(cut.examples), n_cut, cut.template) == (2, 1, as_chat)


def test_scores_of_canned_samples(humaneval):
    problems = whole(read_humaneval(humaneval))
    asked = []

    def complete(prompts, n, seed):
        asked.append((list(prompts), n, seed))
        right = ["    return sum(numbers)\n\ndef extra(): syntax error"] * 3 + ["    return 0"] * 7
        return [right, ["    import os\n    os._exit(0)"] * 10]

    results = score_completions(problems, complete, CodeSampling(seed=7, temperature=0.2), LONG, workers=2)
    assert asked == [([ADD["prompt"], SQUARE["prompt"]], 10, 7)]
    assert [(each.problem, each.n, each.passed, each.pass_at_1, each.pass_at_10) for each in results.problems] == [
        ("HumanEval/0", 10, 3, pytest.approx(0.3), 1.0),
        ("HumanEval/1", 10, 0, 0.0, 0.0),
    ]
    score = results.score
    assert (score.pass_at_1.mean, score.pass_at_1.n, score.pass_at_10.mean) == (pytest.approx(0.15), 2, 0.5)
    assert (score.samples, score.temperature, score.top_p, score.seed, score.seconds) == (10, 0.2, 0.95, 7, 30.0)
    assert score.statuses == {"ended early": 10, "failed": 7, "passed": 3}
    assert score.protection.startswith("Programs ran ")
    first = results.samples[0]
    assert (first.sample, first.status, first.completion) == (0, "passed", "    return sum(numbers)\n")
    assert results.samples[19].reason == "it ended before its tests did: exit status 0"
    assert json.loads(json.dumps(score.as_json()))["pass_at_10"]["mean"] == 0.5


def test_examples_that_dont_fit_are_left_out_and_counted(mbpp_folder):
    """A token is a character here."""
    (problem,) = read_mbpp(mbpp_folder)
    assert fit_problems([problem], len, len(problem.prompt) + 9, 9) == ([problem], 0, {})
    ((cut,), n_cut, _) = fit_problems([problem], len, len(problem.prompt) + 8, 9)
    assert (cut.examples, cut.question, n_cut) == (problem.examples[:2], problem.question, 1)
    ((bare,), n_cut, _) = fit_problems([problem], len, len(problem.question) + 1, 9)
    assert (bare.prompt, n_cut) == (problem.question, 1)


def test_a_problem_that_doesnt_fit_is_missing_with_a_reason(humaneval):
    problems = read_humaneval(humaneval)
    long, short = sorted(problems, key=lambda each: -len(each.prompt))
    fitted = fit_problems(problems, len, len(long.prompt), 256)
    results = score_completions(fitted, lambda prompts, n, seed: [[short.solution] * n], CodeSampling(n=2), LONG)
    assert [each.problem for each in results.problems] == [short.problem]
    score = results.score
    assert (score.pass_at_1.mean, score.pass_at_1.n, score.pass_at_1.n_missing, score.n_cut) == (1.0, 1, 1, 0)
    n = len(long.prompt)
    assert score.missing == {long.problem: f"its prompt has {n} tokens; the model's context holds {n}"}


def test_fewer_than_ten_samples_have_no_pass_at_10(humaneval):
    problems = read_humaneval(humaneval)
    results = score_completions(
        whole(problems), lambda prompts, n, seed: [[each.solution] * n for each in problems], CodeSampling(n=2), LONG
    )
    assert results.score.pass_at_1.mean == 1.0
    assert results.score.pass_at_10.mean is None
    assert results.score.pass_at_10.reason == "pass@10 needs 10 samples a problem; the most that one has is 2"
    assert [each.pass_at_10 for each in results.problems] == [None, None]


def test_another_number_of_samples_is_refused(humaneval):
    with pytest.raises(TunescopeError, match=r"found \[1, 3\] samples of 2 problems; expected 3 of each"):
        score_completions(
            whole(read_humaneval(humaneval)), lambda prompts, n, seed: [["x"], ["x"] * 3], CodeSampling(n=3)
        )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"test": None}, "test.jsonl:2: found null in column test; expected a text"),
        ({"entry_point": 3}, "test.jsonl:2: found a number in column entry_point; expected a text"),
        ({"prompt": "def f(:"}, "test.jsonl:2: found column prompt: invalid syntax"),
    ],
)
def test_a_record_of_humaneval_that_cannot_be_read(change, sentence, tmp_path):
    write_rows(tmp_path / "test.jsonl", [ADD, {**SQUARE, **change}])
    with pytest.raises(InputError, match=re.escape(sentence)):
        read_humaneval(tmp_path)


def test_missing_columns_name_file_and_record(mbpp_folder):
    record = mbpp(12, "def f(): pass", [])
    del record["test_list"]
    write_rows(mbpp_folder / "test.jsonl", [mbpp(11, "def f(): pass", []), record])
    with pytest.raises(InputError, match=r"test\.jsonl:2: found no column test_list; expected a list"):
        read_mbpp(mbpp_folder)
    write_rows(mbpp_folder / "prompt.jsonl", [mbpp(2, "def f(): pass", [])])
    with pytest.raises(InputError, match=r"prompt\.jsonl: found no task_id 3, 4; expected the examples 2, 3, 4"):
        read_mbpp(mbpp_folder)
    with pytest.raises(InputError, match=r"found no such file"):
        read_humaneval(mbpp_folder / "nowhere")


@pytest.mark.parametrize(
    ("tests", "sentence"),
    [
        (["assert f("], "test.jsonl:1: found column test_list: '(' was never closed"),
        (["assert f()", 3], "test.jsonl:1: found a number in the list of column test_list; expected texts"),
        ([None], "test.jsonl:1: found null in the list of column test_list; expected texts"),
    ],
)
def test_tests_of_mbpp_that_cannot_be_read(tests, sentence, mbpp_folder):
    write_rows(mbpp_folder / "test.jsonl", [mbpp(11, "def f(): pass", tests)])
    with pytest.raises(InputError, match=re.escape(sentence)):
        read_mbpp(mbpp_folder)


def failures(problems):
    ran = run_programs([each.program(each.solution) for each in problems], LONG, 2)
    return {each.problem: how.reason for each, how in zip(problems, ran, strict=True) if not how.passed}


def test_some_solutions_of_the_data_sets_pass():
    """Those with helpers in the prompt (32, 38, 50), classes (367, 601, 927), a function named as a builtin (126)."""
    humaneval = read_humaneval(real("benchmarks", "openai_humaneval"))
    mbpp = [each for split in ("test", "train") for each in read_mbpp(real("benchmarks", "mbpp"), split)]
    chosen = [each for each in humaneval if each.problem.split("/")[1] in ("0", "22", "32", "38", "50", "162")]
    chosen += [each for each in mbpp if each.problem in ("11", "126", "367", "601", "927")]
    assert len(humaneval) == 164
    assert len(chosen) == 11
    assert failures(chosen) == {}


@pytest.mark.drill
def test_all_solutions_of_the_data_sets_pass():
    humaneval = read_humaneval(real("benchmarks", "openai_humaneval"))
    splits = ("prompt", "test", "validation", "train")
    mbpp = [each for split in splits for each in read_mbpp(real("benchmarks", "mbpp"), split)]
    assert (len(humaneval), len(mbpp)) == (164, 974)
    assert failures(humaneval) == {}
    assert failures(mbpp) == {}
