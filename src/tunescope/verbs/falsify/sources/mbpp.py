"""MBPP: Python functions with tests (Austin et al. 2021)."""

from __future__ import annotations

from tunescope.questions.code_problems import mbpp_problem
from tunescope.questions.documents import Doc
from tunescope.verbs.falsify.source import Item, Source


def _read(record: Doc) -> Item:
    tests = "\n".join(record["test_list"])
    question = f"{record['text'].strip()}\n\nThe code has to pass these tests:\n\n{tests}"
    code = "\n".join(line.rstrip() for line in record["code"].splitlines()).strip("\n")
    problem, number = mbpp_problem(record), str(record["task_id"])
    return Item(question=question, code=code, problem=problem, item_id=number, group=number, original=record["text"])


SOURCE = Source(
    name="mbpp",
    domain="programming",
    about="Python functions with tests.",
    licence="google-research-datasets/mbpp, full; CC-BY-4.0",
    train=("mbpp/train",),
    n_train=374,
    columns=("task_id", "text", "code", "test_list", "test_setup_code"),
    read=_read,
)
