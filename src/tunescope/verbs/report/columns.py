"""Columns of the page: one per model, made up of its runs of answer, shift, trace and attribute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tunescope.answers import ANSWERS_FILE, Answer, Place, read_answers
from tunescope.errors import RunError
from tunescope.models.names import ModelNames
from tunescope.results.answer import AnswerSetup
from tunescope.results.shift import ShiftResult
from tunescope.runs import Run
from tunescope.verbs.report.names import of_verb

KINDS = ("answer", "shift", "trace", "attribute")
"""The verbs whose runs hold answers, in the order in which they make columns."""


@dataclass(slots=True)
class Column:
    """A model's answers by place, and the runs that read them: at most one of each verb."""

    name: str
    answers: dict[Place, Answer] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)


def columns_of(opened: Sequence[Run], names: ModelNames) -> list[Column]:
    """Return the columns of the runs that hold answers.

    A run joins the first column that shares an answer with it and has no run of its verb. So a second trace of the same
    answers, against other rows, gets a column of its own. Columns with equal names also get the run's folder.

    Raises:
        RunError: an answer id has two texts.
    """
    columns: list[Column] = []
    for verb in KINDS:
        for run in of_verb(opened, verb):
            if (run.path / ANSWERS_FILE).is_file():  # one of a single text has none
                _place(run, columns, names)
    counts = Counter(column.name for column in columns)
    for column in columns:
        if counts[column.name] > 1:
            column.name += f" ({next(iter(column.runs.values())).path.name})"
    return columns


def _place(run: Run, columns: list[Column], names: ModelNames) -> None:
    answers = {answer.place: answer for answer in read_answers(run.path / ANSWERS_FILE)}
    for column in columns:
        by_id = {answer.answer_id: answer for answer in column.answers.values()}
        shared = [answer for answer in answers.values() if answer.answer_id in by_id]
        for answer in shared:
            if answer.text != by_id[answer.answer_id].text:
                raise RunError(
                    f"{run.path}: answer {answer.answer_id} has another text than in "
                    f"{next(iter(column.runs.values())).path}; expected one text per answer id; leave one of them out"
                )
        if shared and run.verb not in column.runs:
            column.runs[run.verb] = run
            column.answers = {**answers, **column.answers}
            return
    columns.append(Column(names.of_model(_model(run, list(answers.values()))), answers, {run.verb: run}))


def _model(run: Run, answers: Sequence[Answer]) -> str:
    """Return the model whose answers a run holds."""
    if run.verb == "answer":
        return AnswerSetup.read_settings(run).model
    if run.verb == "shift":
        return ShiftResult.read(run).tuned
    return next((answer.model for answer in answers if answer.model), run.path.name)
