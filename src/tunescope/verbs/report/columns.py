"""Which answers stand beside each other: a column per model, made up of answer, shift and trace runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tunescope.answers import ANSWERS_FILE, Answer, Place, read_answers
from tunescope.errors import RunError
from tunescope.runs import Run
from tunescope.verbs.report.names import name_of, of_verb

KINDS = ("answer", "shift", "trace")
"""The verbs whose runs hold answers, in the order in which they make columns."""


@dataclass(slots=True)
class Column:
    """A model's answers by place, and the runs that know about them: at most one of each verb."""

    name: str
    answers: dict[Place, Answer] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)


def columns_of(opened: Sequence[Run]) -> list[Column]:
    """Lay the runs that hold answers into columns.

    A run joins the first column that has an answer of its own and no run of its verb: a second trace of the same
    answers, of other rows, has a column of its own. Equal names are told apart by the run's folder.

    Raises:
        RunError: an answer id that stands for two texts.
    """
    columns: list[Column] = []
    for verb in KINDS:
        for run in of_verb(opened, verb):
            if (run.path / ANSWERS_FILE).is_file():  # a trace of one text has none
                _place(run, columns)
    names = Counter(column.name for column in columns)
    for column in columns:
        if names[column.name] > 1:
            column.name += f" ({next(iter(column.runs.values())).path.name})"
    return columns


def _place(run: Run, columns: list[Column]) -> None:
    answers = {answer.place: answer for answer in read_answers(run.path / ANSWERS_FILE)}
    for column in columns:
        known = {answer.answer_id: answer for answer in column.answers.values()}
        shared = [answer for answer in answers.values() if answer.answer_id in known]
        for answer in shared:
            if answer.text != known[answer.answer_id].text:
                raise RunError(
                    f"{run.path}: answer {answer.answer_id} has another text than in "
                    f"{next(iter(column.runs.values())).path}; expected one text per answer id; leave one of them out"
                )
        if shared and run.verb not in column.runs:
            column.runs[run.verb] = run
            column.answers = {**answers, **column.answers}
            return
    columns.append(Column(name_of(_model(run, list(answers.values()))), answers, {run.verb: run}))


def _model(run: Run, answers: Sequence[Answer]) -> str:
    """Return the model whose answers a run holds."""
    key = {"answer": "model", "shift": "tuned"}.get(run.verb)
    if key and run.settings.get(key):
        return str(run.settings[key])
    return next((answer.model for answer in answers if answer.model), run.path.name)
